// Schemathesis, which is not ours, reads the description and asks what it allows and what it forbids, over the real database.
// CI gives it some seconds; CAIRN_SCHEMATHESIS_SECONDS=600 gives it more.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ApiRig, startApi } from '../test/api-rig.ts';
import { schemathesis } from '../test/python-with-schemathesis.ts';

const SECONDS = Number(process.env['CAIRN_SCHEMATHESIS_SECONDS'] ?? 12);
let api: ApiRig;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-schemathesis-'));
  api = await startApi({ events: 1_500 });
}, 120_000);
afterAll(async () => {
  await api?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_schema_conformance',
  'negative_data_rejection',
  'unsupported_method',
  'ignored_auth',
];

/** What it said, and how it ended. */
async function judged(
  key: string,
  chosen: readonly string[],
): Promise<{ code: number | null; said: string }> {
  const args = [
    ...['run', `${api.url}/openapi.json`, '--header', `Authorization: Bearer ${key}`],
    ...['--checks', CHECKS.join(','), '--phases', 'examples,coverage,fuzzing', '--max-examples', '20'],
    ...[
      '--max-time',
      String(SECONDS),
      '--seed',
      '1',
      '--generation-database',
      ':memory:',
      '--suppress-health-check',
      'all',
      '--no-color',
    ],
    ...chosen,
  ];
  const child = spawn(schemathesis(), args, { cwd: directory });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, said };
}

test.each([
  // A tail never ends, and Schemathesis waits for whole answers.
  ['auditor', ['--exclude-operation-id', 'tailEvents', '--exclude-tag', 'keys', '--exclude-tag', 'sql']],
  ['analyst', ['--include-tag', 'sql', '--include-tag', 'reports']],
  ['admin', ['--include-tag', 'keys', '--include-tag', 'holds']],
] as const)(
  'asked by Schemathesis as an %s, no answer is a 5xx or outside its description',
  async (role, chosen) => {
    const { code, said } = await judged(await api.key(role), chosen);
    const lines = said.split('\n').map((line) => line.slice(0, 300));
    expect([code, code === 0 ? [] : lines.slice(-80)]).toEqual([0, []]);
    expect(said).toMatch(/\d+ generated/);
  },
  900_000,
);
