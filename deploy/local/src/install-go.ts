// Go, where the machine has none that will do. Debian's is older than the modules that we build, so it comes as the go command
// itself fetches a newer one: the module golang.org/toolchain, from the module proxy that everything else of Go comes through
// (https://go.dev/doc/toolchain, "golang.org/toolchain"). What the go command asks the checksum database for is a hash below.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Failure, messageOf } from '@cairn/failure';
import { goProxyFrom, putFirstOnPath, toolEnvironment } from './config.ts';
import { installFromDebian, type Progress, run } from './install.ts';
import { REPOSITORY } from './service-process.ts';

export const GO_VERSION = '1.26.8';
/** The version that the tests and the measurements were made with. */
const VERSITYGW_VERSION = 'v1.8.0';

/** SHA-256 of the zip file of each platform. */
const ZIPS: Readonly<Record<string, string>> = {
  'linux-amd64': '30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7',
  'linux-arm64': '02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99',
};
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Where a toolchain comes from; tests name their own. */
export interface GoSource {
  readonly proxy: string;
  /** Such as `linux-amd64`. */
  readonly platform: string;
  /** SHA-256 of its zip file; undefined where none is known. */
  readonly sha256: string | undefined;
}

/**
 * Sees to it that `go` on this process's PATH, and so on that of what it starts, builds our modules. What the machine has is used
 * when it is new enough, or gets itself a newer one; else one is downloaded into the cache, once.
 *
 * @throws Failure `tool.missing` where no toolchain is known for the platform, `install.failed`
 */
export async function installGo(
  cache: string,
  progress: Progress,
  source: GoSource = sourceHere(),
): Promise<void> {
  if (isGoNewEnough()) return;
  const { platform, sha256 } = source;
  if (sha256 === undefined)
    throw new Failure({
      code: 'tool.missing',
      retry: 'no',
      message: `Go ${GO_VERSION} or later is missing, and none is known for ${platform}`,
      mend: 'Install it by hand: https://go.dev/doc/install',
    });
  const directory = join(cache, `go-${GO_VERSION}-${platform}`);
  if (!existsSync(directory)) await download({ ...source, sha256 }, directory, progress);
  putFirstOnPath(join(directory, 'bin'));
}

/** A module of ours says which version it takes. A go command that is too old for it and may not fetch another fails, or is 1.20 or older. */
function isGoNewEnough(): boolean {
  const asked = spawnSync('go', ['env', 'GOVERSION'], {
    cwd: join(REPOSITORY, 'tools', 'judge'),
    encoding: 'utf8',
    env: toolEnvironment(),
  });
  const [, minor] = /^go1\.(\d+)/.exec(asked.stdout ?? '') ?? [];
  const [, needed] = GO_VERSION.split('.');
  return asked.status === 0 && Number(minor) >= Number(needed);
}

async function download(
  { proxy, platform, sha256 }: GoSource & { readonly sha256: string },
  directory: string,
  progress: Progress,
): Promise<void> {
  const unzip = await installFromDebian('unzip', 'unzip', progress);
  progress(`go ${GO_VERSION}: downloading from ${proxy} (about 70 MB, once)`);
  const work = `${directory}.${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    const name = `v0.0.1-go${GO_VERSION}.${platform}`;
    const zip = join(work, 'toolchain.zip');
    const found = await fetchTo(`${proxy}/golang.org/toolchain/@v/${name}.zip`, zip);
    if (found !== sha256) throw failed(`its SHA-256 is ${found} and should be ${sha256}`);
    await run(unzip, ['-q', zip, '-d', work], work, 'go');
    const tree = join(work, 'golang.org', `toolchain@${name}`);
    finish(tree);
    // It gets its name when it is whole.
    renameSync(tree, directory);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What the go command does with a toolchain that it has unpacked: a module's zip has no execute bits and no go.mod within. */
function finish(tree: string): void {
  for (const within of [join('pkg', 'tool'), 'bin'])
    for (const entry of readdirSync(join(tree, within), { recursive: true, withFileTypes: true }))
      if (entry.isFile()) chmodSync(join(entry.parentPath, entry.name), 0o755);
  for (const within of ['src', join('src', 'cmd')]) {
    const held = join(tree, within, '_go.mod');
    if (existsSync(held)) renameSync(held, join(tree, within, 'go.mod'));
  }
}

/** @returns the SHA-256 of what came, hex. @throws Failure `install.failed` */
async function fetchTo(url: string, file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    const answer = await fetch(url);
    if (!answer.ok || answer.body === null) throw new Error(`${url} answered ${answer.status}`);
    async function* hashed() {
      for await (const bytes of answer.body!) {
        hash.update(bytes);
        yield bytes;
      }
    }
    await pipeline(Readable.from(hashed()), createWriteStream(file));
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    throw failed(messageOf(cause ?? error));
  }
  return hash.digest('hex');
}

const failed = (why: string): Failure =>
  new Failure({
    code: 'install.failed',
    retry: 'later',
    message: `go ${GO_VERSION} could not be downloaded: ${why}`,
    mend: 'Check that this machine reaches the Go module proxy (GOPROXY names another), or install Go by hand: https://go.dev/doc/install',
  });

function sourceHere(): GoSource {
  const platform = `${process.platform}-${ARCHITECTURES[process.arch] ?? process.arch}`;
  return { proxy: goProxyFrom(), platform, sha256: ZIPS[platform] };
}

/** versitygw from source: S3 with versions and Object Lock over a folder. */
export async function installVersitygw(cache: string, progress: Progress): Promise<string> {
  const binary = join(cache, `versitygw-${VERSITYGW_VERSION}`);
  if (existsSync(binary)) return binary;
  await installGo(cache, progress);
  progress(`versitygw ${VERSITYGW_VERSION}: building with Go (one to two minutes, once)`);
  const bin = join(cache, 'go-bin');
  mkdirSync(bin, { recursive: true });
  await run('go', ['install', `github.com/versity/versitygw/cmd/versitygw@${VERSITYGW_VERSION}`], '/', 's3', {
    GOBIN: bin,
    GOFLAGS: '-trimpath',
  });
  renameSync(join(bin, 'versitygw'), binary);
  return binary;
}
