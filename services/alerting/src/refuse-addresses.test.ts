import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openGuardedHttp } from '@cairn/adapters';
import { type Endpoint, refusalOfUrl, refusalsOf, sendAlert, webhooksSchema } from '@cairn/webhook';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { testAlert } from '../test/test-alert.ts';

/** A service inside the network that must never be called, on every address of this machine. */
let inside: Server;
let port: number;
let calls = 0;
/** Every socket that this process opens, whoever opens it. */
let opened: unknown[] = [];
const onSocket = (message: unknown): void => void opened.push(message);
beforeAll(async () => {
  inside = createServer((_, response) => {
    calls += 1;
    response.end('secret');
  }).listen(0, '::');
  await once(inside, 'listening');
  port = (inside.address() as AddressInfo).port;
});
afterAll(() => {
  inside.close();
});
beforeEach(() => {
  opened = [];
  calls = 0;
  diagnostics.subscribe('net.client.socket', onSocket);
});
afterEach(() => {
  diagnostics.unsubscribe('net.client.socket', onSocket);
});

const network = () => ({ ports: [443, 80, port], plainHttp: true, allow: [] as string[] });
const endpointTo = (url: string): Endpoint => ({ name: 'x', url, format: 'json', secrets: [], level: 'low' });
async function sendTo(
  url: string,
  names: Readonly<Record<string, readonly string[]>> = {},
  rules = network(),
) {
  await using http = openGuardedHttp({
    refusalOf: refusalsOf(rules),
    answerMsMax: 2_000,
    resolve: async (host) => names[host] ?? [],
  });
  return await sendAlert(http, endpointTo(url), rules, testAlert('1'), Date.now());
}

/** Ways to write an address that is not public. */
const LITERALS = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '127.255.255.254',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0x7F.0x0.0x0.0x1',
  '0177.0.0.1',
  '017700000001',
  '0177.0x0.1',
  '00000177.0.0.1',
  '127.0.0.1.',
  '2130706433.',
  '①②⑦.⓪.⓪.①',
  '127。0。0。1',
  '127．0．0．1',
  '１２７.0.0.1',
  '%31%32%37.0.0.1',
  '0',
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '0x0a000001',
  '012.0.0.1',
  '100.64.0.1',
  '100.100.100.200',
  '169.254.169.254',
  '2852039166',
  '0xa9fea9fe',
  '0251.0376.0251.0376',
  '169.254.43518',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.192',
  '192.168.0.1',
  '192.168.257',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '[::1]',
  '[::]',
  '[0:0:0:0:0:0:0:1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:169.254.169.254]',
  '[::127.0.0.1]',
  '[::ffff:0:127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[64:ff9b::a9fe:a9fe]',
  '[64:ff9b:1::10.0.0.1]',
  '[2002:7f00:1::]',
  '[2002:a9fe:a9fe::1]',
  '[2001:0:7f00:1::]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[fe80::1]',
  '[fec0::1]',
  '[ff02::1]',
  '[100::1]',
  '[2001:db8::1]',
];

