import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { endCall } from './call.ts';
import type { UpstreamConfig } from './config.ts';
import type { Core } from './core.ts';
import { type Exchange, headerOf, sendJson, type Upstream, write } from './exchange.ts';
import { failureAnswer } from './forward-http.ts';
import { auditUnavailable, errorAnswer } from './open-call.ts';
import { isBatch, isObject, type Message, readServerMessage } from './read-message.ts';
import { eventOf } from './sse.ts';
import { StdioChild } from './stdio-child.ts';

const PROCESSES_MAX = 256;
const IDLE_MS = 30 * 60_000;
const QUEUED_MAX = 256;

/**
 * A server that speaks stdio, behind our HTTP: one process for each MCP session of the first era; in the era without
 * sessions, processes shared by one caller, none of which ever has two requests under one id.
 */
export function stdioUpstream(core: Core, service: string, config: UpstreamConfig, path: string): Upstream {
  const sessions = new Map<string, ServerProcess>();
  const shared = new Map<string, ServerProcess[]>();
  const all = new Set<ServerProcess>();

  const start = (): ServerProcess | undefined => {
    if (all.size >= PROCESSES_MAX) return undefined;
    const started = new ServerProcess(core, config, path, () => all.delete(started));
    all.add(started);
    return started;
  };
  const reaper = setInterval(() => {
    for (const one of all) if (one.idleMs > IDLE_MS) one.close();
    for (const [id, one] of sessions) if (one.ended) sessions.delete(id);
    for (const [key, some] of shared)
      shared.set(
        key,
        some.filter((one) => !one.ended),
      );
  }, 60_000);
  reaper.unref();

  const forModern = ({ caller, message }: Exchange): ServerProcess | undefined => {
    const own = (shared.get(caller.key) ?? []).filter((one) => !one.ended);
    const free = own.find((one) => message?.id === undefined || !one.isAsking(message.id));
    if (free) return free;
    const started = start();
    if (started) shared.set(caller.key, [...own, started]);
    return started;
  };

  return {
    async exchange(exchange) {
      const { request, response, message, caller, modern } = exchange;
      const sessionId = headerOf(request, 'mcp-session-id');
      if (request.method === 'DELETE') {
        const ended = sessionId === undefined ? undefined : sessions.get(sessionId);
        if (sessionId !== undefined) sessions.delete(sessionId);
        ended?.close();
        return void response.writeHead(ended ? 200 : 404).end();
      }
      let process: ServerProcess | undefined;
      let begun: string | undefined;
      if (modern) {
        process = forModern(exchange);
      } else if (message?.method === 'initialize') {
        process = start();
        begun = randomUUID();
        if (process) sessions.set(begun, process);
        core.sessions.begin(service, begun, caller, message.params['clientInfo']);
      } else {
        process = sessionId === undefined ? undefined : sessions.get(sessionId);
        if (!process || process.ended) return refuseSession(exchange, sessionId);
      }
      if (!process) {
        await exchange.call?.close({
          kind: 'lost',
          code: 'gateway.busy',
          why: 'too many server processes',
          upstreamMs: 0,
        });
        return sendJson(
          response,
          503,
          errorAnswer(message?.id ?? null, -32_603, 'Too many server processes.'),
        );
      }
      if (request.method === 'GET') return process.listen(response);
      await process.deliver(exchange, begun);
    },
    async [Symbol.asyncDispose]() {
      clearInterval(reaper);
      for (const one of all) one.close();
    },
  };
}

async function refuseSession(
  { response, message, call }: Exchange,
  sessionId: string | undefined,
): Promise<void> {
  const [status, why] =
    sessionId === undefined ? [400, 'Mcp-Session-Id is missing'] : [404, 'Session not found'];
  await call?.close({ kind: 'lost', code: `http.${status}`, why, upstreamMs: 0 });
  sendJson(response, status, errorAnswer(message?.id ?? null, -32_001, why));
}

/** A request that waits for its answer. */
interface Asking {
  readonly exchange: Exchange;
  readonly progressToken: unknown;
  readonly startedAtMs: number;
  readonly done: () => void;
}

class ServerProcess {
  ended = false;
  private readonly child: StdioChild;
  private readonly asking = new Map<string, Asking>();
  private listener: ServerResponse | undefined;
  private queued: string[] = [];
  private lastUsedAtMs = performance.now();

  constructor(core: Core, config: UpstreamConfig, path: string, onEnd: () => void) {
    this.child = new StdioChild(config, path, core.config.limits.response_bytes_max, {
      onLine: (line) => void this.receive(line),
      onEnd: (why) => {
        this.ended = true;
        onEnd();
        this.listener?.end();
        for (const asking of this.asking.values()) void this.lose(asking, why);
      },
    });
  }

  get idleMs(): number {
    return this.asking.size > 0 || this.listener ? 0 : performance.now() - this.lastUsedAtMs;
  }

  isAsking(id: string | number): boolean {
    return this.asking.has(JSON.stringify(id));
  }

  close(): void {
    this.child.close();
  }

  /** The stream of the first era on which the server speaks unasked. */
  listen(response: ServerResponse): void {
    this.listener?.end();
    this.listener = response;
    response.writeHead(200, EVENT_STREAM);
    response.flushHeaders();
    for (const line of this.queued) response.write(eventOf(line));
    this.queued = [];
    response.once('close', () => {
      if (this.listener === response) this.listener = undefined;
    });
  }

