// A log as it stands in a bucket, in a directory: what a verifier reads that is a program of its own.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AUDIT_EVENT_SCHEMA_ID } from '@cairn/event';
import { checkpointName, keyName, manifestName, segmentName } from '@cairn/ledger';
import { type BenchKeys, ORIGIN, type SignedLog } from './signed-log.ts';

/** The directory is there until this returns. */
export function withLogOnDisk<T>(log: SignedLog, keys: BenchKeys, use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  try {
    for (const [name, bytes] of objectsOf(log, keys)) {
      const path = join(directory, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
    return use(directory);
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
