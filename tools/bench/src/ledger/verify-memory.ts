// The memory of `cairn verify` over a part of an archive and over all of it.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY } from '@cairn/local';
import { withLogOnDisk } from './log-on-disk.ts';
import type { BenchKeys, SignedLog } from './signed-log.ts';

export interface VerifyMemory {
  /** Resident at most, MiB: with what V8 has not collected yet. */
  readonly peakMib: number;
  /** What it holds at most when all garbage was collected, MiB: heap and buffers, between two segments. */
  readonly heldMib: number;
}

/** Says at the end what the process held at most; the figure of a parent would not be its own. */
const TELL = (isCollected: boolean): string =>
  `data:text/javascript,${encodeURIComponent(`
  import { readFileSync, writeSync } from 'node:fs';
  let held = 0;
  const look = () => {
    gc();
    const { heapUsed, external } = process.memoryUsage();
    held = Math.max(held, heapUsed + external);
  };
  if (${isCollected}) setInterval(look, 20).unref();
  process.on('exit', () => {
    const peak = /VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
    writeSync(2, 'bytes ' + (${isCollected} ? held : peak * 1024));
  });
`)}`;

/** Of a verification of the first `segments` segments. @throws Error unless the archive is intact. */
export function verifyMemory(log: SignedLog, keys: BenchKeys, segments: number): VerifyMemory {
  const some = {
    ...log,
    parts: log.parts.slice(0, segments),
    checkpoints: log.checkpoints.slice(0, segments),
  };
  return withLogOnDisk(some, keys, (directory) => {
    const main = join(REPOSITORY, 'packages', 'cli', 'src', 'main.ts');
    const mibOf = (isCollected: boolean): number => {
      const command = [
        '--no-warnings',
        '--expose-gc',
        '--import',
        TELL(isCollected),
        main,
        'verify',
        directory,
      ];
      const said = execFileSync(
        'bash',
        ['-c', '"$0" "$@" 2>&1 >/dev/null', process.execPath, ...command, '--root', keys.root.key.vkey],
        { encoding: 'utf8' },
      );
      return Number(/bytes (\d+)$/.exec(said)?.[1]) / 1024 ** 2;
    };
    return { peakMib: mibOf(false), heldMib: mibOf(true) };
  });
}