  /** Passes a message on; for a request, resolves when its stream has ended. */
  async deliver(exchange: Exchange, begun: string | undefined): Promise<void> {
    const { message, body, response, call, gone, modern } = exchange;
    this.lastUsedAtMs = performance.now();
    // A line must not hold line ends; between the tokens of JSON they mean nothing.
    const line = Buffer.from(body ?? [])
      .toString('utf8')
      .replaceAll(/[\r\n]+/g, ' ')
      .trim();
    if (message?.kind !== 'request' || message.id === undefined) {
      this.noticeCancellation(message);
      this.child.send(line);
      return void response.writeHead(202).end();
    }
    const id = message.id;
    const key = JSON.stringify(id);
    if (this.asking.has(key)) {
      if (call) await endCall(call, { kind: 'lost', ...ID_UNDER_WAY, upstreamMs: 0 });
      return sendJson(response, 400, errorAnswer(id, -32_600, ID_UNDER_WAY.why));
    }
    const meta = isObject(message.params['_meta']) ? message.params['_meta'] : {};
    const answered = Promise.withResolvers<void>();
    const asking: Asking = {
      exchange,
      progressToken: meta['progressToken'],
      startedAtMs: performance.now(),
      done: () => {
        this.asking.delete(key);
        answered.resolve();
      },
    };
    this.asking.set(key, asking);
    response.writeHead(200, { ...EVENT_STREAM, ...(begun ? { 'mcp-session-id': begun } : {}) });
    response.flushHeaders();
    const timer = call && setTimeout(() => void this.expire(asking), call.timeoutMs);
    const leave = () => void this.leave(asking);
    if (modern || !call) gone.addEventListener('abort', leave, { once: true });
    this.child.send(line);
    if (this.ended) void this.lose(asking, 'the server has ended');
    await answered.promise;
    clearTimeout(timer);
    gone.removeEventListener('abort', leave);
    this.lastUsedAtMs = performance.now();
    response.end();
  }

  /** Must not reject: nobody waits for it. */
  private async receive(line: string): Promise<void> {
    if (isBatch(line)) return;
    const message = readServerMessage(line);
    if (message?.kind === 'response' && message.id !== undefined) {
      const asking = this.asking.get(JSON.stringify(message.id));
      if (!asking) return;
      const { call, response } = asking.exchange;
      const outcome = {
        kind: 'answered',
        message,
        sizeBytes: Buffer.byteLength(line),
        upstreamMs: performance.now() - asking.startedAtMs,
      } as const;
      const ending = call ? await endCall(call, outcome) : 'recorded';
      // Whoever ended it before has answered.
      if (ending === 'ended-before') return;
      const answer = ending === 'recorded' ? line : JSON.stringify(auditUnavailable(message.id));
      await write(response, eventOf(answer));
      return asking.done();
    }
    const stream = this.streamFor(message);
    if (stream) await write(stream, eventOf(line));
    else if (this.queued.length < QUEUED_MAX) this.queued.push(line);
  }

  /** The request that a message belongs to, else the stream for what the server says unasked, else the latest request. */
  private streamFor(message: Message | undefined): ServerResponse | undefined {
    const token = message?.params['progressToken'];
    const meta = isObject(message?.params['_meta']) ? message.params['_meta'] : {};
    const subscription = meta['io.modelcontextprotocol/subscriptionId'];
    const open = [...this.asking.values()];
    const related = open.find(
      ({ exchange, progressToken }) =>
        (token !== undefined && progressToken === token) ||
        (subscription !== undefined && String(exchange.message?.id) === String(subscription)),
    );
    return related?.exchange.response ?? this.listener ?? open.at(-1)?.exchange.response;
  }

  private noticeCancellation(message: Message | undefined): void {
    if (message?.method !== 'notifications/cancelled') return;
    const asking = this.asking.get(JSON.stringify(message.params['requestId']));
    if (!asking) return;
    const { call } = asking.exchange;
    if (call) void endCall(call, { kind: 'cancelled', upstreamMs: performance.now() - asking.startedAtMs });
    // The server need not answer any more; when it does, nobody waits.
    asking.done();
  }

  /** The client of the era without sessions closed its stream, which cancels. */
  private async leave(asking: Asking): Promise<void> {
    const { call } = asking.exchange;
    this.cancelUpstream(asking, 'the client has gone');
    if (call) await endCall(call, { kind: 'cancelled', upstreamMs: performance.now() - asking.startedAtMs });
    asking.done();
  }

  private async expire(asking: Asking): Promise<void> {
    const { call, response } = asking.exchange;
    if (!call || call.end) return;
    this.cancelUpstream(asking, 'timeout');
    const ending = await endCall(call, {
      kind: 'timeout',
      upstreamMs: performance.now() - asking.startedAtMs,
    });
    const answer = ending === 'recorded' ? failureAnswer(call.id, true, call) : auditUnavailable(call.id);
    await write(response, eventOf(JSON.stringify(answer)));
    asking.done();
  }

  private async lose(asking: Asking, why: string): Promise<void> {
    const { call, response, message } = asking.exchange;
    const upstreamMs = performance.now() - asking.startedAtMs;
    const ending = call
      ? await endCall(call, { kind: 'lost', code: 'upstream.lost', why, upstreamMs })
      : 'recorded';
    // Its answer is being recorded, or it was ended by its client.
    if (ending === 'ended-before') return;
    const answer =
      ending === 'recorded'
        ? failureAnswer(message?.id ?? null, false, call)
        : auditUnavailable(call?.id ?? 0);
    await write(response, eventOf(JSON.stringify(answer)));
    asking.done();
  }

  private cancelUpstream({ exchange }: Asking, reason: string): void {
    const params = { requestId: exchange.message?.id, reason };
    this.child.send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params }));
  }
}

const EVENT_STREAM = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/** A second request under an id that is not answered yet: which of them an answer is for, nobody could say. */
export const ID_UNDER_WAY = { code: 'gateway.id-under-way', why: 'a request with this id is under way' };
