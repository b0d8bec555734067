import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { cairn } from './testing/run-cairn.ts';

const directory = mkdtempSync(join(tmpdir(), 'cairn-rules-'));
afterAll(() => rmSync(directory, { recursive: true }));

function fileOf(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

const RULE = `title: Paid
id: paid
logsource: {product: cairn}
detection:
  pays: {action: pay}
  condition: pays
`;
const SAMPLES = `rule: paid
fires: [{what: a payment, events: [{action: pay}]}]
stays_silent: [{what: "a read\\e[2J", events: [{action: read}]}]
`;

describe('cairn rules test', () => {
  test('passes for the rules that ship, and every rule that alerts has samples', async () => {
    const said = await cairn(['rules', 'test']);
    expect(said.stdout).not.toMatch(/FAILED|mistake/);
    expect(said.stderr).toMatch(/^25 rules, 0 mistakes; (\d+) of \1 samples passed\.\n$/);
    expect(said.code).toBe(0);
  });

  test('names a mistake with file, line and column, runs the other rules, and ends with 1', async () => {
    const rules = fileOf(
      'rules.yml',
      `${RULE}---\n${RULE.replaceAll('paid', 'other').replace('action', 'acton')}`,
    );
    const said = await cairn(['rules', 'test', rules, '--samples', fileOf('s.yml', SAMPLES)]);
    expect(said.stdout).toContain(
      `mistake  ${rules}:12:10: events have no field acton; did you mean action?`,
    );
    expect(said.stdout).toContain('a payment');
    expect(said.stdout).toContain('a read\\u{1b}[2J');
    expect(said.stderr).toContain('1 rules, 1 mistakes; 2 of 2 samples passed.');
    expect(said.code).toBe(1);
  });

  test('ends with 1 when a sample ends otherwise, and says how', async () => {
    const samples = fileOf('wrong.yml', SAMPLES.replace('{action: pay}', '{action: read}'));
    const said = await cairn(['rules', 'test', fileOf('r.yml', RULE), '--samples', samples, '--json']);
    const lines = said.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines[0].sample).toMatchObject({ what: 'a payment', expected: 1, opened: 0, passed: false });
    expect(said.code).toBe(1);
  });

  test('says of a path that is not there what to do', async () => {
    const said = await cairn(['rules', 'test', join(directory, 'nothing')]);
    expect(said.stderr).toContain('Name a file or a directory of .yml files.');
    expect(said.code).toBe(1);
  });
});
