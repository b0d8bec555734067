import type { ServerResponse } from 'node:http';
import { type HttpAnswer, type HttpClient, openHttpClient } from '@cairn/adapters';
import { messageOf } from '@cairn/failure';
import type { OpenCall } from './call.ts';
import type { UpstreamConfig } from './config.ts';
import type { Core } from './core.ts';
import { type Exchange, headerOf, sendJson, type Upstream, write } from './exchange.ts';
import { auditUnavailable, errorAnswer, TIMED_OUT, UPSTREAM_LOST } from './open-call.ts';
import { readServerMessage } from './read-message.ts';
import { dataOf, EventCutter, eventOf } from './sse.ts';

/** Headers that belong to one connection (RFC 9110, 7.6.1), and those that the gateway answers for itself. */
const NOT_FORWARDED = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'content-length',
  'expect',
  // The agent's credential is for the gateway; the upstream gets its own.
  'authorization',
  'cookie',
  // Answers are read on their way; without this they come uncompressed.
  'accept-encoding',
  'origin',
]);

/** A server that speaks streamable HTTP. Bodies pass byte for byte; what passes is read from a copy. */
export function httpUpstream(core: Core, service: string, config: UpstreamConfig): Upstream {
  const client = openHttpClient(config.url ?? '');
  return {
    async exchange(exchange) {
      const { call, response, gone, modern } = exchange;
      const startedAtMs = performance.now();
      const upstreamMs = () => performance.now() - startedAtMs;
      const abort = new AbortController();
      const timer = call && setTimeout(() => abort.abort(TIMEOUT), call.timeoutMs);
      const leave = () => abort.abort(GONE);
      // In the first era a client that goes may come back for the answer; a stream without a call ends with its client.
      if (modern || !call) gone.addEventListener('abort', leave, { once: true });
      const scope = headerOf(exchange.request, 'mcp-session-id') ?? '';
      const forget = call && scope ? core.pending.add(service, scope, call.id, call) : () => {};
      let resumable = false;
      try {
        const answer = await client.send({
          method: exchange.request.method ?? 'POST',
          headers: forwardedHeaders(exchange, config),
          body: exchange.body ?? null,
          signal: abort.signal,
        });
        resumable = await passAnswer(core, service, scope, exchange, answer, upstreamMs);
        if (!resumable) {
          await call?.close({
            kind: 'lost',
            code: 'upstream.no-answer',
            why: 'the upstream ended without an answer',
            upstreamMs: upstreamMs(),
          });
        }
        noticeCancellation(core, service, scope, exchange);
      } catch (error) {
        if (abort.signal.reason === TIMEOUT && call) tellUpstream(client, exchange, config, call);
        await failed(exchange, abort.signal.reason, error, upstreamMs());
      } finally {
        clearTimeout(timer);
        gone.removeEventListener('abort', leave);
        if (resumable && call && !call.closed) {
          // The client may fetch the answer on another stream until its time is over.
          const left = Math.max(0, call.timeoutMs - upstreamMs());
          setTimeout(() => {
            forget();
            void call.close({ kind: 'timeout', upstreamMs: upstreamMs() }).catch(() => {});
          }, left).unref();
        } else {
          forget();
        }
        response.end();
      }
    },
    [Symbol.asyncDispose]: () => client.destroy(),
  };
}

const TIMEOUT = Symbol('timeout');
const GONE = Symbol('gone');

function forwardedHeaders({ request }: Exchange, config: UpstreamConfig): Record<string, string> {
  const connection = headerOf(request, 'connection');
  const named = connection?.split(',').map((name) => name.trim().toLowerCase()) ?? [];
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || NOT_FORWARDED.has(name) || named.includes(name)) continue;
    headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return { ...headers, ...config.headers };
}

/** @returns true when the stream ended without the call's answer and the client may resume it. */
async function passAnswer(
  core: Core,
  service: string,
  scope: string,
  { response, call, message, modern, caller }: Exchange,
  answer: HttpAnswer,
  upstreamMs: () => number,
): Promise<boolean> {
  const type = String(answer.headers['content-type'] ?? '');
  const sessionId = answer.headers['mcp-session-id'];
  if (message?.method === 'initialize' && typeof sessionId === 'string') {
    core.sessions.begin(service, sessionId, caller, message.params['clientInfo']);
  }
  if (!type.startsWith('text/event-stream')) {
    const bytes = await answer.whole(core.config.limits.response_bytes_max);
    const said = readServerMessage(bytes.toString('utf8'));
    if (call && said?.kind === 'response' && (said.id === call.id || said.error)) {
      const outcome = {
        kind: 'answered',
        message: said,
        sizeBytes: bytes.length,
        upstreamMs: upstreamMs(),
      } as const;
      if (!(await recorded(call, outcome))) return refuseAnswer(response, call);
    } else if (call && answer.status >= 400) {
      const why = `the upstream answered with status ${answer.status}`;
      await call.close({ kind: 'lost', code: `http.${answer.status}`, why, upstreamMs: upstreamMs() });
    }
    sendWhole(response, answer, bytes);
    return false;
  }
  writeHead(response, answer);
  response.flushHeaders();
  const cutter = new EventCutter(core.config.limits.response_bytes_max);
  let seen = false;
  for await (const chunk of answer.body) {
    for (const event of cutter.push(chunk)) {
      const data = dataOf(event);
      const said = data === undefined ? undefined : readServerMessage(data);
      if (said?.kind === 'response' && said.id !== undefined) {
        const asked = call && said.id === call.id ? call : core.pending.find(service, scope, said.id);
        seen ||= asked === call;
        const sizeBytes = Buffer.byteLength(data ?? '');
        const outcome = { kind: 'answered', message: said, sizeBytes, upstreamMs: upstreamMs() } as const;
        if (asked && !(await recorded(asked, outcome))) {
          await write(response, eventOf(JSON.stringify(auditUnavailable(asked.id))));
          continue;
        }
      }
      await write(response, event);
    }
  }
  await write(response, cutter.end());
  return call !== undefined && !seen && !modern && scope !== '';
}

