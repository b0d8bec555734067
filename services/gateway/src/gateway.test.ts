import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPrivacyGuard, keyRingOf } from '@cairn/privacy';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type GatewayRig, startGateway } from '../test/gateway-rig.ts';
import { headerMismatch } from './check-headers.ts';
import { createSessions, sessionOfBaggage, traceOf } from './derive-session.ts';
import type { Caller } from './identity.ts';
import { loadPolicy } from './load-policy.ts';
import { readMessage } from './read-message.ts';
import { dataOf, EventCutter, eventOf } from './sse.ts';

const call = (params: object, id: unknown = 1) => ({ jsonrpc: '2.0', id, method: 'tools/call', params });

/** An upstream whose answer the test decides, and which remembers what it was asked. */
interface Upstream {
  readonly url: string;
  readonly asked: { headers: IncomingMessage['headers']; body: string; onDisk: number }[];
  answer: (response: ServerResponse, id: unknown) => void;
  close(): void;
}

const json = (response: ServerResponse, value: unknown): void => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};

async function startUpstream(onDisk: () => number): Promise<Upstream> {
  const asked: Upstream['asked'] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    asked.push({ headers: request.headers, body, onDisk: onDisk() });
    upstream.answer(response, (JSON.parse(body) as { id: unknown }).id);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const upstream: Upstream = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    asked,
    answer: (response, id) => json(response, { jsonrpc: '2.0', id, result: { content: [] } }),
    close: () => server.close(),
  };
  return upstream;
}

const POLICY = `
@id("all") permit (principal, action, resource);
@id("no-delete") forbid (principal, action, resource) when { resource.action == "delete" };
@id("overflows") forbid (principal, action, resource)
when { resource.name == "broken" && 9223372036854775807 + 1 > 0 };
`;

describe('a gateway that starts', () => {
  test('has the key and the open stream of every organisation that may call, before the first call', async () => {
    const identity = { credential_sha256: 'a'.repeat(64), org: 'globex', agent: 'a' };
    await using rig = await startGateway(
      { up: { url: 'http://127.0.0.1:1/mcp' } },
      { config: { identities: [identity, { ...identity, credential_sha256: 'b'.repeat(64) }] } },
    );
    const keys = readdirSync(join(rig.directory, 'data', 'recorder', 'keys')).sort();
    expect(keys).toEqual(['acme', 'globex', 'test'].flatMap((org) => [`${org}.pem`, `${org}.vkey`]));
    for (let wait = 0; wait < 100 && rig.log.events.length < 3; wait += 1) await sleep(20);
    expect(rig.log.events.map(({ org_id, kind }) => `${org_id} ${kind}`).sort()).toEqual([
      'acme stream_open',
      'globex stream_open',
      'test stream_open',
    ]);
  });
});

