import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEvent } from '@cairn/event';
import { createLog, createMetrics } from '@cairn/runtime';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type GatewayRig, MemoryLog, startGateway } from '../test/gateway-rig.ts';
import type { Outcome } from './call.ts';
import { ClientSessions } from './client-sessions.ts';
import type { UpstreamConfig } from './config.ts';
import type { Core } from './core.ts';
import type { Exchange } from './exchange.ts';
import { httpUpstream } from './forward-http.ts';
import { createStdioGateway } from './gateway.ts';
import type { Caller } from './identity.ts';
import { readGatewayConfig } from './index.ts';
import { PendingCalls } from './pending-calls.ts';
import { EventCutter } from './sse.ts';
import { createToolCatalogue } from './tool-catalogue.ts';

const call = (name: unknown, id: unknown = 1, more: object = {}) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, ...more },
});
const answer = (id: unknown, text = 'answer') => ({
  jsonrpc: '2.0',
  id,
  result: { content: [{ type: 'text', text }] },
});
const event = (value: unknown): string => `event: message\ndata: ${JSON.stringify(value)}\n\n`;

/** The outcome of a call, once it has arrived. */
async function outcomeOf(log: MemoryLog, tool_name: string): Promise<AuditEvent> {
  for (let wait = 0; wait < 250; wait += 1) {
    const found = log.events.find((one) => one.tool_name === tool_name && one.phase === 'outcome');
    if (found) return found;
    await sleep(20);
  }
  throw new Error(`no outcome of ${tool_name}`);
}

