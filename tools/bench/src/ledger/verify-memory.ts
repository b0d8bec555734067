// The memory of `cairn verify` over a part of an archive and over all of it.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY } from '@cairn/local';
import { withLogOnDisk } from './log-on-disk.ts';
import type { BenchKeys, SignedLog } from './signed-log.ts';

/** Says at the end what the process held at most, kB; the figure of a parent would not be its own. */
const TELL = `data:text/javascript,${encodeURIComponent(`
  import { readFileSync, writeSync } from 'node:fs';
  process.on('exit', () => writeSync(2, /VmHWM:.*/.exec(readFileSync('/proc/self/status', 'utf8'))[0]));
`)}`;

/** Largest memory of a verification of the first `segments` segments, MiB. @throws Error unless the archive is intact. */
export function verifyMemoryMib(log: SignedLog, keys: BenchKeys, segments: number): number {
  const some = {
    ...log,
    parts: log.parts.slice(0, segments),
    checkpoints: log.checkpoints.slice(0, segments),
  };
  return withLogOnDisk(some, keys, (directory) => {
    const main = join(REPOSITORY, 'packages', 'cli', 'src', 'main.ts');
    const command = ['--no-warnings', '--import', TELL, main, 'verify', directory];
    const said = execFileSync(
      'bash',
      ['-c', '"$0" "$@" 2>&1 >/dev/null', process.execPath, ...command, '--root', keys.root.key.vkey],
      { encoding: 'utf8' },
    );
    return Number(/VmHWM:\s+(\d+)/.exec(said)?.[1]) / 1_024;
  });
}
