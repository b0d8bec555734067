import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  EVERYTHING,
  type GatewayRig,
  type HttpServerProcess,
  startGateway,
  startHttpServer,
} from '../test/gateway-rig.ts';

const require = createRequire(import.meta.url);
const SUITE = join(
  dirname(require.resolve('@modelcontextprotocol/conformance/package.json')),
  'dist',
  'index.js',
);

let server: HttpServerProcess;
let rig: GatewayRig;
const results = mkdtempSync(join(tmpdir(), 'cairn-conformance-'));
beforeAll(async () => {
  server = await startHttpServer([EVERYTHING, 'streamableHttp']);
  rig = await startGateway({
    http: { url: server.url },
    stdio: { command: process.execPath, args: [EVERYTHING] },
  });
}, 60_000);
afterAll(async () => {
  await rig?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  rmSync(results, { recursive: true, force: true });
});

/** Checks that failed, by scenario. */
async function failuresAt(url: string, name: string): Promise<Map<string, number>> {
  const directory = join(results, name);
  const args = [SUITE, 'server', '--url', url, '--suite', 'all', '--output-dir', directory];
  await new Promise((resolve) => spawn(process.execPath, args, { stdio: 'ignore' }).once('exit', resolve));
  const failures = new Map<string, number>();
  for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('checks.json')) continue;
    // Folders are named after the scenario and the time at which it ran.
    const scenario = file.replace(/-\d{4}-\d{2}-\d{2}T.*$/, '').replace(/^server-/, '');
    const checks = JSON.parse(readFileSync(join(directory, file), 'utf8')) as { status: string }[];
    failures.set(scenario, checks.filter(({ status }) => status === 'FAILURE').length);
  }
  return failures;
}

test('no scenario of the official suite is worse through the gateway than against the same server directly', async () => {
  const direct = await failuresAt(server.url, 'direct');
  for (const service of ['http', 'stdio']) {
    const through = await failuresAt(`${rig.url}/${service}`, service);
    expect([...through.keys()].toSorted()).toEqual([...direct.keys()].toSorted());
    const worse = [...through].filter(([scenario, failed]) => failed > (direct.get(scenario) ?? 0));
    expect([service, worse]).toEqual([service, []]);
  }
  expect(direct.size).toBeGreaterThanOrEqual(30);
  expect([...direct.values()].filter((failed) => failed === 0).length).toBeGreaterThanOrEqual(10);
}, 240_000);