describe('over HTTP', () => {
  let rig: GatewayRig;
  let serve: (request: { id: unknown; method: string }, response: ServerResponse) => void;
  let asked: string[];
  const server = createServer(async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    asked.push(body);
    serve(
      body === '' ? { id: undefined, method: request.method ?? '' } : (JSON.parse(body) as never),
      response,
    );
  });
  const json = (response: ServerResponse, value: unknown): void => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(typeof value === 'string' ? value : JSON.stringify(value));
  };
  const sse = (response: ServerResponse, text: string): void => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(text);
  };

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const tools = { 'slow-end': { timeout_ms: 1_500 }, 'slow*': { timeout_ms: 150 } };
    const { port } = server.address() as AddressInfo;
    rig = await startGateway({ up: { url: `http://127.0.0.1:${port}/mcp`, tools } });
  });
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    asked = [];
    serve = (request, response) => json(response, answer(request.id));
  });

  const send = async (body: string | object, headers: Record<string, string> = {}, method = 'POST') => {
    const response = await fetch(`${rig.url}/up`, {
      method,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      ...(method === 'POST' ? { body: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
    });
    return { status: response.status, text: await response.text() };
  };

  test.each([
    ['without an id', '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}'],
    [
      'under a second name for its method',
      '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"a"}}',
    ],
    [
      'with parameters under a name of other letters',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","param\\u017f":{"name":"a"}}',
    ],
    [
      'with a second name for its tool',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAME":"b"}}',
    ],
  ])('a call %s never reaches the server', async (_, body) => {
    expect((await send(body)).status).toBe(400);
    expect(asked).toEqual([]);
  });

  test.each([
    ['no text', ['a']],
    ['longer than what the policy is asked about', `a${'/'.repeat(5_000)}b`],
  ])('a call whose tool is %s never reaches the server and is recorded', async (_, name) => {
    const before = rig.log.events.length;
    expect(JSON.parse((await send(call(name))).text)).toMatchObject({ error: { code: -32602 } });
    expect(asked).toEqual([]);
    for (let wait = 0; wait < 100 && rig.log.events.length === before; wait += 1) await sleep(20);
    expect(rig.log.events.slice(before)).toContainEqual(
      expect.objectContaining({ error_code: 'gateway.name', decision: 'deny' }),
    );
  });

  test('a secret in the name of a method or version is not written down', async () => {
    const secret = 'AKIAIOSFODNN7EXAMPLE';
    await send({ jsonrpc: '2.0', id: 1, method: secret, params: {} }, { 'mcp-protocol-version': secret });
    for (let wait = 0; wait < 100 && !rig.log.events.some(({ kind }) => kind === 'discovery'); wait += 1)
      await sleep(20);
    expect(rig.log.events.find(({ kind }) => kind === 'discovery')).toMatchObject({
      method: '[secret.aws-access-key]',
      protocol_version: '[secret.aws-access-key]',
    });
  });

  test.each([
    ['under another id', 'other-id', (id: unknown) => answer(`not-${id}`, 'smuggled')],
    ['in a batch', 'batch', (id: unknown) => [answer(id, 'smuggled')]],
  ])('an answer %s reaches no agent, and the trail says that none came', async (_, tool, said) => {
    serve = ({ id }, response) => json(response, said(id));
    const { text } = await send(call(tool));
    expect(text).not.toContain('smuggled');
    expect(JSON.parse(text)).toMatchObject({ id: 1, error: { code: -32013 } });
    expect(await outcomeOf(rig.log, tool)).toMatchObject({ error_code: 'upstream.no-answer' });

    serve = ({ id }, response) => {
      sse(response, event(said(id)));
      response.end(`data: ${JSON.stringify(answer(id, 'smuggled'))}\n`);
    };
    expect((await send(call(`${tool}-sse`))).text).not.toContain('smuggled');
    expect(await outcomeOf(rig.log, `${tool}-sse`)).toMatchObject({ error_code: 'upstream.no-answer' });
  });

  test('a second answer to one call reaches no agent', async () => {
    serve = ({ id }, response) => {
      sse(response, event(answer(id, 'first')));
      response.end(event(answer(id, 'second')));
    };
    const { text } = await send(call('twice'));
    expect([text.includes('first'), text.includes('second')]).toEqual([true, false]);
  });

  test('a stream that stays open behind its answer is answered once', async () => {
    serve = ({ id }, response) => sse(response, event(answer(id)));
    const { text } = await send(call('slow-end'));
    expect(text).toBe(event(answer(1)));
    expect(asked.length).toBe(1);
    expect((await outcomeOf(rig.log, 'slow-end')).result_status).toBe('success');
  });

  test('an answer behind the time that a call has reaches no agent, on whatever stream it comes', async () => {
    const session = { 'mcp-session-id': 's-1' };
    serve = (_, response) => sse(response, ': wait\n\n');
    expect((await send(call('slow-late', 7), session)).text).toContain('upstream.timeout');
    serve = (_, response) => {
      sse(response, event(answer(7, 'late')));
      response.end(event({ jsonrpc: '2.0', method: 'notifications/message', params: { data: 'passes' } }));
    };
    const { text } = await send('', session, 'GET');
    expect([text.includes('late'), text.includes('passes')]).toEqual([false, true]);
    expect((await outcomeOf(rig.log, 'slow-late')).result_status).toBe('timeout');
  });

  test('an answer that is shown again to a client that resumes passes', async () => {
    const session = { 'mcp-session-id': 's-2' };
    await send(call('resumed', 8), session);
    serve = (_, response) => {
      sse(response, event(answer(8, 'again')));
      response.end();
    };
    expect((await send('', session, 'GET')).text).toContain('again');
  });

  test.each([
    ['one body', json],
    [
      'a stream',
      (response: ServerResponse, value: unknown) => {
        sse(response, event(value));
        response.end();
      },
    ],
  ])('an answer in %s to a call that its client cancelled reaches no agent', async (form, say) => {
    const session = { 'mcp-session-id': `s-${form}` };
    const reached = Promise.withResolvers<() => void>();
    serve = ({ id, method }, response) => {
      if (method === 'tools/call') reached.resolve(() => say(response, answer(id, 'late')));
      else response.writeHead(202).end();
    };
    const tool = `cancelled in ${form}`;
    const waiting = send(call(tool, 9), session);
    const sayLate = await reached.promise;
    await send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 9 } }, session);
    expect((await outcomeOf(rig.log, tool)).result_status).toBe('cancelled');
    sayLate();
    const { status, text } = await waiting;
    expect([status < 300, text]).toEqual([true, '']);
  });

  test('an answer that is nested beyond all measure is withheld, and the call has its outcome', async () => {
    serve = ({ id }, response) =>
      json(response, `{"jsonrpc":"2.0","id":${id},"result":${'['.repeat(50_000)}${']'.repeat(50_000)}}`);
    expect(JSON.parse((await send(call('nested'))).text)).toMatchObject({ error: { code: -32011 } });
    expect(await outcomeOf(rig.log, 'nested')).toMatchObject({
      result_status: 'failure',
      error_code: 'upstream.unreadable',
    });
  });

  test('an error whose words are no text is an error', async () => {
    serve = ({ id }, response) =>
      json(response, { jsonrpc: '2.0', id, error: { code: {}, message: { toString: 1 } } });
    await send(call('wordless'));
    expect(await outcomeOf(rig.log, 'wordless')).toMatchObject({ result_status: 'failure', error_code: '0' });
  });

  test('a call whose client has gone before the server is asked does not reach it', async () => {
    const outcomes: Outcome[] = [];
    const core = { pending: new PendingCalls(), config: { limits: { response_bytes_max: 1_024 } } };
    const { port } = server.address() as AddressInfo;
    const config = { url: `http://127.0.0.1:${port}/mcp`, headers: {} };
    await using upstream = httpUpstream(core as unknown as Core, 'up', config as unknown as UpstreamConfig);
    const body = Buffer.from(JSON.stringify(call('gone')));
    await upstream.exchange({
      request: { method: 'POST', headers: {} },
      response: { destroyed: true, end: () => {} },
      caller: {},
      body,
      message: call('gone'),
      call: {
        id: 1,
        timeoutMs: 1_000,
        close: async (outcome: Outcome) => outcomes.push(outcome) > 0,
      },
      modern: true,
      gone: AbortSignal.abort(),
    } as unknown as Exchange);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['cancelled']);
    expect(asked).toEqual([]);
  });
});

