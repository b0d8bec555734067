import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';

const CACHE = join(import.meta.dirname, '..', '..', '..', '.local', 'cache');

/** A Python with fastavro, and with zstandard for containers, keys and signatures. */
export const pythonWithFastavro = (): string =>
  pythonWith(
    'python',
    ['fastavro==1.13.1', 'backports.zstd==1.8.0', 'cryptography==50.0.2'],
    ['fastavro', 'cryptography', 'backports.zstd'],
  );

/**
 * A Python with these packages, made once.
 *
 * @param name of its folder in the cache. @param modules by which it is seen whether they are there.
 * @throws Failure `tool.missing` with what to install.
 */
export function pythonWith(name: string, packages: readonly string[], modules: readonly string[]): string {
  const directory = join(CACHE, name);
  const python = join(directory, 'bin', 'python');
  if (existsSync(python) && spawnSync(python, ['-c', `import ${modules.join(', ')}`]).status === 0)
    return python;
  mkdirSync(directory, { recursive: true });
  const made = (): boolean => spawnSync('python3', ['-m', 'venv', directory]).status === 0;
  if (!made() && process.getuid?.() === 0) {
    // Debian ships venv apart from Python.
    spawnSync('apt-get', ['-qq', 'update']);
    spawnSync('env', ['DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-y', 'install', 'python3-venv']);
  }
  const installed =
    made() && spawnSync(python, ['-m', 'pip', 'install', '-q', ...packages], { encoding: 'utf8' });
  if (installed && installed.status === 0) return python;
  throw new Failure({
    code: 'tool.missing',
    retry: 'no',
    message: `a Python with ${packages.join(' and ')} could not be made: ${installed ? installed.stderr.slice(-300) : 'python3 -m venv failed'}`,
    mend: 'On Debian: apt-get install -y python3 python3-venv; and check that the package index can be reached.',
  });
}
