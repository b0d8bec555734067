import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { ecsMistakes } from '../../../packages/siem/test/ecs-judge.ts';

export interface Request {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}
export interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What is answered in place of the protocol's own answer; undefined lets the protocol answer; `hang` answers never. */
export type Trouble = (request: Request) => Reply | 'hang' | undefined;

export interface HttpReceiver extends AsyncDisposable {
  readonly url: string;
  readonly requests: Request[];
  trouble: Trouble;
}

async function startHttp(protocol: (request: Request) => Reply): Promise<HttpReceiver> {
  const requests: Request[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const raw = Buffer.concat(chunks);
      const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
      const said = {
        path: request.url ?? '',
        headers: request.headers,
        body: body.toString(),
        atMs: performance.now(),
      };
      requests.push(said);
      const reply = receiver.trouble(said) ?? protocol(said);
      if (reply === 'hang') return;
      response
        .writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
        .end(reply.body === undefined ? '' : JSON.stringify(reply.body));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const receiver: HttpReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    trouble: () => undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return receiver;
}

export const TOKEN = '11111111-2222-3333-4444-555555555555';

export interface SplunkReceiver extends HttpReceiver {
  /** Event ids that were received, and those that are indexed. */
  readonly received: string[];
  readonly indexed: string[];
  /** Questions for an acknowledgement that are answered with no, before the answer is yes. */
  ackAfter: number;
  offersAck: boolean;
}

const HEC_KEYS = new Set(['time', 'host', 'source', 'sourcetype', 'index', 'event', 'fields']);

/** Splunk's collector by its documentation: token, channel, objects one after another, codes, acknowledgement. No Splunk was at hand. */
export async function splunkReceiver(): Promise<SplunkReceiver> {
  const batches = new Map<number, { ids: string[]; asked: number }>();
  let nextAck = 0;
  const http = await startHttp(({ path, headers, body }) => {
    if (headers.authorization === undefined)
      return { status: 401, body: { text: 'Token is required', code: 2 } };
    if (headers.authorization !== `Splunk ${TOKEN}`)
      return { status: 403, body: { text: 'Invalid token', code: 4 } };
    const channel = headers['x-splunk-request-channel'];
    if (path.startsWith('/services/collector/ack')) {
      if (!receiver.offersAck) return { status: 400, body: { text: 'ACK is disabled', code: 14 } };
      const { acks } = JSON.parse(body) as { acks: number[] };
      return { status: 200, body: { acks: Object.fromEntries(acks.map((id) => [id, isIndexed(id)])) } };
    }
    if (path !== '/services/collector/event') return { status: 404, body: { text: 'Not found', code: 404 } };
    if (receiver.offersAck && typeof channel !== 'string')
      return { status: 400, body: { text: 'Data channel is missing', code: 10 } };
    const objects = objectsOf(body);
    for (const [index, object] of objects.entries()) {
      if (!isHecEvent(object))
        return {
          status: 400,
          body: { text: 'Invalid data format', code: 6, 'invalid-event-number': index },
        };
    }
    const ids = objects.map(
      (object) => (object as { event: { metadata: { uid: string } } }).event.metadata.uid,
    );
    receiver.received.push(...ids);
    if (!receiver.offersAck) {
      receiver.indexed.push(...ids);
      return { status: 200, body: { text: 'Success', code: 0 } };
    }
    const ackId = nextAck++;
    batches.set(ackId, { ids, asked: 0 });
    return { status: 200, body: { text: 'Success', code: 0, ackId } };
  });
  const isIndexed = (id: number): boolean => {
    const batch = batches.get(id);
    if (batch === undefined) return false;
    batch.asked += 1;
    if (batch.asked <= receiver.ackAfter) return false;
    receiver.indexed.push(...batch.ids);
    batches.delete(id);
    return true;
  };
  const receiver: SplunkReceiver = Object.assign(http, {
    received: [] as string[],
    indexed: [] as string[],
    ackAfter: 0,
    offersAck: true,
  });
  return receiver;
}

function isHecEvent(object: unknown): boolean {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return false;
  const { time, event, fields = {}, host, source, sourcetype } = object as Record<string, unknown>;
  return (
    Object.keys(object).every((key) => HEC_KEYS.has(key)) &&
    typeof time === 'number' &&
    [host, source, sourcetype].every((text) => typeof text === 'string') &&
    typeof event === 'object' &&
    event !== null &&
    Object.values(fields as object).every((value) => typeof value === 'string')
  );
}

/** Objects of JSON one after another, as the collector takes them; not an array, not lines. */
function objectsOf(text: string): unknown[] {
  const objects: unknown[] = [];
  let [depth, start, isText] = [0, -1, false];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (isText) {
      if (character === '\\') at += 1;
      else if (character === '"') isText = false;
    } else if (character === '"') isText = true;
    else if (character === '{') {
      if (depth === 0) start = at;
      depth += 1;
    } else if (character === '}') {
      depth -= 1;
      if (depth === 0) objects.push(JSON.parse(text.slice(start, at + 1)));
    } else if (depth === 0 && !/\s/.test(character!)) throw new Error(`${character} between two objects`);
  }
  if (depth !== 0 || isText) throw new Error('the last object does not end');
  return objects;
}

export interface LogReceiver extends HttpReceiver {
  /** Ids of events, in the order in which they were taken. */
  readonly taken: string[];
}