/** A server over stdio: what it does with each message it is sent, as source. `say` writes a line. */
const serverOf = (onMessage: string): { command: string; args: string[] } => ({
  command: process.execPath,
  args: [
    '-e',
    `const say = (value) => process.stdout.write((typeof value === 'string' ? value : JSON.stringify(value)) + '\\n');
     const answer = (id, text = 'answer') => say({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } });
     require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
       const message = JSON.parse(line);
       if (message.method === 'initialize') return answer(message.id);
       (${onMessage})(message);
     });`,
  ],
});

describe('a server over stdio', () => {
  const initialize = {
    jsonrpc: '2.0',
    id: 'i',
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', clientInfo: { name: { toString: 1 }, version: '1' } },
  };

  const sessionOf = async (rig: GatewayRig, upstream: string) => {
    const post = (body: object, session: Record<string, string> = {}) =>
      fetch(`${rig.url}/${upstream}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...session,
        },
        body: JSON.stringify(body),
      });
    const begun = await post(initialize);
    await begun.text();
    const session = { 'mcp-session-id': begun.headers.get('mcp-session-id') ?? '' };
    return (body: object) =>
      post(body, session).then(async (got) => ({ status: got.status, text: await got.text() }));
  };

  test('that says what is no message ends nothing but that', async () => {
    await using rig = await startGateway({
      up: serverOf(`({ id }) => {
        say('{"jsonrpc":"2.0","id":' + id + ',"error":{"code":{"valueOf":1},"message":{"toString":1}}}');
      }`),
    });
    const send = await sessionOf(rig, 'up');
    expect((await send(call('wordless', 1))).text).toContain('error');
    expect(await outcomeOf(rig.log, 'wordless')).toMatchObject({ result_status: 'failure', error_code: '0' });
  });

  test('is asked no second time under an id that is under way, and both calls have their outcome', async () => {
    await using rig = await startGateway({
      up: serverOf('({ id, method }) => { if (method === "ping") [5, id].forEach((one) => answer(one)); }'),
    });
    const send = await sessionOf(rig, 'up');
    const first = send(call('first', 5));
    for (let wait = 0; wait < 250 && !rig.log.events.some(({ phase }) => phase === 'decision'); wait += 1)
      await sleep(20);
    expect((await send(call('second', 5))).status).toBe(400);
    await send({ jsonrpc: '2.0', id: 6, method: 'ping' });
    expect((await first).text).toContain('answer');
    expect(await outcomeOf(rig.log, 'second')).toMatchObject({ error_code: 'gateway.id-under-way' });
    expect((await outcomeOf(rig.log, 'first')).result_status).toBe('success');
  });

  test('that has not answered when the gateway stops leaves no call without an outcome', async () => {
    const rig = await startGateway({ up: serverOf('() => {}') });
    const send = await sessionOf(rig, 'up');
    void send(call('stopped', 1)).catch(() => {});
    for (let wait = 0; wait < 100 && !rig.log.events.some(({ phase }) => phase === 'decision'); wait += 1)
      await sleep(20);
    await rig[Symbol.asyncDispose]();
    expect(await outcomeOf(rig.log, 'stopped')).toMatchObject({ error_code: 'gateway.stopped' });
  }, 15_000);
});

describe('an agent over stdio', () => {
  interface Stdio extends AsyncDisposable {
    readonly log: MemoryLog;
    readonly lines: string[];
    say(message: unknown): void;
    until(text: string): Promise<void>;
  }

  const open = async (upstream: object): Promise<Stdio> => {
    const rig = await startGateway({ up: upstream });
    const log = new MemoryLog();
    const [input, output] = [new PassThrough(), new PassThrough()];
    const lines: string[] = [];
    output.on('data', (chunk: Buffer) => lines.push(...chunk.toString('utf8').trim().split('\n')));
    const gateway = await createStdioGateway(
      readGatewayConfig({ CAIRN_GATEWAY_CONFIG: rig.configFile }),
      {
        log: createLog({ name: 'gateway', destination: { write: () => {} } }),
        metrics: createMetrics('gateway'),
        onReload: () => {},
      },
      'up',
      undefined,
      { log, input, output },
    );
    return {
      log,
      lines,
      say: (message) => void input.write(`${JSON.stringify(message)}\n`),
      async until(text) {
        for (let wait = 0; wait < 250; wait += 1) {
          if (lines.some((line) => line.includes(text))) return;
          await sleep(20);
        }
        throw new Error(`${text} did not come: ${lines.join('\n')}`);
      },
      async [Symbol.asyncDispose]() {
        input.end();
        await gateway.ended;
        await gateway[Symbol.asyncDispose]();
        await rig[Symbol.asyncDispose]();
      },
    };
  };

  test('gets no answer behind the time that a call has, nor in a batch, nor one that it did not ask for', async () => {
    await using agent = await open({
      ...serverOf(`({ id, method }) => {
        if (method === 'ping') return answer(id, 'pong');
        if (method !== 'tools/call') return;
        say([{ jsonrpc: '2.0', id, result: { smuggled: 1 } }]);
        say({ jsonrpc: '2.0', id: 'nobody', result: { smuggled: 2 } });
        setTimeout(answer, 300, id, 'smuggled 3');
      }`),
      timeout_ms: 100,
    });
    agent.say(call('slow', 3));
    await agent.until('upstream.timeout');
    await sleep(400);
    agent.say({ jsonrpc: '2.0', id: 4, method: 'ping' });
    await agent.until('pong');
    expect(agent.lines.join('\n')).not.toContain('smuggled');
    expect((await outcomeOf(agent.log, 'slow')).result_status).toBe('timeout');
  });

  test('may say what is no message, and is heard on', async () => {
    await using agent = await open(serverOf('({ id }) => answer(id)'));
    agent.say({ jsonrpc: '2.0', id: 1, error: { message: { toString: 1 } } });
    agent.say({
      jsonrpc: '2.0',
      id: 'x',
      method: 'initialize',
      params: { protocolVersion: { toString: 1 } },
    });
    agent.say(call('heard', 2));
    await agent.until('"id":2');
  });

  test('that uses an id twice at a time leaves no call without an outcome', async () => {
    await using agent = await open(
      serverOf('({ method }) => { if (method === "ping") answer(1, "the first"); }'),
    );
    agent.say(call('one', 1));
    agent.say(call('two', 1));
    agent.say({ jsonrpc: '2.0', id: 2, method: 'ping' });
    await agent.until('the first');
    expect(await outcomeOf(agent.log, 'two')).toMatchObject({ error_code: 'gateway.id-under-way' });
    expect((await outcomeOf(agent.log, 'one')).result_status).toBe('success');
  });

  test('before a server over HTTP that does not answer one call is served the next', async () => {
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { id, params } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as ReturnType<typeof call>;
      if (params?.name === 'hangs') return;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer(id)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      await using agent = await open({
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
      });
      agent.say(call('hangs', 1));
      agent.say(call('answers', 2));
      await agent.until('"id":2');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

test('an event that comes in many pieces costs what its bytes cost, and not their square', () => {
  const cutter = new EventCutter(64 * 1024 ** 2);
  const piece = Buffer.alloc(16 * 1024, 'x');
  const began = process.cpuUsage();
  for (let count = 0; count < 1_024; count += 1) cutter.push(piece);
  const { user, system } = process.cpuUsage(began);
  expect(cutter.push(Buffer.from('\n\n'))).toHaveLength(1);
  // 16 MiB. Looking through all of it again for each piece took some twenty seconds.
  expect((user + system) / 1_000).toBeLessThan(4_000);
});

test('what peers call themselves and their tools is remembered within bounds', () => {
  const long = 'x'.repeat(1_000_000);
  const catalogue = createToolCatalogue({});
  catalogue.learn('up', { tools: [{ name: 'short' }, { name: long }] });
  expect(catalogue.factsOf('up', 'short').tool_hash).not.toBeNull();
  expect(catalogue.factsOf('up', long).tool_hash).toBeNull();
  const sessions = new ClientSessions();
  sessions.begin('up', 's', { key: 'k' } as Caller, { name: long, version: long });
  expect(sessions.clientOf('up', 's')).toEqual({ name: long.slice(0, 256), version: long.slice(0, 256) });
});
