import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '@cairn/failure';

const PACKAGES = ['schemathesis==4.32.5'];
const directory = join(import.meta.dirname, '..', '..', '..', '.local', 'cache', 'python-schemathesis');

/** The command of Schemathesis in a Python of its own, made once. @throws Failure `tool.missing` with what to install. */
export function schemathesis(): string {
  const command = join(directory, 'bin', 'schemathesis');
  if (existsSync(command) && spawnSync(command, ['--version']).status === 0) return command;
  mkdirSync(directory, { recursive: true });
  if (!made() && process.getuid?.() === 0) {
    // Debian ships venv apart from Python.
    spawnSync('apt-get', ['-qq', 'update']);
    spawnSync('env', ['DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', '-y', 'install', 'python3-venv']);
  }
  const python = join(directory, 'bin', 'python');
  const installed =
    made() && spawnSync(python, ['-m', 'pip', 'install', '-q', ...PACKAGES], { encoding: 'utf8' });
  if (installed && installed.status === 0) return command;
  throw new Failure({
    code: 'tool.missing',
    retry: 'no',
    message: `a Python with ${PACKAGES.join(' and ')} could not be made: ${installed ? installed.stderr.slice(-300) : 'python3 -m venv failed'}`,
    mend: 'On Debian: apt-get install -y python3 python3-venv; and check that the package index can be reached.',
  });
}

const made = (): boolean => spawnSync('python3', ['-m', 'venv', directory]).status === 0;
