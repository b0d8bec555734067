import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE_DIRECTORY } from '@cairn/local';

const PACKAGES = ['confluent-kafka==2.16.1', 'fastavro==1.13.1'];
const directory = join(CACHE_DIRECTORY, 'python-bench');
const command = join(directory, 'bin', 'python');

/** A Python with the peer's libraries, made once; or why there is none. */
export function python(): { readonly command: string; readonly missing: string | undefined } {
  if (spawnSync(command, ['-c', 'import confluent_kafka, fastavro']).status === 0)
    return { command, missing: undefined };
  mkdirSync(directory, { recursive: true });
  if (!existsSync(command)) spawnSync('python3', ['-m', 'venv', directory]);
  const installed = spawnSync(command, ['-m', 'pip', 'install', '-q', ...PACKAGES], { encoding: 'utf8' });
  const missing = installed.status === 0 ? undefined : `pip install ${PACKAGES.join(' ')} failed`;
  return { command, missing };
}
