import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeliveryStore } from '@cairn/webhook';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { cairn as runInMemory } from './testing/run-cairn.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-alerts-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
const alert = {
  id: '019ab000-0000-7000-8000-000000000001',
  key: 'k',
  what: 'opened' as const,
  orgId: 'acme',
  rule: 'fork',
  title: 'A fork',
  level: 'high' as const,
  at: '2026-11-25T12:00:00.000Z',
  group: {},
  count: 1,
  events: [],
  reason: '',
};

describe('cairn alerts', () => {
  test('test tells the endpoint alone that is named, signed, and ends with 1 when it is not accepted', async () => {
    let status = 204;
    const bodies: { body: string; headers: Record<string, string> }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        bodies.push({ body, headers: request.headers as Record<string, string> });
        response.writeHead(status).end('\u001b[31mno');
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    using _ended = {
      [Symbol.dispose]() {
        server.closeAllConnections();
        server.close();
      },
    };
    const { port } = server.address() as AddressInfo;
    const config = join(directory, 'alerting.yaml');
    const network = { ports: [port], plainHttp: true, allow: ['127.0.0.1/32'] };
    const endpoints = ['a', 'b'].map((name) => ({
      name,
      url: `http://127.0.0.1:${port}/${name}`,
      secrets: [SECRET],
    }));
    writeFileSync(config, JSON.stringify({ webhooks: { network, endpoints } }));
    const run = (...args: string[]) => runInMemory(['alerts', 'test', ...args, '--config', config]);
    expect(await run('a')).toMatchObject({ code: 0, stdout: expect.stringContaining('a answered 204') });
    expect(new Webhook(SECRET).verify(bodies[0]!.body, bodies[0]!.headers)).toMatchObject({
      type: 'alert.test',
    });
    status = 403;
    const refused = await run('b');
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain('403');
    expect(refused.stdout).not.toContain('\u001b');
    expect(await run('c')).toMatchObject({ code: 64, stderr: expect.stringContaining('It names a, b') });
    expect(bodies.length).toBe(2);
  });

  test('deliveries shows what waits, and replay makes what was parked due again', async () => {
    const store = new DeliveryStore(join(directory, 'deliveries.sqlite'));
    store.add([{ endpoint: 'a', alert }], 1_000);
    store.disable('a', 'gone', 2_000);
    const parked = await runInMemory(['alerts', 'deliveries', directory, '--state', 'parked']);
    expect(parked.stdout).toMatch(/a +parked +0 +019ab000.*opened +fork +gone/);
    expect((await runInMemory(['alerts', 'replay', directory, 'a'])).stdout).toContain('1 deliveries');
    expect(store.due('a', Date.now(), 10).length).toBe(1);
    store[Symbol.dispose]();
  });

  test('a directory without deliveries is told, and nothing is created in it', async () => {
    const answer = await runInMemory(['alerts', 'deliveries', directory]);
    expect(answer).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('CAIRN_ALERTING_DATA_DIRECTORY'),
    });
  });
});
