import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-retention-'));
afterAll(() => rmSync(directory, { recursive: true }));

function fileOf(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

const POLICY = `version: 1
regimes:
  year: { title: "A year\\e[2J", basis: law, source: "Act 1\\u202E", says: A year., keep_at_least: 12 months }
classes: { standard: { regimes: [year] } }
default_class: standard
holds:
  - { id: acme-1, org: acme, reason: "A \\u200Bletter", placed_by: jane.doe, placed_at: 2026-04-17 }
`;

describe('cairn retention explain', () => {
  test('says of the policy that ships what is kept until when, and why', async () => {
    const said = await cairn(['retention', 'explain', '--org', 'acme', '--date', '2024-02-29']);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/^Events of organisation acme on 2024-02-29 \(UTC\)\n/);
    expect(said.stdout).toMatch(/kept +through 2025-04-04\n +because +SOC 2 \(practice\): 400 days/);
    expect(said.stdout).toMatch(/locked +until 2025-04-05T00:00:00Z in COMPLIANCE mode\n/);
  });

  test('says the same to programs, in one line', async () => {
    const said = await cairn(['retention', 'explain', '--org', 'acme', '--date', '2024-02-29', '--json']);
    expect(said.stdout.trimEnd()).not.toContain('\n');
    expect(JSON.parse(said.stdout)).toMatchObject({
      kept: { last_day: '2025-04-04', until: '2025-04-05T00:00:00Z' },
      decided_by: { regime: 'soc2', basis: 'practice' },
    });
  });

  test('reads the policy that the environment names, and the flag wins over it', async () => {
    const env = { CAIRN_RETENTION_CONFIG: fileOf('a.yaml', POLICY) };
    const one = await cairn(['retention', 'explain', '--org', 'acme', '--json'], { env });
    expect(JSON.parse(one.stdout).decided_by.regime).toBe('year');
    const other = fileOf('b.yaml', POLICY.replaceAll('year', 'years'));
    const two = await cairn(['retention', 'explain', '--org', 'acme', '--file', other, '--json'], { env });
    expect(JSON.parse(two.stdout).decided_by.regime).toBe('years');
  });

  test('shows what could move the cursor or reorder text as code points', async () => {
    const file = fileOf('hostile.yaml', POLICY);
    const said = await cairn(['retention', 'explain', '--org', 'acme\u001b[2J\nkept', '--file', file]);
    const held = await cairn(['retention', 'explain', '--org', 'acme', '--file', file]);
    expect(said.stdout).toContain('acme\\u{1b}[2J\\u{a}kept');
    expect(held.stdout).toContain('A year\\u{1b}[2J (law)');
    expect(held.stdout).toContain('A \\u{200b}letter');
    expect(said.stdout + held.stdout).not.toMatch(/[^\n\x20-\x7e]/);
  });

  test.each([
    ['2026-02-29', 'a day that is none'],
    ['2026-2-1', 'another form'],
    ['1999-12-31', 'a day before there was any'],
    ['yesterday', 'a word'],
  ])('refuses %s, %s, with exit code 64', async (date) => {
    const said = await cairn(['retention', 'explain', '--org', 'acme', '--date', date]);
    expect(said).toMatchObject({ code: 64, stdout: '' });
    expect(said.stderr).toMatch(/It must be a day from 2000-01-01/);
  });

  test('refuses a policy with mistakes in one line that names them all', async () => {
    const file = fileOf('wrong.yaml', POLICY.replace('law', 'lore').replace('version: 1', 'version: 3'));
    const said = await cairn(['retention', 'explain', '--org', 'acme', '--file', file]);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toMatch(
      /^cairn: the retention policy has 2 mistakes: .*:1:1: version.*:3:\d+: .*basis.*\n$/,
    );
  });

  test('says which file it cannot read', async () => {
    const said = await cairn([
      'retention',
      'explain',
      '--org',
      'acme',
      '--file',
      join(directory, 'none.yaml'),
    ]);
    expect(said).toMatchObject({ code: 1, stdout: '' });
    expect(said.stderr).toMatch(/none\.yaml cannot be read: .*ENOENT.*\[retention\.unreadable\]/);
  });
});

describe('cairn retention check', () => {
  test('finds the policy that ships in order, and lists its classes', async () => {
    const said = await cairn(['retention', 'check']);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/^health +6 years +hipaa +30 +COMPLIANCE$/m);
    expect(said.stdout).not.toMatch(/warning/);
  });

  test('names every mistake with file, line and column, and ends with exit code 1', async () => {
    const file = fileOf('wrong.yaml', `${POLICY}hot_day: 3\n`.replace('law', 'lore'));
    const said = await cairn(['retention', 'check', file]);
    expect(said.code).toBe(1);
    const lines = said.stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/wrong\.yaml:3:\d+: regimes\.year\.basis: /);
    expect(lines[1]).toMatch(/wrong\.yaml:8:1: hot_day: is not known here$/);
    expect(said.stderr).toBe('2 mistakes; nothing of it is used.\n');

    const json = await cairn(['retention', 'check', file, '--json']);
    const values = json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(values).toEqual([
      expect.objectContaining({ file, line: 3, path: 'regimes.year.basis' }),
      expect.objectContaining({ file, line: 8, column: 1, path: 'hot_day' }),
    ]);
  });

  test('warns of what does not fit, names the holds that stand, and does not fail for it', async () => {
    const file = fileOf('loose.yaml', POLICY.replace('[year] }', '[year], object_lock: governance }'));
    const said = await cairn(['retention', 'check', file]);
    expect(said).toMatchObject({ code: 0, stderr: '' });
    expect(said.stdout).toMatch(/^hold acme-1: A \\u\{200b\}letter$/m);
    expect(said.stdout).toMatch(/^warning: class standard: whoever may bypass governance retention/m);
  });

  test('names every organisation to which a gateway gives another class, and fails', async () => {
    const policy = fileOf(
      'two.yaml',
      POLICY.replace(
        'classes: {',
        'organisations: { globex: payments, later: [{ class: standard }, { class: payments, from: 2999-01-01 }] }\nclasses: { payments: { regimes: [year] },',
      ),
    );
    const gateway = (name: string, retention: object): string =>
      fileOf(
        `${name}.yaml`,
        JSON.stringify({
          gateway_id: name,
          upstreams: {},
          retention,
          identities: [{ org: 'acme' }, { org: 'globex' }],
          anonymous: { org: 'open' },
        }),
      );
    const fits = gateway('gw-1', { classes: { globex: 'payments' } });
    expect(await cairn(['retention', 'check', policy, '--gateway', fits])).toMatchObject({ code: 0 });
    const differs = gateway('gw-2', { default_class: 'payments', classes: { acme: 'standard' } });
    const said = await cairn(['retention', 'check', policy, '--gateway', fits, differs]);
    expect(said.code).toBe(1);
    expect(said.stdout.split('\n').filter((line) => line.startsWith('differs: '))).toEqual([
      'differs: gateway gw-2 gives organisations that neither names the class payments, the policy standard',
      'differs: gateway gw-2 gives organisation later the class payments, the policy standard',
      'differs: gateway gw-2 gives organisation open the class payments, the policy standard',
    ]);
  });

  test('says of the gateway that ships that its classes are those of the policy that ships', async () => {
    const shipped = join(import.meta.dirname, '..', '..', '..', 'deploy', 'config', 'gateway.yaml');
    expect((await cairn(['retention', 'check', '--gateway', shipped])).code).toBe(0);
  });
});
