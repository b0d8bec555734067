import { hash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type AuditEvent, decodeDatum, hexOf, unframe } from '@cairn/event';
import { createLog, createMetrics, type Logger } from '@cairn/runtime';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Span, SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPTraceExporter as JsonTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { BasicTracerProvider, SimpleSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import { readImporterConfig } from './config.ts';
import { createImporter, type Importer } from './importer.ts';

const KEY = 'import-key-of-acme';
const PINNED = 'import-key-of-one-agent';
const SECRET = 'AKIAIOSFODNN7EXAMPLE';
let directory: string;
let importer: Importer;
let log: Logger;
let shipped: AuditEvent[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-importer-'));
  shipped = [];
  log = createLog({ name: 'importer', destination: { write: () => {} } });
  importer = await createImporter(
    {
      deployment: 'test',
      importer_id: 'importer-1',
      environment: '',
      listen: { host: '127.0.0.1', port: 0 },
      health: { host: '127.0.0.1', port: 0 },
      kafka: { brokers: [], partitions: 2 },
      data_directory: directory,
      retention: { default_class: 'standard', classes: {} },
      keys: [
        { name: 'acme', key_sha256: hash('sha256', KEY), org: 'acme' },
        { name: 'one', key_sha256: hash('sha256', PINNED), org: 'acme', agent: 'billing-bot' },
      ],
      privacy: { rules: [] },
      limits: { body_bytes_max: 200_000, inflated_bytes_max: 400_000, records_max: 500 },
      log_level: 'error',
    },
    {
      log,
      metrics: createMetrics('importer'),
      onReload: () => {},
    },
    {
      log: {
        async append(_topic, _partition, values) {
          for (const value of values) {
            const unframed = unframe(value);
            if (unframed.ok) shipped.push(decodeDatum(unframed.datum));
          }
        },
      },
    },
  );
});
afterEach(async () => {
  await importer[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

const url = (path: string): string => `http://127.0.0.1:${importer.port}${path}`;
const headers = { authorization: `Bearer ${KEY}` };

/** Events that were imported, once the recorder has shipped them. */
async function imported(count: number): Promise<AuditEvent[]> {
  const found = () => shipped.filter(({ capture }) => capture === 'importer');
  for (let wait = 0; wait < 200 && found().length < count; wait += 1)
    await new Promise((resolve) => setTimeout(resolve, 25));
  return found();
}

/** Sends what an SDK that is not ours makes of some spans. */
async function trace(
  exporter: SpanExporter,
  act: (tracer: ReturnType<BasicTracerProvider['getTracer']>) => void,
) {
  const errors: unknown[] = [];
  const watched: SpanExporter = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.code !== 0) errors.push(result.error);
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'other-gateway' }),
    spanProcessors: [new SimpleSpanProcessor(watched)],
  });
  act(provider.getTracer('agentgateway'));
  await provider.forceFlush();
  await provider.shutdown();
  return errors;
}

const toolCall = (span: Span): void => {
  span.setAttributes({
    'mcp.method.name': 'tools/call',
    'mcp.protocol.version': '2025-11-25',
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': 'delete_invoice',
    'gen_ai.agent.id': 'sales-bot',
    'gen_ai.conversation.id': 'conversation-7',
    'gen_ai.tool.call.arguments': JSON.stringify({ invoice: 7, access_key: SECRET }),
    'gen_ai.tool.call.result': '{"ok":true}',
    'server.address': 'billing.internal',
    'user.id': 'jane.doe@acme.example',
    'client.address': '203.0.113.9',
  });
};