describe('a call through the gateway', () => {
  let rig: GatewayRig;
  let upstream: Upstream;
  beforeAll(async () => {
    upstream = await startUpstream(() => onDisk('ordered-tool'));
    const tools = { 'delete_*': { action: 'delete' }, slow: { timeout_ms: 150 } };
    rig = await startGateway(
      { up: { url: upstream.url, headers: { 'x-own': 'yes' }, tools } },
      { policy: POLICY },
    );
  });
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
    upstream?.close();
  });

  /** How many times a text stands in the recorder's spool. */
  const onDisk = (text: string): number => {
    const spool = join(rig.directory, 'data', 'recorder');
    return readdirSync(spool, { recursive: true, encoding: 'utf8' })
      .map((file) => join(spool, file))
      .filter((file) => statSync(file).isFile())
      .reduce((sum, file) => sum + readFileSync(file).toString('latin1').split(text).length - 1, 0);
  };

  const post = async (body: string | object, headers: Record<string, string> = {}) => {
    const response = await fetch(`${rig.url}/up`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, text, json: (text.startsWith('{') ? JSON.parse(text) : {}) as Answer };
  };
  interface Answer {
    result?: unknown;
    error?: { code: number; message: string; data?: { event_id?: string; code?: string } };
  }
  /** The last event of a call, once it has arrived. */
  const lastEvent = async (tool_name: string, phase: string) => {
    for (let wait = 0; wait < 200; wait += 1) {
      const found = rig.log.events.findLast(
        (event) => event.tool_name === tool_name && event.phase === phase,
      );
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`no ${phase} of ${tool_name}`);
  };

  test('reaches the server with its bytes unchanged, and without the credential of the agent', async () => {
    const body = ` { "params":{"name":"echo","arguments":{"a":1.0,"_x":"\\u00e9 é"} , "_meta":{"k":[ ]}},"method":"tools/call","id":"x-1","jsonrpc":"2.0"}\n`;
    await post(body, { 'x-custom': 'passes', cookie: 'no' });
    const seen = upstream.asked.at(-1);
    expect(seen?.body).toBe(body);
    expect(seen?.headers).toMatchObject({ 'x-custom': 'passes', 'x-own': 'yes' });
    expect(seen?.headers).not.toHaveProperty('cookie');
    expect(seen?.headers).not.toHaveProperty('authorization');
  });

  test('has its decision on disk before the server is asked, and its outcome before the agent is answered', async () => {
    await post(call({ name: 'ordered-tool' }));
    expect(onDisk('ordered-tool')).toBe(2);
    expect(upstream.asked.at(-1)?.onDisk).toBe(1);
  });

  test('is answered with the bytes of the server', async () => {
    const bytes = '{"jsonrpc":"2.0", "id":1 ,"result":{"content":[],"z":1.50}}';
    upstream.answer = (response) => {
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'x-server': 'said' });
      response.end(bytes);
    };
    expect((await post(call({ name: 'echo' }))).text).toBe(bytes);
    upstream.answer = (response, id) => json(response, { jsonrpc: '2.0', id, result: { content: [] } });
  });

  test('that the policy denies never reaches the server, and the refusal names rule and event', async () => {
    const before = upstream.asked.length;
    const { json: answer } = await post(call({ name: 'delete_everything' }));
    expect(answer.error).toMatchObject({
      code: -32010,
      data: { code: 'policy.denied', rules: ['no-delete'] },
    });
    expect(upstream.asked.length).toBe(before);
    const event = await lastEvent('delete_everything', 'single');
    expect(event).toMatchObject({
      decision: 'deny',
      result_status: 'denied',
      rules_matched: ['no-delete'],
      action: 'delete',
    });
    expect(event.rules_evaluated).toEqual(['all', 'no-delete', 'overflows']);
  });

  test('is denied when a forbid fails to evaluate, and the error is recorded', async () => {
    const { json: answer } = await post(call({ name: 'broken' }));
    expect(answer.error?.code).toBe(-32010);
    expect((await lastEvent('broken', 'single')).policy_errors[0]).toContain('overflows');
  });

  test('whose header says another method or name than its body is refused and recorded', async () => {
    for (const headers of [{ 'mcp-method': 'tools/list' }, { 'mcp-name': 'harmless' }]) {
      const before = upstream.asked.length;
      const answer = await post(call({ name: 'echo' }), headers);
      expect([answer.status, answer.json.error?.code]).toEqual([400, -32020]);
      expect(upstream.asked.length).toBe(before);
    }
  });

  test.each([
    [
      'a name twice in one object',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\\u0061me":"delete_x"}}',
    ],
    ['a batch', `[${JSON.stringify(call({ name: 'echo' }))}]`],
    ['no JSON', '{'],
    ['an id that is an object', JSON.stringify(call({ name: 'echo' }, {}))],
    ['a hundred levels', `${'['.repeat(100)}${']'.repeat(100)}`],
  ])('with %s is refused before the policy is asked', async (_, body) => {
    const before = upstream.asked.length;
    expect((await post(body)).status).toBe(400);
    expect(upstream.asked.length).toBe(before);
  });

  test('that fails in the tool is an outcome of failure, with the error scrubbed', async () => {
    upstream.answer = (response, id) =>
      json(response, {
        jsonrpc: '2.0',
        id,
        result: { isError: true, content: [{ type: 'text', text: 'no user a.b@example.com' }] },
      });
    await post(call({ name: 'failing' }));
    expect(await lastEvent('failing', 'outcome')).toMatchObject({
      result_status: 'failure',
      error_code: 'tool.error',
      error_message: 'no user [pii.email]',
    });
    upstream.answer = (response, id) => json(response, { jsonrpc: '2.0', id, result: { content: [] } });
  });

  test('that takes too long ends in a timeout for the agent and in the trail', async () => {
    upstream.answer = () => {};
    const { json: answer } = await post(call({ name: 'slow' }));
    expect(answer.error).toMatchObject({ code: -32012, data: { code: 'upstream.timeout' } });
    expect((await lastEvent('slow', 'outcome')).result_status).toBe('timeout');
    upstream.answer = (response, id) => json(response, { jsonrpc: '2.0', id, result: { content: [] } });
  });

  test('whose server asks back is pending, and the next attempt belongs to the same call', async () => {
    upstream.answer = (response, id) =>
      json(response, {
        jsonrpc: '2.0',
        id,
        result: { resultType: 'input_required', requestState: 'state-7', inputRequests: {} },
      });
    await post(call({ name: 'asks' }, 'a'));
    const first = await lastEvent('asks', 'outcome');
    upstream.answer = (response, id) => json(response, { jsonrpc: '2.0', id, result: { content: [] } });
    await post(call({ name: 'asks', requestState: 'state-7', inputResponses: {} }, 'b'));
    await rig.log.calls(1);
    for (let wait = 0; wait < 100; wait += 1) {
      if ((await lastEvent('asks', 'outcome')).attempt === 2) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const second = await lastEvent('asks', 'outcome');
    expect(first.result_status).toBe('pending');
    expect(second).toMatchObject({ result_status: 'success', attempt: 2, call_id: first.call_id });
  });

  test('from a page of another origin, or by a name that is not loopback, is refused', async () => {
    expect((await post(call({ name: 'echo' }), { origin: 'https://evil.example' })).status).toBe(403);
  });

  test('with a body that is too large is refused', async () => {
    expect((await post(call({ name: 'echo', arguments: { text: 'x'.repeat(5 * 1024 ** 2) } }))).status).toBe(
      413,
    );
  });
});