/** Datadog's intake by its documentation: key, array, counts, sizes, ages. */
export async function datadogReceiver(): Promise<LogReceiver> {
  const taken: string[] = [];
  const http = await startHttp(({ path, headers, body }) => {
    if (path !== '/api/v2/logs') return { status: 404 };
    if (headers['dd-api-key'] !== TOKEN) return { status: 403, body: { errors: [{ status: '403' }] } };
    const logs: unknown = JSON.parse(body);
    if (!Array.isArray(logs) || logs.length > 1_000) return { status: 400 };
    if (Buffer.byteLength(body) > 5_000_000) return { status: 413 };
    const isTaken = logs.every(
      (log: Record<string, unknown>) =>
        Object.values(log).every((value) => typeof value === 'string') &&
        Buffer.byteLength(JSON.stringify(log)) <= 1_000_000 &&
        Date.now() - Number(attributesOf(log)['timestamp']) < 18 * 3_600_000,
    );
    if (!isTaken) return { status: 400 };
    taken.push(...logs.map((log) => (attributesOf(log)['evt'] as { id: string }).id));
    return { status: 202, body: {} };
  });
  return Object.assign(http, { taken });
}

/** A message that is JSON is read. */
const attributesOf = (log: Record<string, unknown>): Record<string, unknown> =>
  JSON.parse(String(log['message']));

export interface ElasticReceiver extends LogReceiver {
  /** Status of an item in place of its own. */
  itemTrouble: (id: string) => number | undefined;
}

/** `_bulk` by its documentation, with the published ECS mapping in strict mode. */
export async function elasticReceiver(): Promise<ElasticReceiver> {
  const taken: string[] = [];
  const http = await startHttp(({ path, headers, body }) => {
    if (!/^\/logs-cairn\.audit-default\/_bulk(\?|$)/.test(path)) return { status: 404 };
    if (headers.authorization !== `ApiKey ${TOKEN}`) return { status: 401 };
    if (headers['content-type'] !== 'application/x-ndjson' || !body.endsWith('\n')) return { status: 400 };
    const lines = body.slice(0, -1).split('\n');
    const items = [];
    for (let at = 0; at < lines.length; at += 2) {
      const { create } = JSON.parse(lines[at]!) as { create?: { _id: string } };
      // A data stream takes nothing else.
      if (create === undefined) return { status: 400 };
      const id = create._id;
      const mistakes = ecsMistakes(JSON.parse(lines[at + 1]!));
      const status = receiver.itemTrouble(id) ?? (mistakes.length > 0 ? 400 : taken.includes(id) ? 409 : 201);
      if (status === 201) taken.push(id);
      const error = { type: 'strict_dynamic_mapping_exception', reason: mistakes[0] ?? 'because' };
      items.push({ create: { status, ...(status === 201 ? {} : { error }) } });
    }
    return { status: 200, body: { items } };
  });
  const receiver: ElasticReceiver = Object.assign(http, {
    taken,
    itemTrouble: (): number | undefined => undefined,
  });
  return receiver;
}

/** Takes OCSF as newline-delimited JSON. */
export async function ocsfReceiver(): Promise<LogReceiver> {
  const taken: string[] = [];
  const http = await startHttp(({ headers, body }) => {
    if (headers.authorization !== `Bearer ${TOKEN}`) return { status: 401 };
    const events = body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { metadata: { uid: string } });
    taken.push(...events.map(({ metadata }) => metadata.uid));
    return { status: 200 };
  });
  return Object.assign(http, { taken });
}

export interface SyslogReceiver extends AsyncDisposable {
  readonly port: number;
  readonly caFile: string;
  readonly messages: string[];
  connections: number;
  /** What is done with a connection instead of reading it to its end. */
  trouble: ((socket: TLSSocket) => void) | undefined;
}

/** A certificate of this machine for two days, and its key. */
export function certificate(directory: string): { readonly keyFile: string; readonly caFile: string } {
  const [keyFile, caFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      keyFile,
      '-out',
      caFile,
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
    ],
    { stdio: 'pipe' },
  );
  return { keyFile, caFile };
}

/** Syslog over TLS with octet counting (RFC 5425), strict in the frame: a length, a space, so many bytes. */
export async function syslogReceiver(): Promise<SyslogReceiver> {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-syslog-'));
  const { keyFile, caFile } = certificate(directory);
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer({ key: readFileSync(keyFile), cert: readFileSync(caFile) }, (socket) => {
    receiver.connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    if (receiver.trouble !== undefined) return receiver.trouble(socket);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => {
      receiver.messages.push(...messagesOf(Buffer.concat(chunks)));
      socket.end();
    });
  }).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  const receiver: SyslogReceiver = {
    port: (server.address() as AddressInfo).port,
    caFile,
    messages: [],
    connections: 0,
    trouble: undefined,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return receiver;
}

function messagesOf(bytes: Buffer): string[] {
  const messages: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = bytes.subarray(at, space).toString();
    if (!/^[1-9]\d*$/.test(digits)) throw new Error(`${digits} is no length of a frame`);
    const end = space + 1 + Number(digits);
    if (end > bytes.length) throw new Error('the last frame does not end');
    messages.push(bytes.subarray(space + 1, end).toString());
    at = end;
  }
  return messages;
}