describe('traces of an OpenTelemetry SDK', () => {
  test.each([
    ['protobuf', (options: object) => new ProtoTraceExporter(options)],
    ['JSON', (options: object) => new JsonTraceExporter(options)],
  ])('as %s become events that say that they were imported', async (_form, exporterOf) => {
    let span!: Span;
    const errors = await trace(
      exporterOf({ url: url('/v1/traces'), headers, compression: 'gzip' }),
      (tracer) => {
        span = tracer.startSpan('tools/call delete_invoice', { kind: SpanKind.CLIENT });
        toolCall(span);
        span.setStatus({ code: SpanStatusCode.ERROR, message: `refused for ${SECRET}` });
        span.setAttribute('error.type', 'tool_error');
        span.end();
        tracer.startSpan('chat gpt', { attributes: { 'gen_ai.operation.name': 'chat' } }).end();
      },
    );
    expect(errors).toEqual([]);
    const [event, ...more] = await imported(1);
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      org_id: 'acme',
      gateway_id: 'importer-1',
      capture: 'importer',
      kind: 'tool_call',
      phase: 'single',
      agent_id: 'sales-bot',
      auth_method: 'import_key',
      session_id: 'conversation-7',
      session_source: 'asserted',
      protocol: 'mcp',
      protocol_version: '2025-11-25',
      method: 'tools/call',
      service: 'billing.internal',
      tool_name: 'delete_invoice',
      result_status: 'failure',
      error_code: 'tool_error',
      decision: 'not_evaluated',
    });
    expect(hexOf(event!.trace_id!)).toBe(span.spanContext().traceId);
    expect(hexOf(event!.span_id!)).toBe(span.spanContext().spanId);
    expect(event!.parameters_shape).toContain('invoice');
    expect(event!.redactions.length).toBeGreaterThan(0);
    expect(event!.user_id).toMatch(/^t1_/);
    expect(event!.source_ip).toMatch(/^t1_/);
  });

  test('arguments, secrets and persons are nowhere on the importer’s disk', async () => {
    await trace(new ProtoTraceExporter({ url: url('/v1/traces'), headers }), (tracer) => {
      const span = tracer.startSpan('x');
      toolCall(span);
      span.setStatus({ code: SpanStatusCode.ERROR, message: `refused for ${SECRET}` });
      span.end();
    });
    await imported(1);
    const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const bytes = files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1')).join('');
    expect(bytes).toContain('delete_invoice');
    for (const raw of [SECRET, 'jane.doe', '203.0.113.9']) expect(bytes).not.toContain(raw);
  });

  test('a request that is sent again is recorded once', async () => {
    const body = JSON.stringify(tracesRequest([spanJson()]));
    for (let time = 0; time < 3; time += 1) expect((await post('/v1/traces', body)).status).toBe(200);
    expect(await imported(1)).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await imported(1)).toHaveLength(1);
  });
});

describe('logs of an OpenTelemetry SDK', () => {
  test('that tell of a tool become events, and others are passed over', async () => {
    const exporter = new OTLPLogExporter({ url: url('/v1/logs'), headers });
    const provider = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] });
    const logger = provider.getLogger('agent');
    logger.emit({ body: 'a log line of nobody' });
    logger.emit({
      eventName: 'gen_ai.tool',
      attributes: { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'read_file' },
    });
    await provider.forceFlush();
    await provider.shutdown();
    expect(await imported(1)).toMatchObject([
      { kind: 'tool_call', protocol: 'native', tool_name: 'read_file', session_source: 'none' },
    ]);
  });
});

