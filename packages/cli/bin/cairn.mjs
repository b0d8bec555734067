#!/usr/bin/env node
// Runs the command under the Node that the repository pins, whatever Node found this file.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..', '..');
const pinned = join(root, 'node_modules', 'node', 'bin', 'node');
if (!existsSync(pinned)) {
  process.stderr.write('cairn: the workspace is not installed. Run `npm start` or `npm test` once.\n');
  process.exit(1);
}
const main = join(root, 'packages', 'cli', 'src', 'main.ts');
const child = spawn(pinned, ['--no-warnings', main, ...process.argv.slice(2)], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => {
  if (signal !== null) process.kill(process.pid, signal);
  else process.exit(code ?? 1);
});