describe('when nothing can be recorded', () => {
  test('the tool is not called', async () => {
    let asked = 0;
    const upstream = await startUpstream(() => 0);
    upstream.answer = (response, id) => {
      asked += 1;
      json(response, { jsonrpc: '2.0', id, result: {} });
    };
    const rig = await startGateway(
      { up: { url: upstream.url } },
      { config: { recorder: { spool_bytes_max: 4 * 1024 ** 2 } } },
    );
    // Nothing leaves the spool, so it fills.
    rig.log.append = () => new Promise(() => {});
    let refusal: { error?: { code: number; data?: object } } = {};
    let calls = 0;
    const parameters = {
      name: 'echo',
      arguments: Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`name_${n}`, n])),
    };
    for (; calls < 20_000 && !refusal.error; calls += 50) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () =>
          fetch(`${rig.url}/up`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', accept: 'application/json' },
            body: JSON.stringify(call(parameters)),
          }).then((response) => response.json() as Promise<typeof refusal>),
        ),
      );
      refusal = answers.find(({ error }) => error) ?? {};
    }
    expect(refusal.error).toMatchObject({ code: -32011, data: { code: 'audit.unavailable' } });
    const before = asked;
    const again = await fetch(`${rig.url}/up`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(call(parameters)),
    });
    expect(await again.json()).toMatchObject({ error: { code: -32011 } });
    expect(asked).toBe(before);
    upstream.close();
    await rig[Symbol.asyncDispose]();
  }, 120_000);
});