async function recorded(call: OpenCall, outcome: Parameters<OpenCall['close']>[0]): Promise<boolean> {
  return call.close(outcome).then(
    () => true,
    () => false,
  );
}

function refuseAnswer(response: ServerResponse, call: OpenCall): false {
  sendJson(response, 200, auditUnavailable(call.id));
  return false;
}

/** Head and body in one piece, which is one packet to send and to receive. */
function sendWhole(response: ServerResponse, answer: HttpAnswer, bytes: Buffer): void {
  if (response.destroyed || response.headersSent) return;
  const headers = passedHeaders(answer);
  // These have no body, and so no length (RFC 9110, 8.6).
  if (answer.status !== 204 && answer.status !== 304) headers['content-length'] = String(bytes.length);
  response.writeHead(answer.status, headers);
  response.end(bytes);
}

function writeHead(response: ServerResponse, answer: HttpAnswer): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(answer.status, passedHeaders(answer));
}

function passedHeaders(answer: HttpAnswer): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !NOT_FORWARDED.has(name) && name !== 'set-cookie') headers[name] = value;
  }
  return headers;
}

/** `notifications/cancelled` of the first era: the call it names ends here; the server need not answer it. */
function noticeCancellation(core: Core, service: string, scope: string, { message }: Exchange): void {
  if (message?.method !== 'notifications/cancelled') return;
  const id = message.params['requestId'];
  if (typeof id !== 'string' && typeof id !== 'number') return;
  void core.pending
    .find(service, scope, id)
    ?.close({ kind: 'cancelled', upstreamMs: 0 })
    .catch(() => {});
}

async function failed(
  { call, response, message, gone }: Exchange,
  reason: unknown,
  error: unknown,
  upstreamMs: number,
): Promise<void> {
  const id = message?.id ?? null;
  if (reason === GONE || (gone.aborted && reason !== TIMEOUT)) {
    await call?.close({ kind: 'cancelled', upstreamMs }).catch(() => {});
    return;
  }
  const late = reason === TIMEOUT;
  const why = late
    ? `no answer within ${call?.timeoutMs} ms`
    : `the upstream cannot be reached: ${messageOf(error)}`;
  const ended = call
    ? await recorded(
        call,
        late ? { kind: 'timeout', upstreamMs } : { kind: 'lost', code: 'upstream.lost', why, upstreamMs },
      )
    : true;
  const answer = !ended && call ? auditUnavailable(call.id) : failureAnswer(id, late, call);
  if (response.headersSent) await write(response, eventOf(JSON.stringify(answer)));
  else sendJson(response, id === null ? 502 : 200, answer);
}

/** What the client is told when no answer came. The reason stays in the trail: it may name what is inside. */
export function failureAnswer(id: string | number | null, late: boolean, call: OpenCall | undefined): object {
  const data = {
    code: late ? 'upstream.timeout' : 'upstream.lost',
    ...(call ? { event_id: call.eventId } : {}),
  };
  if (late) return errorAnswer(id, TIMED_OUT, `The tool did not answer within ${call?.timeoutMs} ms.`, data);
  return errorAnswer(id, UPSTREAM_LOST, 'The upstream server cannot be reached.', data);
}

/** Tells a server of the first era that nobody waits any longer. What it says to that does not matter. */
function tellUpstream(client: HttpClient, exchange: Exchange, config: UpstreamConfig, call: OpenCall): void {
  if (exchange.modern) return;
  const body = JSON.stringify({
    jsonrpc: '2.0',
    method: 'notifications/cancelled',
    params: { requestId: call.id, reason: 'timeout' },
  });
  client
    .send({ method: 'POST', headers: forwardedHeaders(exchange, config), body })
    .then((answer) => answer.drop())
    .catch(() => {});
}
