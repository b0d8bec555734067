import { hash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import type { PrivacyGuard } from '@cairn/privacy';
import { type HttpServer, serveUntilDisposed } from '@cairn/runtime';
import { visible } from '@cairn/session';
import type { ImporterConfig, ImportKey } from './config.ts';
import { draftFromEvent } from './draft-from-event.ts';
import { type Drafted, draftFromTelemetry } from './draft-from-telemetry.ts';
import type { ImporterMetrics } from './metrics.ts';
import { otlpAnswer, otlpStatus, readOtlp, type Signal } from './read-otlp.ts';
import type { DraftRecorder, Imported } from './record-drafts.ts';

export interface ServeOptions {
  readonly config: Pick<ImporterConfig, 'listen' | 'keys' | 'limits'>;
  readonly guard: PrivacyGuard;
  readonly recorder: DraftRecorder;
  readonly count: ImporterMetrics;
  /** A request whose key is not known. */
  readonly onRefused: (route: string, sourceIp: string) => void;
  readonly onTrouble: (error: unknown) => void;
}

type Form = 'protobuf' | 'json';
type Route = { readonly name: string; readonly signal: Signal | undefined };

const ROUTES: Readonly<Record<string, Route>> = {
  '/v1/traces': { name: 'traces', signal: 'traces' },
  '/v1/logs': { name: 'logs', signal: 'logs' },
  '/v1/events': { name: 'events', signal: undefined },
};

/** Serves OTLP/HTTP for traces and logs, and `POST /v1/events`. */
export async function serveHttp(options: ServeOptions): Promise<HttpServer> {
  const keys = new Map(options.config.keys.map((key) => [key.key_sha256, key]));
  const server = createServer(
    { requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 30_000 },
    (request, response) => {
      handleRequest(options, keys, request, response).catch((error: unknown) => {
        options.onTrouble(error);
        if (!response.headersSent) response.writeHead(500).end();
      });
    },
  );
  const { host, port } = options.config.listen;
  return serveUntilDisposed(server, port, host);
}

/** One request: who, what, how much, then into the trail, and only then the answer. */
async function handleRequest(
  options: ServeOptions,
  keys: ReadonlyMap<string, ImportKey>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { config, guard, recorder, count } = options;
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  const route = Object.hasOwn(ROUTES, path) ? ROUTES[path]! : undefined;
  const type = String(request.headers['content-type'] ?? '')
    .split(';', 1)[0]
    ?.trim()
    .toLowerCase();
  const form: Form = type === 'application/x-protobuf' ? 'protobuf' : 'json';
  const answer = (status: number, body: Buffer, headers: Readonly<Record<string, string>> = {}): void => {
    count.answered(route?.name ?? 'none', status);
    request.resume();
    const contentType = form === 'protobuf' ? 'application/x-protobuf' : 'application/json';
    response.writeHead(status, { 'content-type': contentType, ...headers }).end(body);
  };
  const refuse = (
    status: number,
    code: number,
    why: string,
    headers?: Readonly<Record<string, string>>,
  ): void => answer(status, otlpStatus(form, code, visible(why)), headers);

  // 1. Who it is, before anything of the body is read.
  const key = keyOf(request, keys);
  if (key === undefined) {
    options.onRefused(route?.name ?? 'none', request.socket.remoteAddress ?? '');
    return refuse(401, UNAUTHENTICATED, 'a valid key is needed', { 'www-authenticate': 'Bearer' });
  }
  if (route === undefined) return refuse(404, NOT_FOUND, 'there is nothing here');
  if (request.method !== 'POST') return refuse(405, UNIMPLEMENTED, 'use POST', { allow: 'POST' });
  const isKnownType =
    type === 'application/json' ||
    (route.signal === undefined ? type === 'application/x-ndjson' : type === 'application/x-protobuf');
  if (!isKnownType) return refuse(415, INVALID_ARGUMENT, `${route.name} do not come as ${type || 'nothing'}`);

  try {
    // 2. What it brings, within the limits.
    const body = await bodyOf(request, config.limits);
    const drafts = draftsOf(route, form, type === 'application/x-ndjson', body, key, guard);
    if (drafts.length > config.limits.records_max)
      throw tooLarge(`more than ${config.limits.records_max} records`);
    // 3. Into the trail: everything is on disk, or has its reason, before it is answered.
    const imported = await recorder.record(drafts);
    count.imported(route.name, imported);
    answer(200, answerOf(route, form, imported));
  } catch (error) {
    if (isFailure(error, 'import.malformed')) return refuse(400, INVALID_ARGUMENT, error.message);
    if (isFailure(error, 'import.too-large')) {
      // The rest of the body is not waited for.
      response.once('finish', () => request.destroy());
      return refuse(413, RESOURCE_EXHAUSTED, error.message, { connection: 'close' });
    }
    if (isFailure(error) && error.retry !== 'no') {
      options.onTrouble(error);
      return refuse(503, UNAVAILABLE, 'nothing can be recorded now', { 'retry-after': '5' });
    }
    throw error;
  }
}

/** Codes of google.rpc.Status. */
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** Only hashes are known here, so looking one up tells an attacker nothing that the time could leak. */
function keyOf(request: IncomingMessage, keys: ReadonlyMap<string, ImportKey>): ImportKey | undefined {
  const credential = /^Bearer +([^\s]{1,4096})$/i.exec(request.headers.authorization ?? '')?.[1];
  return credential === undefined ? undefined : keys.get(hash('sha256', credential));
}

const inflated = promisify(gunzip);

/** @throws Failure `import.too-large`, `import.malformed` */
async function bodyOf(request: IncomingMessage, limits: ImporterConfig['limits']): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limits.body_bytes_max) throw tooLarge(`a body of more than ${limits.body_bytes_max} bytes`);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding === 'identity') return body;
  if (encoding !== 'gzip') throw malformed(`a body is not taken as ${String(encoding).slice(0, 40)}`);
  try {
    return await inflated(body, { maxOutputLength: limits.inflated_bytes_max });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw tooLarge(`a body of more than ${limits.inflated_bytes_max} bytes when decompressed`);
    throw malformed(`the body is not gzip: ${messageOf(error)}`);
  }
}

