// The second verifier over the same log as `cairn verify`: a program of its own, which reads a copy of the bucket from a directory.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AUDIT_EVENT_SCHEMA_ID } from '@cairn/event';
import { checkpointName, type EvidenceVerdict, keyName, manifestName, segmentName } from '@cairn/ledger';
import { goBinary } from '../../../../packages/cli/src/testing/go-tools.ts';
import { type BenchKeys, ORIGIN, type SignedLog } from './signed-log.ts';

/** CPU seconds of the whole process, start and reading included, for each verification, after one that was thrown away. */
export function verifySecond(log: SignedLog, keys: BenchKeys, leaves: number, repeats: number): number[] {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  try {
    for (const [name, bytes] of objectsOf(log, keys)) {
      const path = join(directory, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
    const command = [goBinary('verifier-go'), '-json', '-quiet', '-root-key', keys.root.key.vkey, directory];
    return Array.from({ length: 1 + repeats }, () => verifiedIn(command, leaves)).slice(1);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function* objectsOf(log: SignedLog, { statements }: BenchKeys): Generator<readonly [string, Uint8Array]> {
  for (const [number, note] of statements.entries()) yield [keyName(number), note];
  for (const { size, note } of log.checkpoints) yield [checkpointName(ORIGIN, size), note];
  for (const { first, manifest, objects } of log.parts) {
    yield [manifestName(ORIGIN, first), manifest];
    // All traffic is of one schema, so a segment is one object.
    const [object, ...others] = objects;
    if (object === undefined || others.length > 0) throw new Error('a segment is not one object');
    yield [segmentName(ORIGIN, first, AUDIT_EVENT_SCHEMA_ID), object];
  }
}

/** The shell's `times` (POSIX) tells of what it waited for: a line of its own time, and a line of that. */
function verifiedIn(command: readonly string[], leaves: number): number {
  const said = execFileSync('bash', ['-c', '"$0" "$@" && times', ...command], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  }).trimEnd();
  const [, json = '', times = ''] = /^(.*)\n.*\n(.*)$/s.exec(said) ?? [];
  const { verdict, logs } = JSON.parse(json) as EvidenceVerdict;
  if (verdict !== 'intact' || logs[0]?.proven !== leaves)
    throw new Error(`the second verifier says ${verdict}: ${json.slice(0, 1_000)}`);
  return [...times.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  );
}
