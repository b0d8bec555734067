// A machine without Go, or with one that is too old: PATH holds what unpacking takes and nothing else, and the proxy is a small one
// of this file, whose toolchain is a script.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { installFromDebian } from './install.ts';
import { GO_VERSION, type GoSource, installGo } from './install-go.ts';

const PLATFORM = 'test-none';
const NAME = `v0.0.1-go${GO_VERSION}.${PLATFORM}`;
const PATH = process.env['PATH'];
let [directory, cache, bin] = ['', '', ''];
let server: Server;
let asked: string[];
let answer: (zip: Buffer) => Buffer | undefined;
let zip: Buffer;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-go-'));
  [cache, bin] = [join(directory, 'cache'), join(directory, 'bin')];
  for (const made of [cache, bin]) mkdirSync(made);
  await installFromDebian('unzip', 'unzip', () => {});
  zip = toolchain();
  for (const tool of ['sh', 'env', 'unzip'])
    symlinkSync(
      execFileSync('sh', ['-c', 'command -v "$1"', 'sh', tool], { encoding: 'utf8' }).trim(),
      join(bin, tool),
    );
  process.env['PATH'] = bin;
  [asked, answer] = [[], (whole) => whole];
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const bytes = answer(zip);
    response.setHeader('content-length', zip.length);
    if (bytes === undefined)
      response.write(zip.subarray(0, 100), () => setTimeout(() => response.destroy(), 20));
    else response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  process.env['PATH'] = PATH;
  server.close();
  server.closeAllConnections();
  rmSync(directory, { recursive: true, force: true });
});

/** As the proxy holds one: no execute bits, and go.mod under a name that keeps the tree one module. */
function toolchain(): Buffer {
  const tree = join(directory, 'golang.org', `toolchain@${NAME}`);
  const files = {
    'bin/go': `#!/bin/sh\necho go${GO_VERSION}\n`,
    'pkg/tool/x/compile': 'tool',
    'src/_go.mod': 'module std',
    'src/cmd/_go.mod': 'module cmd',
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(tree, dirname(name)), { recursive: true });
    writeFileSync(join(tree, name), text, { mode: 0o644 });
  }
  execFileSync('python3', ['-m', 'zipfile', '-c', 'toolchain.zip', 'golang.org'], { cwd: directory });
  return readFileSync(join(directory, 'toolchain.zip'));
}

const source = (sha256: string | undefined = createHash('sha256').update(zip).digest('hex')): GoSource => ({
  proxy: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  platform: PLATFORM,
  sha256,
});
const install = (from = source()) => installGo(cache, () => {}, from);
const saysGo = () => execFileSync('go', ['version'], { encoding: 'utf8', env: process.env }).trim();

test('a machine without Go gets one, which this process and what it starts find, and gets it once', async () => {
  expect(saysGo).toThrow('ENOENT');
  await install();
  expect(saysGo()).toBe(`go${GO_VERSION}`);
  const tree = join(cache, `go-${GO_VERSION}-${PLATFORM}`);
  expect(readdirSync(cache)).toEqual([`go-${GO_VERSION}-${PLATFORM}`]);
  expect(statSync(join(tree, 'pkg', 'tool', 'x', 'compile')).mode & 0o111).toBe(0o111);
  expect([readdirSync(join(tree, 'src')), readdirSync(join(tree, 'src', 'cmd'))]).toEqual([
    ['cmd', 'go.mod'],
    ['go.mod'],
  ]);
  process.env['PATH'] = bin;
  await install();
  expect([saysGo(), asked]).toEqual([`go${GO_VERSION}`, [`/golang.org/toolchain/@v/${NAME}.zip`]]);
});

test.each([
  ['is too old', 'echo go1.19.8'],
  ['may not fetch the version that our modules take', 'echo "go: go.mod requires go >= 1.26" >&2; exit 1'],
])('a Go that %s is passed over', async (_what, does) => {
  writeFileSync(join(bin, 'go'), `#!/bin/sh\n${does}\n`);
  chmodSync(join(bin, 'go'), 0o755);
  await install();
  expect(saysGo()).toBe(`go${GO_VERSION}`);
});

test('a Go that is new enough is used, and nothing is downloaded', async () => {
  writeFileSync(join(bin, 'go'), '#!/bin/sh\necho go1.99.0\n');
  chmodSync(join(bin, 'go'), 0o755);
  await install();
  expect([saysGo(), asked]).toEqual(['go1.99.0', []]);
});

test('a toolchain that is another than the known one is never unpacked', async () => {
  answer = (whole) =>
    Buffer.concat([whole.subarray(0, 40), Buffer.from([whole[40]! ^ 1]), whole.subarray(41)]);
  await expect(install()).rejects.toMatchObject({
    code: 'install.failed',
    message: expect.stringContaining('SHA-256'),
  });
  expect(readdirSync(cache)).toEqual([]);
  await expect(install(source('0'.repeat(64)))).rejects.toMatchObject({ code: 'install.failed' });
});

test('a download that breaks off leaves nothing, and is begun again', async () => {
  answer = () => undefined;
  await expect(install()).rejects.toMatchObject({ code: 'install.failed' });
  expect(readdirSync(cache)).toEqual([]);
  answer = (whole) => whole;
  await install();
  expect(saysGo()).toBe(`go${GO_VERSION}`);
});

test('where no toolchain is known, what is missing and how to get it is said', async () => {
  await expect(install({ ...source(), sha256: undefined })).rejects.toMatchObject({
    code: 'tool.missing',
    message: expect.stringContaining(PLATFORM),
    mend: expect.stringContaining('https://go.dev'),
  });
});