function draftsOf(
  { signal }: Route,
  form: Form,
  isLines: boolean,
  body: Buffer,
  key: ImportKey,
  guard: PrivacyGuard,
): Drafted[] {
  if (signal !== undefined)
    return readOtlp(signal, form, body).map((telemetry) => draftFromTelemetry(telemetry, key, guard));
  return eventsOf(body, isLines).map((event) => draftFromEvent(event, key, guard));
}

/** One object, an array of them, or one on each line. @throws Failure `import.malformed` */
function eventsOf(body: Buffer, isLines: boolean): unknown[] {
  try {
    const text = body.toString('utf8');
    if (isLines) {
      const lines = text.split('\n').filter((line) => line.trim() !== '');
      return lines.map((line) => JSON.parse(line) as unknown);
    }
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [value];
  } catch (error) {
    throw malformed(`the body is not JSON: ${messageOf(error)}`);
  }
}

/** OTLP says in words what it rejected; `/v1/events` says it for each. Reasons hold parts of what was sent. */
function answerOf({ signal }: Route, form: Form, imported: Imported): Buffer {
  const { recorded } = imported;
  const rejected = imported.rejected.map(({ index, reason }) => ({ index, reason: visible(reason) }));
  if (signal === undefined) return Buffer.from(JSON.stringify({ recorded, rejected }));
  const all = [...new Set(rejected.map(({ reason }) => reason))];
  const reasons = [...all.slice(0, 3), ...(all.length > 3 ? [`and ${all.length - 3} more`] : [])].join('; ');
  return otlpAnswer(signal, form, rejected.length, reasons);
}

const tooLarge = (what: string): Failure =>
  new Failure({ code: 'import.too-large', retry: 'no', message: `${what} is not taken` });
const malformed = (message: string): Failure =>
  new Failure({ code: 'import.malformed', retry: 'no', message });
