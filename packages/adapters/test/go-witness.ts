import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CACHE_DIRECTORY, REPOSITORY } from '@cairn/local';
import type { Witness } from '../src/witness.ts';

export interface RunningWitness extends Witness, AsyncDisposable {
  /** Stops it from answering, as a machine that hangs. */
  freeze(): void;
  thaw(): void;
}

/** Starts the witness of `tools/witness`, which is built once per change of its source. */
export async function startGoWitness(name: string, origin: string, logVkey: string): Promise<RunningWitness> {
  const child = spawn(build(), [name, origin, logVkey], { stdio: ['ignore', 'pipe', 'pipe'] });
  // It logs every refusal, which tests provoke; only why it did not start is of interest.
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-2_000);
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve);
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`the witness ended with ${code}: ${said}`)));
  });
  const { url, vkey } = JSON.parse(line) as Witness;
  return {
    url,
    vkey,
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function build(): string {
  const source = join(REPOSITORY, 'tools', 'witness');
  const hash = createHash('sha256');
  for (const file of ['main.go', 'go.mod', 'go.sum']) hash.update(readFileSync(join(source, file)));
  const binary = join(CACHE_DIRECTORY, `witness-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(CACHE_DIRECTORY, { recursive: true });
  // It gets its name when it is whole; two tests that build at once do not disturb each other.
  const partial = `${binary}.${process.pid}`;
  execFileSync('go', ['build', '-o', partial, '.'], { cwd: source, stdio: 'inherit' });
  renameSync(partial, binary);
  return binary;
}
