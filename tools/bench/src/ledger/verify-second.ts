// The second verifier over the same log as `cairn verify`: a program of its own, which reads a copy of the bucket from a directory.
import { execFileSync } from 'node:child_process';
import type { EvidenceVerdict } from '@cairn/ledger';
import { goBinary } from '../../../../packages/cli/src/testing/go-tools.ts';
import { withLogOnDisk } from './log-on-disk.ts';
import type { BenchKeys, SignedLog } from './signed-log.ts';

/** CPU seconds of the whole process, start and reading included, for each verification, after one that was thrown away. */
export function verifySecond(log: SignedLog, keys: BenchKeys, leaves: number, repeats: number): number[] {
  return withLogOnDisk(log, keys, (directory) => {
    const command = [goBinary('verifier-go'), '-json', '-quiet', '-root-key', keys.root.key.vkey, directory];
    return Array.from({ length: 1 + repeats }, () => verifiedIn(command, leaves)).slice(1);
  });
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
