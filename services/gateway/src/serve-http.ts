import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { messageOf } from '@cairn/failure';
import { type HttpServer, serveUntilDisposed } from '@cairn/runtime';
import { headerMismatch, isModern, type ProtocolHeaders, versionOf } from './check-headers.ts';
import type { Core } from './core.ts';
import { type Exchange, headerOf, sendJson, type Upstream } from './exchange.ts';
import { errorAnswer, openCall } from './open-call.ts';
import { readMessage } from './read-message.ts';
import { recordRefusal } from './record-refusal.ts';

/** MCP's own codes for what is refused here. */
const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;
const HEADER_MISMATCH = -32_020;

const CLIENT_GONE = Symbol('the client has gone');

/** Serves `/mcp/<upstream>` for every upstream. */
export async function serveHttp(core: Core, upstreams: ReadonlyMap<string, Upstream>): Promise<HttpServer> {
  const server: Server = createServer(
    { requestTimeout: 60_000, keepAliveTimeout: 30_000 },
    (request, response) => {
      handleRequest(core, upstreams, request, response).catch((error: unknown) => {
        core.log.error({ reason: messageOf(error) }, 'a request failed in the gateway');
        sendJson(response, 500, errorAnswer(null, -32_603, 'Internal error.'));
      });
    },
  );
  const { host, port } = core.config.listen;
  return serveUntilDisposed(server, port, host);
}

/** One HTTP request, from the socket to the upstream. */
async function handleRequest(
  core: Core,
  upstreams: ReadonlyMap<string, Upstream>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedAtMs = performance.now();
  const refuse = (
    status: number,
    code: number,
    why: string,
    reason: string,
    headers?: Record<string, string>,
  ) => {
    core.count.refused(reason);
    request.resume();
    sendJson(response, status, errorAnswer(null, code, why), headers);
  };

  const service = /^\/mcp\/([a-z0-9-]{1,63})$/.exec((request.url ?? '').split('?', 1)[0] ?? '')?.[1];
  const upstream = service === undefined ? undefined : upstreams.get(service);
  if (service === undefined || !upstream)
    return refuse(404, INVALID_REQUEST, 'There is no such server here.', 'path');
  if (!mayBeNamed(core.config.listen.host, headerOf(request, 'host') ?? '')) {
    return refuse(403, INVALID_REQUEST, 'This name is not mine.', 'host');
  }
  const origin = headerOf(request, 'origin');
  if (origin !== undefined && !core.config.listen.origins.includes(origin)) {
    return refuse(403, INVALID_REQUEST, 'This origin may not call.', 'origin');
  }

  const sourceIp = request.socket.remoteAddress ?? '';
  const caller = core.callerOf(headerOf(request, 'authorization'));
  if (!caller) {
    await recordRefusal(core, { service, reason: 'unauthenticated', sourceIp });
    return refuse(401, INVALID_REQUEST, 'A valid credential is needed.', 'unauthenticated', {
      'www-authenticate': 'Bearer',
    });
  }
  const mcpSessionId = headerOf(request, 'mcp-session-id');
  if (!core.sessions.mayUse(service, mcpSessionId, caller)) {
    await recordRefusal(core, { service, reason: 'session-of-another', sourceIp, caller });
    return refuse(404, INVALID_REQUEST, 'Session not found', 'session-of-another');
  }

  const gone = new AbortController();
  // A reason of its own, since the usual one carries a stack.
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(CLIENT_GONE);
  });
  const base = { request, response, caller, gone: gone.signal };
  if (request.method === 'GET' || request.method === 'DELETE') {
    const modern = isModern(headerOf(request, 'mcp-protocol-version') ?? '');
    return upstream.exchange({ ...base, body: undefined, message: undefined, call: undefined, modern });
  }
  if (request.method !== 'POST') {
    return refuse(405, INVALID_REQUEST, 'Use POST.', 'method', { allow: 'GET, POST, DELETE' });
  }
  if (!/^application\/json\b/i.test(headerOf(request, 'content-type') ?? '')) {
    return refuse(415, INVALID_REQUEST, 'Content-Type must be application/json.', 'content-type');
  }
  const body = await bodyOf(request, core.config.limits.request_bytes_max);
  if (!body)
    return refuse(413, INVALID_REQUEST, 'The message is too large.', 'too-large', { connection: 'close' });
  const text = textOf(body);
  const read = text === undefined ? undefined : readMessage(text);
  if (!read?.ok) {
    const why = read ? read.why : 'the body is not UTF-8';
    return refuse(400, read ? INVALID_REQUEST : PARSE_ERROR, why, 'unreadable');
  }
  const { message } = read;

  const headers: ProtocolHeaders = {
    version: headerOf(request, 'mcp-protocol-version'),
    method: headerOf(request, 'mcp-method'),
    name: headerOf(request, 'mcp-name'),
  };
  const differs = headerMismatch(message, headers);
  if (differs) {
    await recordRefusal(core, {
      service,
      reason: 'header-mismatch',
      sourceIp,
      caller,
      method: message.method,
    });
    core.count.refused('header-mismatch');
    return sendJson(response, 400, errorAnswer(message.id ?? null, HEADER_MISMATCH, differs));
  }

  const opening = await openCall(core, {
    caller,
    service,
    message,
    sizeBytes: body.length,
    startedAtMs,
    version: headers.version,
    mcpSessionId,
    baggage: headerOf(request, 'baggage'),
    traceparent: headerOf(request, 'traceparent'),
    sourceIp,
    client: core.sessions.clientOf(service, mcpSessionId),
  });
  if (opening.kind === 'refused') return sendJson(response, 200, opening.answer);
  const exchange: Exchange = {
    ...base,
    body,
    message,
    call: opening.kind === 'open' ? opening.call : undefined,
    modern: isModern(versionOf(message, headers)),
  };
  await upstream.exchange(exchange);
}

/**
 * A gateway on loopback is called by a name of loopback and no other: a page whose name was pointed at 127.0.0.1 would
 * otherwise speak to it from a browser (DNS rebinding).
 */
function mayBeNamed(listensOn: string, host: string): boolean {
  const loopback = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/i;
  return !loopback.test(listensOn.includes(':') ? `[${listensOn}]` : listensOn) || loopback.test(host);
}

/** The body, or undefined when it is larger than allowed. */
function bodyOf(request: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  // Listeners, since reading it as an iterator costs as much as parsing the message.
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else resolve(undefined);
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('error', reject);
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