/** Ways in which a name leads inside, by what it resolves to. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  localhost: ['127.0.0.1'],
  'internal.example': ['10.0.0.5'],
  'metadata.example': ['169.254.169.254'],
  'six.example': ['::1'],
  'mapped.example': ['::ffff:169.254.169.254'],
  'mixed.example': ['93.184.215.14', '127.0.0.1'],
  'mixed-six.example': ['2606:2800:21f:cb07:6820:80da:af6b:8b2c', '::1'],
  'nat64.example': ['64:ff9b::7f00:1'],
  'zone.example': ['fe80::1%lo'],
  'nowhere.example': [],
  'nonsense.example': ['not-an-address'],
  '127.0.0.1.nip.example': ['127.0.0.1'],
};

describe('what is inside the network', () => {
  test('is written in at least sixty forms here', () => {
    expect(LITERALS.length).toBeGreaterThanOrEqual(60);
  });

  test.each(LITERALS)('is not called as http://%s', async (host) => {
    const { status, note } = await sendTo(`http://${host}:${port}/latest/meta-data`);
    expect({ status, opened, calls }).toEqual({ status: undefined, opened: [], calls: 0 });
    expect(note).toMatch(/not a public address|not an address/);
  });

  test.each(LITERALS)('is not connected to as %s, should the check of the URL be passed', async (host) => {
    await using http = openGuardedHttp({ refusalOf: refusalsOf({ allow: [] }), answerMsMax: 2_000 });
    const url = new URL(`http://${host}:${port}/`);
    const failure = { code: 'http.refused-address' };
    await expect(http.post(url, {}, Buffer.from('{}'))).rejects.toMatchObject(failure);
    expect({ opened, calls }).toEqual({ opened: [], calls: 0 });
  });

  test.each(Object.keys(NAMES))('is not called by the name %s', async (name) => {
    const { status } = await sendTo(`http://${name}:${port}/`, NAMES);
    expect({ status, opened, calls }).toEqual({ status: undefined, opened: [], calls: 0 });
  });

  test('is not called by a name that resolves otherwise the second time', async () => {
    const answers = [['127.0.0.1'], ['10.0.0.1']];
    let asked = 0;
    const rules = { ...network(), allow: ['127.0.0.1/32'] };
    await using http = openGuardedHttp({
      refusalOf: refusalsOf(rules),
      answerMsMax: 2_000,
      connections: 1,
      resolve: async () => answers[asked++] ?? [],
    });
    const send = () =>
      sendAlert(http, endpointTo(`http://rebind.example:${port}/`), rules, testAlert('1'), 0);
    expect(await send()).toMatchObject({ status: 200 });
    // The connection that was checked may be used again; a new one is checked again.
    expect(await send()).toMatchObject({ status: 200 });
    expect({ asked, sockets: opened.length }).toEqual({ asked: 1, sockets: 1 });
  });

  test.each([301, 302, 303, 307, 308])('is not reached by a redirect (%i)', async (status) => {
    const outside = createServer((_, response) => {
      response.writeHead(status, { location: `http://127.0.0.1:${port}/secret` }).end();
    }).listen(0, '127.0.0.1');
    await once(outside, 'listening');
    const at = (outside.address() as AddressInfo).port;
    const rules = { ports: [at], plainHttp: true, allow: ['127.0.0.1/32'] };
    const attempt = await sendTo(`http://hook.example:${at}/`, { 'hook.example': ['127.0.0.1'] }, rules);
    expect({ ...attempt, calls }).toMatchObject({ status, calls: 0 });
    outside.close();
  });

  test('is called where its network is allowed, by literal and by name', async () => {
    const rules = { ...network(), allow: ['127.0.0.0/8', '::1/128'] };
    for (const host of ['127.0.0.1', '[::1]', 'inner.example']) {
      const attempt = await sendTo(`http://${host}:${port}/`, { 'inner.example': ['127.0.0.1'] }, rules);
      expect(attempt).toMatchObject({ status: 200 });
    }
    expect(calls).toBe(3);
  });
});

describe('a URL', () => {
  const rules = { ports: [443], plainHttp: false, allow: [] };
  test.each([
    ['http://hook.example/', 'its scheme is not https'],
    ['ftp://hook.example/', 'its scheme is not https'],
    ['file:///etc/passwd', 'its scheme is not https'],
    ['gopher://hook.example:443/', 'its scheme is not https'],
    ['https://user:pass@hook.example/', 'it holds credentials'],
    ['https://127.0.0.1@hook.example/', 'it holds credentials'],
    ['https://hook.example:22/', 'port 22 is not among the allowed ones'],
    ['https://hook.example:6379/', 'port 6379 is not among the allowed ones'],
    ['https://hook.example:65535/', 'port 65535 is not among the allowed ones'],
  ])('like %s is refused: %s', (url, refusal) => {
    expect(refusalOfUrl(new URL(url), rules)).toBe(refusal);
    const parsed = webhooksSchema.safeParse({ endpoints: [{ name: 'x', url, format: 'slack' }] });
    expect(parsed.success).toBe(false);
  });

  test('with a public name on port 443 is taken', () => {
    expect(refusalOfUrl(new URL('https://hooks.slack.com/services/T/B/x'), rules)).toBeUndefined();
    expect(refusalOfUrl(new URL('https://[2606:4700::1111]/'), rules)).toBeUndefined();
    expect(refusalOfUrl(new URL('https://1.1.1.1/'), rules)).toBeUndefined();
  });
});
