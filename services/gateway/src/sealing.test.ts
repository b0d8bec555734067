import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditEvent } from '@cairn/event';
import { keyEncryptionKeyOf, type NamedValue, openBlock, SubjectKeys, splitBlocks } from '@cairn/privacy';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type GatewayRig, startGateway } from '../test/gateway-rig.ts';
import { readGatewayConfig } from './index.ts';

const CANARY = 'Marta Lindqvist, Fjordgata 14';
/** Put together from parts, so that scanners of this repository find none. */
const SECRET = ['gh', 'p_', 'k3Jd8sLq0ZxV5nB1', 'mC7tR4yU2wE9aH6fG0pS'].join('');
const KEK = new Uint8Array(32).fill(5);

const RULES = [
  { service: 'crm', tool: 'note', field: 'customer.id', do: 'token' },
  {
    service: 'crm',
    tool: 'note',
    field: 'customer.*',
    do: 'seal',
    subject: { field: 'customer.id', class: 'customer' },
  },
  { service: 'crm', tool: 'note', field: 'summary', do: 'seal', subject: 'organisation' },
  { service: 'crm', tool: 'mine', field: '*', do: 'seal' },
  { service: 'crm', tool: 'quotes', field: '*', do: 'keep' },
];

describe('values that rules seal', () => {
  let rig: GatewayRig;
  let secrets: string;
  let upstreamPort: number;
  const upstream = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { id, params } = JSON.parse(body) as { id: unknown; params: { name: string } };
      // As JSON in JSON each quote takes four bytes.
      const text = params.name === 'quotes' ? '"'.repeat(60_000) : `no such customer: ${CANARY} ${SECRET}`;
      const isError = !['report', 'quotes'].includes(params.name);
      const result = { content: [{ type: 'text', text }], isError };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    });
  });

  beforeAll(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    upstreamPort = (upstream.address() as AddressInfo).port;
    secrets = mkdtempSync(join(tmpdir(), 'cairn-kek-'));
    writeFileSync(join(secrets, 'kek'), `${Buffer.from(KEK).toString('base64')}\n`, { mode: 0o600 });
    rig = await startGateway(
      { crm: { url: `http://127.0.0.1:${upstreamPort}/mcp` } },
      { config: { privacy: { rules: RULES, sealing: sealing() } } },
    );
  });
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
    upstream.close();
    rmSync(secrets, { recursive: true, force: true });
  });

  const sealing = () => ({
    key_encryption_keys: [join(secrets, 'kek')],
    responses: ['report', 'quotes'].map((tool) => ({
      service: 'crm',
      tool,
      subject: { field: 'customer.id', class: 'customer' },
    })),
  });
  const call = async (name: string, args: object): Promise<{ decision: AuditEvent; outcome: AuditEvent }> => {
    const before = rig.log.events.length;
    await fetch(`${rig.url}/crm`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name, arguments: args },
      }),
    });
    for (let wait = 0; wait < 200; wait += 1) {
      const [decision, outcome] = ['decision', 'outcome'].map((phase) =>
        rig.log.events.slice(before).find((event) => event.tool_name === name && event.phase === phase),
      );
      if (decision && outcome) return { decision, outcome };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no events of ${name}`);
  };
  const keys = () =>
    new SubjectKeys({
      directory: join(rig.directory, 'data', 'subjects'),
      keyEncryptionKeys: [keyEncryptionKeyOf(KEK)],
      onMade: () => Promise.reject(new Error('nothing is made here')),
    });
  const opened = async (
    event: AuditEvent,
    field: 'parameters_sealed' | 'response_sealed',
  ): Promise<{ subject: string; values: NamedValue[] }[]> =>
    Promise.all(
      splitBlocks(event[field]!).map(async (block) => {
        const found = await keys().openKey(event.org_id, block.keyId);
        if (found.state !== 'living') throw new Error(found.state);
        const { subject } = found.key;
        const place = { orgId: event.org_id, subject, field, eventId: event.event_id };
        return { subject, values: openBlock(found.dataKey, block, place) };
      }),
    );
  /** Files of the gateway in which a text stands, of whatever kind. */
  const holding = (text: string): string[] =>
    readdirSync(join(rig.directory, 'data'), { recursive: true, encoding: 'utf8' })
      .map((file) => join(rig.directory, 'data', file))
      .filter((file) => statSync(file).isFile() && readFileSync(file).includes(text));

  test('stand sealed in the decision, each subject under its own key, and nowhere in the clear', async () => {
    const args = { customer: { id: 'c-17', name: CANARY, token: SECRET }, summary: `wrote to ${CANARY}` };
    const { decision, outcome } = await call('note', args);
    const customer = decision.parameters_tokens[0]!.token;
    expect(await opened(decision, 'parameters_sealed')).toEqual([
      {
        subject: expect.stringMatching(/^t1_/),
        values: [
          { name: 'customer.name', value: CANARY },
          { name: 'customer.token', value: '[secret.github-token]' },
        ],
      },
      { subject: 'organisation', values: [{ name: 'summary', value: `wrote to ${CANARY}` }] },
    ]);
    expect(customer).toMatch(/^t1_/);
    expect(outcome.parameters_sealed).toBeNull();
    // The server said it again in its error, which is not kept then.
    expect(outcome).toMatchObject({ error_code: 'tool.error', error_message: '', response_sealed: null });
    const everything = JSON.stringify(rig.log.events, (_, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
    );
    expect(everything).not.toContain(CANARY);
    expect(everything).not.toContain(SECRET);
    expect([holding(CANARY), holding(SECRET)]).toEqual([[], []]);
  });

  test('are told of by their key, with its commitment, before the first event that holds one', async () => {
    await call('note', { customer: { id: 'c-18', name: CANARY } });
    const made = rig.log.events.filter(({ method }) => method === 'subject-key/create');
    for (const event of rig.log.events.filter(({ parameters_sealed }) => parameters_sealed !== null)) {
      for (const { keyId } of splitBlocks(event.parameters_sealed!)) {
        const told = made.find(({ detail }) => detail.includes(keyId));
        expect(rig.log.events.indexOf(told!)).toBeGreaterThanOrEqual(0);
        expect(rig.log.events.indexOf(told!)).toBeLessThan(rig.log.events.indexOf(event));
      }
    }
    expect(JSON.parse(made[0]!.detail)).toMatchObject({ commit: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  test('are not kept, and counted, where the call names no subject', async () => {
    for (const args of [{ customer: { name: CANARY } }, { customer: { id: '', name: CANARY } }]) {
      const { decision } = await call('note', args);
      expect(decision.parameters_sealed).toBeNull();
      expect(decision.redactions).toContainEqual({ rule: 'seal.no-subject', count: expect.any(Number) });
    }
    // The caller has no user.
    expect((await call('mine', { a: CANARY })).decision).toMatchObject({ parameters_sealed: null });
  });

  test('of a response stand whole in the outcome, without credentials, and what is too long is cut and said so', async () => {
    const { decision, outcome } = await call('report', { customer: { id: 'c-17' } });
    expect(decision.parameters_sealed).toBeNull();
    const [block] = await opened(outcome, 'response_sealed');
    expect(block!.values[0]!.name).toBe('$');
    expect(block!.values[0]!.value).toContain(CANARY);
    expect(block!.values[0]!.value).not.toContain(SECRET);
    const { decision: long } = await call('note', { customer: { id: 'c-17', name: 'x'.repeat(90_000) } });
    expect(long.redactions).toContainEqual({ rule: 'seal.cut', count: 1 });
    const [values] = await opened(long, 'parameters_sealed');
    expect(values!.values[0]).toMatchObject({ cut: true, value: expect.stringMatching(/^x{12000,}…$/) });
  });

  /** As many values as a rule keeps, each so deep below so long a name. */
  const kept = (name: string, depth: number): object => {
    let value: object | string = 'y'.repeat(600);
    for (let level = 0; level < depth; level += 1) value = { [name]: value };
    const fields = Array.from({ length: 31 }, (_, field) => [`f${field}`, value]);
    return { customer: { id: 'c-17' }, ...Object.fromEntries(fields) };
  };

  test('of a response are cut by the room that they take once sealed, so that what is kept has its own', async () => {
    const { outcome } = await call('quotes', kept('name', 1));
    expect(outcome.parameters_kept).toHaveLength(32);
    expect(outcome.redactions).toContainEqual({ rule: 'seal.cut', count: 1 });
    expect(outcome.response_sealed!.length).toBeLessThan(24_576 + 200);
    const [block] = await opened(outcome, 'response_sealed');
    expect(block!.values[0]).toMatchObject({
      cut: true,
      value: expect.stringMatching(/^\{"content":\[\{"text":"(\\"){5000,}…$/),
    });
  });

  test('of a response are left out, and counted, where an event has no room for them beside all the rest', async () => {
    const { outcome } = await call('quotes', kept('é'.repeat(64), 5));
    expect(outcome).toMatchObject({ result_status: 'success', response_sealed: null });
    expect(outcome.redactions).toContainEqual({ rule: 'seal.no-room', count: 1 });
  });

  test('are refused with the call when their key cannot be had', async () => {
    const directory = join(rig.directory, 'data', 'subjects', 'acme');
    const [file] = readdirSync(directory).filter((name) => name.endsWith('.key'));
    const path = join(directory, file!);
    const text = readFileSync(path);
    for (const name of readdirSync(directory)) writeFileSync(join(directory, name), 'not a key');
    const response = await fetch(`${rig.url}/crm`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'note', arguments: { customer: { id: 'c-17', name: CANARY } } },
      }),
    });
    expect(((await response.json()) as { error: { code: number } }).error.code).toBe(-32_011);
    writeFileSync(path, text);
  });

  test('need a key-encryption key that is there, and that nobody else may read, or the gateway does not start', async () => {
    const upstreams = { crm: { url: `http://127.0.0.1:${upstreamPort}/mcp` } };
    const open = join(secrets, 'open');
    writeFileSync(open, readFileSync(join(secrets, 'kek')));
    chmodSync(open, 0o644);
    for (const file of [join(secrets, 'none'), open])
      await expect(
        startGateway(upstreams, {
          config: { privacy: { rules: RULES, sealing: { key_encryption_keys: [file] } } },
        }),
      ).rejects.toMatchObject({ code: 'keys.unreadable' });
    await expect(startGateway(upstreams, { config: { privacy: { rules: RULES } } })).rejects.toMatchObject({
      code: 'config.invalid',
    });
    const config = readGatewayConfig({ CAIRN_GATEWAY_CONFIG: rig.configFile });
    expect(config.privacy.sealing?.directory).toBe(join(rig.directory, 'data', 'subjects'));
  });
});
