import { Failure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import { fakeTrail, loggedEvent } from './testing/fake-trail.ts';
import { cairn } from './testing/run-cairn.ts';

const at = (offset: number) => ({ topic: 'audit.events.standard', partition: 0, offset });
const onSession = (session_id: string) =>
  fakeTrail([loggedEvent({ ...at(0), session_id, event_id: 'e1', tool_name: 'read_file', timestamp: 1e15 })]);
const over = (trail: ReturnType<typeof fakeTrail>) => ({ parts: { openTrail: () => trail } });
const COMMANDS = [
  'session',
  'sessions',
  'tail',
  'query',
  'retention',
  'up',
  'status',
  'down',
  'migrate',
  'doctor',
];

describe('help', () => {
  test.each(COMMANDS)(
    '%s has help with examples and the global options, on standard output',
    async (command) => {
      const said = await cairn([command, '--help']);
      expect(said).toMatchObject({ code: 0, stderr: '' });
      expect(said.stdout).toContain(`Usage: cairn ${command}`);
      expect(said.stdout).toContain(`Examples:\n  `);
      expect(said.stdout).toContain('--json');
    },
  );

  test('without a command the help goes to standard error and the exit code says usage', async () => {
    const said = await cairn([]);
    expect(said).toMatchObject({ code: 64, stdout: '' });
    for (const command of COMMANDS) expect(said.stderr).toContain(`\n  ${command} `);
  });
});

describe('mistakes', () => {
  test.each([
    [['sesion'], /^cairn: unknown command 'sesion'.*\n.*session/],
    [['tail', '--last', '-1'], /^cairn: .*whole number from 0/],
    [['tail', '--lst', '3'], /^cairn: unknown option '--lst'.*\n.*--last/],
    [['up', 'mysql'], /^cairn: .*kafka, clickhouse, redis, s3/],
    [['query', 'SELECT 1', '--format', 'CSV SETTINGS x=1'], /^cairn: .*name such as/],
    [['sessions', '--clickhouse', 'nowhere'], /^cairn: .*CLICKHOUSE_URL.*http or https/],
  ])('%j is refused with exit code 64 and what to do', async (args, says) => {
    const said = await cairn(args);
    expect(said).toMatchObject({ code: 64, stdout: '' });
    expect(said.stderr).toMatch(says);
  });

  test('a part that cannot be reached is one line with its mend and exit code 3', async () => {
    const said = await cairn(['sessions', '--clickhouse', 'http://127.0.0.1:1']);
    expect(said).toMatchObject({ code: 3, stdout: '' });
    expect(said.stderr).toMatch(/^cairn: ClickHouse did not answer.*\[clickhouse\.unreachable\].*\n$/);
  });

  test('a refusal is one line and exit code 1', async () => {
    const trail = fakeTrail();
    trail.onAsked = () => {
      throw new Failure({
        code: 'clickhouse.refused',
        retry: 'no',
        message: 'no\nsuch table',
        mend: 'Run it.',
      });
    };
    const said = await cairn(['sessions'], over(trail));
    expect(said).toEqual({
      code: 1,
      stdout: '',
      stderr: 'cairn: no such table [clickhouse.refused] Run it.\n',
    });
  });

  test('an unexpected error shows where it came from only when asked', async () => {
    const broken = () => {
      const trail = fakeTrail();
      trail.onAsked = () => {
        throw new TypeError('a mistake of ours');
      };
      return over(trail);
    };
    const quiet = await cairn(['sessions'], broken());
    expect(quiet).toMatchObject({ code: 1, stderr: 'cairn: a mistake of ours\n' });
    const loud = await cairn(['sessions'], { ...broken(), env: { CAIRN_DEBUG: '1' } });
    expect(loud.stderr).toMatch(/cairn: a mistake of ours\nTypeError: a mistake of ours\n\s+at /);
  });
});

describe('session', () => {
  test('the beginning of an id is enough when one session has it', async () => {
    const said = await cairn(['session', 'abcd'], over(onSession('abcdef0123')));
    expect(said.code).toBe(0);
    expect(said.stdout).toContain('read_file');
  });

  test('a beginning that several sessions have names them', async () => {
    const trail = fakeTrail(
      ['abc-1', 'abc-2'].map((session_id, index) => loggedEvent({ ...at(index), session_id })),
    );
    const said = await cairn(['session', 'abc'], over(trail));
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toContain('abc-1, abc-2');
  });

  test('--json is one value on standard output, and nothing else is', async () => {
    const said = await cairn(['session', 'abcdef0123', '--json'], over(onSession('abcdef0123')));
    expect(JSON.parse(said.stdout)).toHaveProperty('steps');
    expect(said.stderr).toBe('');
  });

  test('no such session is exit code 1', async () => {
    expect(await cairn(['session', 'abc'], over(fakeTrail()))).toMatchObject({ code: 1, stdout: '' });
  });
});

describe('colours', () => {
  const ESCAPE = '\u001b[';
  const shown = async (isTerminal: boolean, env: Record<string, string>, ...flags: string[]) => {
    const trail = onSession('s');
    const said = await cairn(['tail', '--no-follow', ...flags], { ...over(trail), isTerminal, env });
    expect(said.stdout).toContain('read_file');
    return said.stdout.includes(ESCAPE);
  };

  test('are for terminals, and not for who said no', async () => {
    expect(await shown(true, {})).toBe(true);
    expect(await shown(false, {})).toBe(false);
    expect(await shown(true, { NO_COLOR: '1' })).toBe(false);
    expect(await shown(true, { NO_COLOR: '' })).toBe(true);
    expect(await shown(true, { TERM: 'dumb' })).toBe(false);
    expect(await shown(true, {}, '--no-color')).toBe(false);
    expect(await shown(true, {}, '--json')).toBe(false);
  });
});

describe('query', () => {
  test('the server is told to write nothing', async () => {
    const trail = fakeTrail();
    const asked: unknown[] = [];
    trail.onAsked = (sql, settings) => asked.push([sql, settings['readonly']]);
    expect(await cairn(['query', ' SELECT 1 ; '], over(trail))).toMatchObject({
      code: 0,
      stdout: 'one row\n',
    });
    expect(asked).toEqual([['SELECT 1 FORMAT PrettyCompact', 1]]);
  });
});