async function post(path: string, body: string | Buffer, more: Record<string, string> = {}) {
  const answer = await fetch(url(path), {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', ...more },
    body,
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, json: text === '' ? undefined : JSON.parse(text) };
}

const spanJson = (more: object = {}) => ({
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  name: 'x',
  kind: 3,
  startTimeUnixNano: '1795459200000000000',
  endTimeUnixNano: '1795459200012000000',
  attributes: [
    { key: 'mcp.method.name', value: { stringValue: 'tools/call' } },
    { key: 'gen_ai.tool.name', value: { stringValue: 'delete_invoice' } },
  ],
  ...more,
});
const tracesRequest = (spans: unknown[]) => ({ resourceSpans: [{ scopeSpans: [{ spans }] }] });

describe('the configuration', () => {
  test('the level of the configuration decides what is logged', () => {
    expect([log.isLevelEnabled('error'), log.isLevelEnabled('warn')]).toEqual([true, false]);
  });

  test('without a key, or with a rule that seals, nothing starts', () => {
    const file = join(directory, 'importer.yaml');
    const config = { deployment: 'd', importer_id: 'i', kafka: { brokers: 'k:9092' }, data_directory: 'x' };
    const read = (more: object) => {
      writeFileSync(file, JSON.stringify({ ...config, ...more }));
      return () => readImporterConfig({ CAIRN_IMPORTER_CONFIG: file });
    };
    const keys = [{ name: 'a', key_sha256: hash('sha256', KEY), org: 'acme' }];
    expect(read({ keys })).not.toThrow();
    expect(read({ keys: [] })).toThrow(/keys/);
    expect(read({ keys: [...keys, ...keys] })).toThrow(/stands twice/);
    const rules = [{ service: '*', tool: '*', field: 'email', do: 'seal' }];
    expect(read({ keys, privacy: { rules } })).toThrow(/a rule seals/);
  });
});

describe('what is refused', () => {
  test('without a valid key nothing is read, whatever the path, and the refusal stands in the trail', async () => {
    for (const authorization of ['', 'Bearer wrong', `Basic ${KEY}`])
      for (const path of ['/v1/traces', '/v1/logs', '/v1/events', '/', '/__proto__'])
        expect((await post(path, '{}', { authorization })).status).toBe(401);
    for (let wait = 0; wait < 200 && !shipped.some(({ error_code }) => error_code !== ''); wait += 1)
      await new Promise((resolve) => setTimeout(resolve, 25));
    expect(shipped.find(({ error_code }) => error_code === 'importer.unauthenticated')).toMatchObject({
      org_id: 'test',
      decision: 'deny',
    });
    expect(await imported(0)).toEqual([]);
  });

  test('a path, a method, a type and a body that are none of ours have their own statuses', async () => {
    expect((await post('/v2/traces', '{}')).status).toBe(404);
    expect((await fetch(url('/v1/traces'), { headers })).status).toBe(405);
    expect((await post('/v1/traces', '{}', { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await post('/v1/traces', '{"resourceSpans":7}')).status).toBe(400);
    expect((await post('/v1/traces', 'not json')).json).toMatchObject({ code: 3 });
    const broken = await fetch(url('/v1/traces'), {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/x-protobuf' },
      body: Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    });
    expect(broken.status).toBe(400);
    expect(broken.headers.get('content-type')).toBe('application/x-protobuf');
  });

  test('a body that is too large, or becomes it, is refused before it is held', async () => {
    expect(
      (await post('/v1/events', Buffer.alloc(250_000, 0x20)).catch(() => ({ status: 413 }))).status,
    ).toBe(413);
    const bomb = gzipSync(Buffer.alloc(50_000_000, 0x20));
    expect((await post('/v1/events', bomb, { 'content-encoding': 'gzip' })).status).toBe(413);
    expect((await post('/v1/traces', JSON.stringify(tracesRequest(Array(501).fill({}))))).status).toBe(413);
  });

  test('arguments that are nested without end keep neither their call nor its neighbours out of the trail', async () => {
    let value: object = { stringValue: 'x' };
    for (let depth = 0; depth < 500; depth += 1) value = { arrayValue: { values: [value] } };
    const withArguments = (id: string, args: object) =>
      spanJson({
        spanId: id.repeat(16),
        attributes: [...spanJson().attributes, { key: 'gen_ai.tool.call.arguments', value: args }],
      });
    const request = tracesRequest([
      withArguments('a', value),
      withArguments('b', { stringValue: `${'['.repeat(50_000)}${']'.repeat(50_000)}` }),
      spanJson(),
    ]);
    expect(await post('/v1/traces', JSON.stringify(request))).toMatchObject({ status: 200, json: {} });
    expect(await imported(3)).toHaveLength(3);
  });

  test('an event that is nested without end has its reason, and its neighbours are taken', async () => {
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
    const body = `${JSON.stringify(eventJson())}\n${deep}\n${JSON.stringify(eventJson({ id: 'e-2' })).replace('{', `{"response":${deep},`)}`;
    const { status, json } = await post('/v1/events', body, { 'content-type': 'application/x-ndjson' });
    expect(status).toBe(200);
    expect(json.recorded).toBe(1);
    expect(json.rejected.map(({ index }: { index: number }) => index)).toEqual([1, 2]);
  });

  test('a span without a time is rejected by the count that OTLP has for it, and its neighbours are taken', async () => {
    const { status, json } = await post(
      '/v1/traces',
      JSON.stringify(
        tracesRequest([
          spanJson(),
          spanJson({ spanId: '00f067aa0ba902b8', startTimeUnixNano: '0', endTimeUnixNano: '5000' }),
        ]),
      ),
    );
    expect(status).toBe(200);
    expect(json).toEqual({
      partialSuccess: { rejectedSpans: '1', errorMessage: 'it has no time between 2000 and 2200' },
    });
    expect(await imported(1)).toHaveLength(1);
  });

  test('names that mean something to JavaScript are names', async () => {
    const attributes = [
      {
        key: '__proto__',
        value: { kvlistValue: { values: [{ key: 'polluted', value: { boolValue: true } }] } },
      },
      { key: 'constructor', value: { stringValue: 'x' } },
      ...spanJson().attributes,
    ];
    expect((await post('/v1/traces', JSON.stringify(tracesRequest([spanJson({ attributes })])))).status).toBe(
      200,
    );
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(await imported(1)).toHaveLength(1);
  });
});

const eventJson = (more: object = {}) => ({
  id: 'e-1',
  time: '2026-11-25T12:00:00Z',
  kind: 'tool_call',
  agent_id: 'billing-bot',
  service: 'billing',
  method: 'tools/call',
  tool_name: 'delete_invoice',
  result_status: 'denied',
  decision: 'deny',
  parameters: { card: '4111111111111111' },
  ...more,
});

describe('POST /v1/events', () => {
  test('each event is recorded or has its reason, and one that comes again is recorded once', async () => {
    const body = JSON.stringify([
      eventJson(),
      eventJson({ id: 'e-2', colour: 'red' }),
      eventJson(),
      eventJson({ id: 'e-3', time: 'now' }),
    ]);
    const { status, json } = await post('/v1/events', body);
    expect(status).toBe(200);
    expect(json.recorded).toBe(2);
    expect(json.rejected.map(({ index }: { index: number }) => index)).toEqual([1, 3]);
    const [event, ...more] = await imported(1);
    expect(more).toEqual([]);
    expect(event).toMatchObject({ capture: 'importer', decision: 'deny', result_status: 'denied' });
    expect(event!.redactions.map(({ count }) => count)).toEqual([1]);
  });

  test('lines are taken as well', async () => {
    const lines = `${JSON.stringify(eventJson())}\n${JSON.stringify(eventJson({ id: 'e-2' }))}\n`;
    expect((await post('/v1/events', lines, { 'content-type': 'application/x-ndjson' })).json).toEqual({
      recorded: 2,
      rejected: [],
    });
  });

  test('a key of one agent brings no event of another', async () => {
    const authorization = `Bearer ${PINNED}`;
    const other = await post('/v1/events', JSON.stringify(eventJson({ agent_id: 'root' })), {
      authorization,
    });
    expect(other.json).toMatchObject({ recorded: 0, rejected: [{ index: 0 }] });
    const span = spanJson({
      attributes: [...spanJson().attributes, { key: 'gen_ai.agent.id', value: { stringValue: 'root' } }],
    });
    await post('/v1/traces', JSON.stringify(tracesRequest([span])), { authorization });
    expect(await imported(1)).toMatchObject([{ agent_id: 'billing-bot' }]);
  });
});

describe('what is told of hostile input', () => {
  const HOSTILE = '\u001b[31m\u009b2J\u007f\u0085\u2028\u202e\u2066\u200b\ufeff\u{e0001}';
  const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
  const event = { event_id: '018f0000-0000-7000-8000-000000000001', agent_id: 'a', timestamp: 1 };

  test.each([
    { what: 'a body that is no JSON', path: '/v1/events', body: HOSTILE, isTold: true },
    {
      what: 'a name that no event has',
      path: '/v1/events',
      body: JSON.stringify({ ...event, [HOSTILE]: 1 }),
    },
    {
      what: 'values that no field takes',
      path: '/v1/events',
      body: JSON.stringify({ ...event, kind: HOSTILE }),
    },
    {
      what: 'a line of many',
      path: '/v1/events',
      type: 'application/x-ndjson',
      body: `${JSON.stringify(event)}\n${HOSTILE}\n`,
    },
    { what: 'a type of content', path: '/v1/traces', type: 'text/\u009b\u0085', body: '{}' },
    {
      what: 'a body that is no OTLP',
      path: '/v1/traces',
      body: JSON.stringify({ resourceSpans: [{ [HOSTILE]: HOSTILE }] }),
    },
    { what: 'a span with such names', path: '/v1/traces', body: JSON.stringify({ resourceSpans: HOSTILE }) },
    {
      what: 'bytes that are no protobuf',
      path: '/v1/logs',
      type: 'application/x-protobuf',
      body: `\u0001${HOSTILE}`,
    },
  ])('$what has nothing in its answer that moves, hides or reorders', async (request) => {
    const { path, type = 'application/json', body, isTold = false } = request;
    const answer = await fetch(url(path), {
      method: 'POST',
      headers: { ...headers, 'content-type': type },
      body,
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    // A status in protobuf has its field numbers and lengths before the text.
    const text = bytes.toString().replace(/^[\u0000-\u001f\u007f-\uffff]*/, '');
    expect(text).not.toMatch(UNSAFE);
    if (isTold) expect(text).toContain('u{202e}');
  });
});