describe('sessions', () => {
  const guard = createPrivacyGuard({ keys: keyRingOf(new Uint8Array(32)) });
  const caller: Caller = {
    org_id: 'acme',
    agent_id: 'a',
    agent_version: '',
    principal_type: 'agent',
    user_id: '',
    auth_method: 'bearer',
    key: 'k',
  };
  const none = { meta: undefined, baggage: undefined, traceparent: undefined, mcpSessionId: undefined };
  const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

  test('the best hint wins: assertion, baggage, trace, transport, and at last the caller', () => {
    const sessionOf = createSessions(guard);
    const all = {
      meta: { 'dev.cairn/session-id': 's-1' },
      baggage: 'session.id=b-1',
      traceparent: TRACE,
      mcpSessionId: 'm',
    };
    const sources = [
      sessionOf(caller, all),
      sessionOf(caller, { ...all, meta: undefined }),
      sessionOf(caller, { ...all, meta: undefined, baggage: undefined }),
      sessionOf(caller, { ...none, mcpSessionId: 'm' }),
      sessionOf(caller, none),
    ].map(({ session_source, session_id }) => [session_source, session_id]);
    expect(sources.slice(0, 3)).toEqual([
      ['asserted', 's-1'],
      ['baggage', 'b-1'],
      ['trace', '4bf92f3577b34da6a3ce929d0e0e4736'],
    ]);
    expect(sources[3]?.[0]).toBe('transport');
    expect(sources[3]?.[1]).not.toBe('m');
    expect(sources[4]?.[0]).toBe('derived');
  });

  test('a caller without any hint begins a new session after thirty minutes of silence', () => {
    let now = 0;
    const sessionOf = createSessions(guard, () => now);
    const first = sessionOf(caller, none);
    now += 29 * 60_000;
    const second = sessionOf(caller, none);
    now += 31 * 60_000;
    const third = sessionOf(caller, none);
    expect(second.session_id).toBe(first.session_id);
    expect(second.step).toBe(2);
    expect(third.session_id).not.toBe(first.session_id);
    expect(third.step).toBe(1);
  });

  test('an id that holds something personal becomes a token', () => {
    const { session_id } = createSessions(guard)(caller, {
      ...none,
      baggage: 'session.id=a.b%40example.com',
    });
    expect(session_id).toMatch(/^t1_/);
  });

  test('malformed traces and baggage are no hints', () => {
    for (const wrong of ['', '00-0-0-0', TRACE.replace('4bf92f3577b34da6a3ce929d0e0e4736', '0'.repeat(32))]) {
      expect(traceOf(wrong)).toBeUndefined();
    }
    expect(sessionOfBaggage('session.id=%E0%A4%A')).toBeUndefined();
    expect(sessionOfBaggage('a=1, session.id = x-1 ;p=2')).toBe('x-1');
  });
});

describe('messages', () => {
  test('what is read is what JSON.parse reads, for any params', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (params) => {
        const text = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'm', params });
        const read = readMessage(text);
        const parsed = JSON.parse(text) as { params: object };
        const names = JSON.stringify(parsed).isWellFormed();
        if (read.ok) expect(read.message.params).toEqual(parsed.params);
        else expect([read.why, names]).toEqual(['a name is not well-formed Unicode', true]);
      }),
    );
  });

  test('a response that names a header is not compared with it', () => {
    const read = readMessage('{"jsonrpc":"2.0","id":1,"result":{}}');
    if (!read.ok) throw new Error(read.why);
    expect(headerMismatch(read.message, { version: undefined, method: 'x', name: 'y' })).toBeUndefined();
  });
});

describe('server-sent events', () => {
  test('however a stream is cut, its events come whole and no byte is changed', () => {
    const data = fc.string({ unit: 'binary' }).map((text) => JSON.stringify({ text: text.toWellFormed() }));
    const end = fc.constantFrom('\n', '\r\n', '\r');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(data, end), { minLength: 1 }),
        fc.integer({ min: 1, max: 40 }),
        (list, size) => {
          const texts = list.map(([text, line]) => `id: 1${line}data: ${text}${line}${line}`);
          const stream = Buffer.from(texts.join(''));
          const cutter = new EventCutter(1 << 20);
          const events: Uint8Array[] = [];
          for (let at = 0; at < stream.length; at += size)
            events.push(...cutter.push(stream.subarray(at, at + size)));
          const rest = cutter.end();
          expect(Buffer.concat([...events, rest])).toEqual(stream);
        },
      ),
    );
  });

  test('a message becomes an event that gives the message back', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify({ value });
        expect(dataOf(Buffer.from(eventOf(text)))).toBe(text);
      }),
    );
  });
});

describe('policies', () => {
  test('that do not fit the vocabulary are refused at load, each by name', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cairn-policy-'));
    writeFileSync(
      join(directory, 'a.cedar'),
      '@id("typo") forbid (principal, action, resource) when { resource.akshun == "delete" };',
    );
    await expect(loadPolicy(directory, 'enforce')).rejects.toMatchObject({
      code: 'policy.invalid',
      message: expect.stringContaining('typo'),
    });
    await expect(loadPolicy(join(directory, 'none'), 'enforce')).rejects.toMatchObject({
      code: 'policy.invalid',
    });
  });
});
