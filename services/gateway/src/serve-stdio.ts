import type { Readable, Writable } from 'node:stream';
import { endCall, type OpenCall, type Outcome } from './call.ts';
import type { ClientClaims } from './client-sessions.ts';
import type { UpstreamConfig } from './config.ts';
import type { Core } from './core.ts';
import { failureAnswer } from './forward-http.ts';
import { ID_UNDER_WAY } from './forward-stdio.ts';
import type { Caller } from './identity.ts';
import { LineCutter } from './line-cutter.ts';
import { type MessageLink, openLink } from './message-link.ts';
import { auditUnavailable, errorAnswer, openCall } from './open-call.ts';
import { isBatch, isObject, type Message, readMessage, readServerMessage, textOf } from './read-message.ts';

export interface StdioFront {
  readonly service: string;
  readonly upstream: UpstreamConfig;
  readonly caller: Caller;
  readonly input: Readable;
  readonly output: Writable;
  /** Where commands of stdio servers are looked for. */
  readonly path: string;
}

interface Asked {
  readonly call: OpenCall;
  readonly startedAtMs: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * One client that speaks stdio, as an agent's host starts it: newline-delimited JSON in, the same out. Resolves when the
 * client closes its side or the server ends.
 */
export async function serveStdio(core: Core, front: StdioFront): Promise<void> {
  const { service, upstream, caller, input, output } = front;
  const asked = new Map<string, Asked>();
  /** Requests under way of which nothing is recorded. */
  const passed = new Set<string>();
  let client: ClientClaims | undefined;
  const ended = Promise.withResolvers<void>();
  const write = (line: string): void => void output.write(`${line}\n`);
  const say = (answer: object): void => write(JSON.stringify(answer));

  /** Records the end of a call, then answers; an answer that cannot be recorded is withheld. */
  const finish = async (id: string | number, outcome: Outcome, answer: string): Promise<void> => {
    const key = JSON.stringify(id);
    const waiting = asked.get(key);
    if (!waiting) return;
    asked.delete(key);
    clearTimeout(waiting.timer);
    const ending = await endCall(waiting.call, outcome);
    if (ending === 'ended-before') return;
    write(ending === 'recorded' ? answer : JSON.stringify(auditUnavailable(id)));
  };

  const lose = (message: Message, why: string): void => {
    const waiting = message.id === undefined ? undefined : asked.get(JSON.stringify(message.id));
    if (message.id === undefined) return;
    const answer = JSON.stringify(failureAnswer(message.id, false, waiting?.call));
    if (!waiting) {
      write(answer);
      return;
    }
    const upstreamMs = performance.now() - waiting.startedAtMs;
    void finish(message.id, { kind: 'lost', code: 'upstream.lost', why, upstreamMs }, answer);
  };

  const link: MessageLink = openLink(upstream, front.path, core.config.limits.response_bytes_max, {
    onLine(line) {
      if (isBatch(line)) return;
      const said = readServerMessage(line);
      if (said?.kind !== 'response' || said.id === undefined) return write(line);
      const key = JSON.stringify(said.id);
      const waiting = asked.get(key);
      if (!waiting) {
        // Nobody waits: it was never asked, or has ended without this, and no event would know of it.
        if (passed.delete(key)) write(line);
        return;
      }
      const upstreamMs = performance.now() - waiting.startedAtMs;
      void finish(
        said.id,
        { kind: 'answered', message: said, sizeBytes: Buffer.byteLength(line), upstreamMs },
        line,
      );
    },
    onLost: lose,
    onEnd(why) {
      for (const { call } of asked.values()) lose({ ...EMPTY, id: call.id }, why);
      ended.resolve();
    },
  });

  const receive = async (line: string): Promise<void> => {
    const startedAtMs = performance.now();
    const read = readMessage(line);
    if (!read.ok) return say(errorAnswer(null, -32_600, read.why));
    const { message } = read;
    if (message.method === 'initialize' && isObject(message.params['clientInfo'])) {
      const { name, version } = message.params['clientInfo'];
      client = { name: textOf(name), version: textOf(version) };
    }
    if (message.method === 'notifications/cancelled') {
      const id = message.params['requestId'] as string | number;
      const waiting = asked.get(JSON.stringify(id));
      if (waiting) {
        asked.delete(JSON.stringify(id));
        clearTimeout(waiting.timer);
        const upstreamMs = performance.now() - waiting.startedAtMs;
        void endCall(waiting.call, { kind: 'cancelled', upstreamMs });
      }
    }
    const opening = await openCall(core, {
      caller,
      service,
      message,
      sizeBytes: Buffer.byteLength(line),
      startedAtMs,
      version: undefined,
      mcpSessionId: undefined,
      baggage: undefined,
      traceparent: undefined,
      sourceIp: '',
      client,
    });
    if (opening.kind === 'refused') return say(opening.answer);
    if (opening.kind === 'pass' && message.kind === 'request') passed.add(JSON.stringify(message.id));
    if (opening.kind === 'open') {
      const { call } = opening;
      if (asked.has(JSON.stringify(call.id))) {
        await endCall(call, { kind: 'lost', ...ID_UNDER_WAY, upstreamMs: 0 });
        return say(errorAnswer(call.id, -32_600, ID_UNDER_WAY.why));
      }
      const timer = setTimeout(() => {
        const upstreamMs = performance.now() - startedAtMs;
        const params = { requestId: call.id, reason: 'timeout' };
        link.send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params }), CANCELLED);
        void finish(
          call.id,
          { kind: 'timeout', upstreamMs },
          JSON.stringify(failureAnswer(call.id, true, call)),
        );
      }, call.timeoutMs);
      asked.set(JSON.stringify(call.id), { call, startedAtMs, timer });
    }
    link.send(line, message);
  };

  const cutter = new LineCutter(core.config.limits.request_bytes_max);
  // One after the other: a decision that takes longer must not let a later message pass.
  let before: Promise<void> = Promise.resolve();
  const take = (chunk: Buffer): void => {
    try {
      for (const line of cutter.push(chunk)) before = before.then(() => receive(line));
    } catch {
      say(errorAnswer(null, -32_600, 'The message is too large.'));
      ended.resolve();
    }
  };
  input.on('data', take);
  input.once('end', () => void before.finally(() => ended.resolve()));
  await ended.promise;
  input.off('data', take);
  for (const { call, timer, startedAtMs } of asked.values()) {
    clearTimeout(timer);
    await endCall(call, { kind: 'cancelled', upstreamMs: performance.now() - startedAtMs });
  }
  link.close();
}

const EMPTY: Message = {
  kind: 'response',
  id: undefined,
  method: '',
  params: {},
  result: undefined,
  error: undefined,
};
const CANCELLED: Message = { ...EMPTY, kind: 'notification', method: 'notifications/cancelled' };
