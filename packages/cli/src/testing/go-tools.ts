import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE_DIRECTORY, REPOSITORY } from '@cairn/local';

/** What a tool said, and whether it was content. */
export interface Said {
  readonly accepts: boolean;
  readonly text: string;
}

const FSCK_VERSION = 'v1.0.4';

/**
 * Tessera's fsck over a tlog-tiles directory. Its exit code says nothing (0 on a corrupt log with several workers), and with
 * one worker it hangs on one: its text counts, within a time.
 */
export function fsck(directory: string, vkeyFile: string): Said {
  const args = ['-N', '4', '-ui=false', '-storage_url', `file://${directory}/`, '-public_key', vkeyFile];
  const { stdout, stderr } = spawnSync(fsckBinary(), args, {
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
    maxBuffer: 2 ** 26,
  });
  const text = `${stdout}${stderr}`;
  return { accepts: text.includes("Successfully fsck'd"), text: text.slice(-2_000) };
}

/** `tools/judge`: golang.org/x/mod/sumdb and torchwood. */
export function judge(...args: readonly string[]): Said {
  const { status, stdout, stderr } = spawnSync(goBinary('judge'), args, {
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { accepts: status === 0, text: status === 0 ? stdout : stderr };
}

/** `tools/verifier-go`: the verdict of the second verifier, and its exit code. */
export function secondVerifier(
  where: string,
  root: string,
): { readonly code: number | null; readonly verdict: unknown } {
  const args = ['--json', '--quiet', '--root-key', root, where];
  const { status, stdout, stderr } = spawnSync(goBinary('verifier-go'), args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (stdout === '') throw new Error(`the second verifier gave no verdict: ${stderr}`);
  return { code: status, verdict: JSON.parse(stdout) };
}

function fsckBinary(): string {
  const binary = join(CACHE_DIRECTORY, `fsck-${FSCK_VERSION}`);
  if (existsSync(binary)) return binary;
  const bin = join(CACHE_DIRECTORY, `fsck.${process.pid}`);
  execFileSync('go', ['install', `github.com/transparency-dev/tessera/cmd/fsck@${FSCK_VERSION}`], {
    env: { ...process.env, GOBIN: bin, GOFLAGS: '-trimpath' },
    stdio: 'pipe',
  });
  renameSync(join(bin, 'fsck'), binary);
  rmSync(bin, { recursive: true });
  return binary;
}

/** A program of `tools`, built once per change of its sources. */
export function goBinary(name: string): string {
  const source = join(REPOSITORY, 'tools', name);
  const hash = createHash('sha256');
  for (const file of readdirSync(source).sort())
    if (/\.go$|^go\.(mod|sum)$/.test(file)) hash.update(readFileSync(join(source, file)));
  const binary = join(CACHE_DIRECTORY, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(CACHE_DIRECTORY, { recursive: true });
  // It gets its name when it is whole; two tests that build at once do not disturb each other.
  const partial = `${binary}.${process.pid}`;
  execFileSync('go', ['build', '-o', partial, '.'], { cwd: source, stdio: 'pipe' });
  renameSync(partial, binary);
  return binary;
}
