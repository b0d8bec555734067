// `cairn verify` is a process that holds an archive and nothing else: measured in one of its own, since a collection passes over
// all that lives, and the frames that a bench has made are hundreds of thousands of objects.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { KeyHistory, type NoteKey } from '@cairn/ledger';
import { cpuSecondsOf } from '../subjects/encode.ts';
import { type BenchKeys, DEPLOYMENT, type SignedLog, verified } from './signed-log.ts';

interface Given {
  readonly log: SignedLog;
  readonly statements: readonly Uint8Array[];
  readonly root: NoteKey;
  readonly leaves: number;
  readonly repeats: number;
}

/** CPU seconds of the process for each verification, after one that was thrown away. */
export function verifyAlone(log: SignedLog, keys: BenchKeys, leaves: number, repeats: number): number[] {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  try {
    const file = join(directory, 'log');
    const { statements, root } = keys;
    writeFileSync(file, serialize({ log, statements, root: root.key, leaves, repeats } satisfies Given));
    const said = execFileSync(process.execPath, [import.meta.filename, file], { encoding: 'utf8' });
    return JSON.parse(said) as number[];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function verifyGiven(file: string): number[] {
  const { log, statements, root, leaves, repeats } = deserialize(readFileSync(file)) as Given;
  const history = new KeyHistory(DEPLOYMENT);
  for (const note of statements) history.add(note, root);
  const seconds = Array.from({ length: 1 + repeats }, () =>
    cpuSecondsOf(() => verified(log, { history }, leaves)),
  );
  return seconds.slice(1);
}

if (import.meta.main) process.stdout.write(JSON.stringify(verifyGiven(process.argv[2] ?? '')));
