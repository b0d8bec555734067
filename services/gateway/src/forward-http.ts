import type { ServerResponse } from 'node:http';
import { type HttpAnswer, type HttpClient, openHttpClient } from '@cairn/adapters';
import { messageOf } from '@cairn/failure';
import { endCall, type OpenCall, type Outcome } from './call.ts';
import type { UpstreamConfig } from './config.ts';
import type { Core } from './core.ts';
import { type Exchange, headerOf, sendJson, type Upstream, write } from './exchange.ts';
import { auditUnavailable, errorAnswer, TIMED_OUT, UPSTREAM_LOST } from './open-call.ts';
import { isBatch, readServerMessage } from './read-message.ts';
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
      if (modern || !call) {
        if (gone.aborted) leave();
        else gone.addEventListener('abort', leave, { once: true });
      }
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
        if (!resumable) await call?.close(noAnswer(upstreamMs()));
        noticeCancellation(core, service, scope, exchange);
      } catch (error) {
        if (abort.signal.reason === TIMEOUT && call && !call.end)
          tellUpstream(client, exchange, config, call);
        await failed(exchange, abort.signal.reason, error, upstreamMs());
      } finally {
        clearTimeout(timer);
        gone.removeEventListener('abort', leave);
        if (resumable && call && !call.end) {
          // The client may fetch the answer on another stream until its time is over.
          const left = Math.max(0, call.timeoutMs - upstreamMs());
          setTimeout(() => {
            void endCall(call, { kind: 'timeout', upstreamMs: upstreamMs() });
            forget();
          }, left).unref();
        } else {
          forget();
        }
        endWithout(response);
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
    if (call) {
      const said = readServerMessage(bytes.toString('utf8'));
      const isAnswer = said?.kind === 'response' && (said.id === call.id || said.error !== undefined);
      const outcome: Outcome = isAnswer
        ? { kind: 'answered', message: said, sizeBytes: bytes.length, upstreamMs: upstreamMs() }
        : answer.status >= 400
          ? refusedWith(answer.status, upstreamMs())
          : noAnswer(upstreamMs());
      const ending = await endCall(call, outcome);
      if (ending === 'unrecorded') sendJson(response, 200, auditUnavailable(call.id));
      // Nobody waits for it any more.
      if (ending !== 'recorded') return false;
      if (!isAnswer && answer.status < 400 && bytes.length > 0) {
        // What it says answers something else, and no event knows of it.
        sendJson(response, 200, failureAnswer(call.id, false, call));
        return false;
      }
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
      if (data !== undefined && isBatch(data)) continue;
      const said = data === undefined ? undefined : readServerMessage(data);
      if (said?.kind === 'response' && said.id !== undefined) {
        const isOwn = call !== undefined && said.id === call.id;
        const asked = isOwn ? call : core.pending.find(service, scope, said.id);
        seen ||= isOwn;
        // On the stream of a call nothing is answered that was not asked.
        if (!asked && call) continue;
        // On another stream an answer may come a second time: the client lost the stream on which it came first.
        if (asked && (isOwn || asked.end !== 'answered')) {
          const sizeBytes = Buffer.byteLength(data ?? '');
          const outcome = { kind: 'answered', message: said, sizeBytes, upstreamMs: upstreamMs() } as const;
          const ending = await endCall(asked, outcome);
          if (ending === 'unrecorded')
            await write(response, eventOf(JSON.stringify(auditUnavailable(asked.id))));
          if (ending !== 'recorded') continue;
        }
      }
      await write(response, event);
    }
  }
  // What no empty line ends is no event, and is left out as its reader would.
  return call !== undefined && !seen && !modern && scope !== '';
}

const noAnswer = (upstreamMs: number): Outcome => ({
  kind: 'lost',
  code: 'upstream.no-answer',
  why: 'the upstream ended without an answer',
  upstreamMs,
});

const refusedWith = (status: number, upstreamMs: number): Outcome => ({
  kind: 'lost',
  code: `http.${status}`,
  why: `the upstream answered with status ${status}`,
  upstreamMs,
});

/** Ends what was begun; where nothing was, the request was taken and has no answer. */
function endWithout(response: ServerResponse): void {
  if (!response.headersSent && !response.destroyed) response.writeHead(202);
  response.end();
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
  const call = core.pending.find(service, scope, id);
  if (call) void endCall(call, { kind: 'cancelled', upstreamMs: 0 });
}

async function failed(
  { call, response, message }: Exchange,
  reason: unknown,
  error: unknown,
  upstreamMs: number,
): Promise<void> {
  const id = message?.id ?? null;
  if (reason === GONE) {
    if (call) await endCall(call, { kind: 'cancelled', upstreamMs });
    return;
  }
  const late = reason === TIMEOUT;
  const why = late
    ? `no answer within ${call?.timeoutMs} ms`
    : `the upstream cannot be reached: ${messageOf(error)}`;
  const ending = call
    ? await endCall(
        call,
        late ? { kind: 'timeout', upstreamMs } : { kind: 'lost', code: 'upstream.lost', why, upstreamMs },
      )
    : 'recorded';
  // It was answered, or nobody waits any more: only its stream ended badly.
  if (ending === 'ended-before') return;
  const answer = ending === 'unrecorded' && call ? auditUnavailable(call.id) : failureAnswer(id, late, call);
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
