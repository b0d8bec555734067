import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpClient, openHttpClient } from '@cairn/adapters';
import { isModern, versionOf } from './check-headers.ts';
import type { UpstreamConfig } from './config.ts';
import { isObject, type Message, readServerMessage, textOf } from './read-message.ts';
import { dataOf, EventCutter } from './sse.ts';
import { StdioChild } from './stdio-child.ts';

/** An upstream to which messages are sent one by one, as a stdio client sends them. */
export interface MessageLink {
  /** Passes one message on: JSON in one line, unchanged. */
  send(line: string, message: Message): void;
  close(): void;
}

export interface LinkEvents {
  readonly onLine: (line: string) => void;
  /** No answer will come to this request. */
  readonly onLost: (message: Message, why: string) => void;
  readonly onEnd: (why: string) => void;
}

export function openLink(
  config: UpstreamConfig,
  path: string,
  bytesMax: number,
  events: LinkEvents,
): MessageLink {
  if (config.url !== undefined) return httpLink(config, bytesMax, events);
  const child = new StdioChild(config, path, bytesMax, events);
  return { send: (line) => child.send(line), close: () => child.close() };
}

/** Longest that what follows waits for a message that the server should take at once. */
const TAKEN_MS_MAX = 5_000;

/** Speaks streamable HTTP for a client that speaks stdio. */
function httpLink(config: UpstreamConfig, bytesMax: number, events: LinkEvents): MessageLink {
  const client = openHttpClient(config.url ?? '');
  let sessionId: string | undefined;
  let version: string | undefined;
  // Messages of one client arrive in its order, as far as that can be known: what the server takes at once is waited for. A request
  // may take long to answer and holds up nothing.
  let before: Promise<void> = Promise.resolve();

  const headersOf = (message: Message | undefined): Record<string, string> => {
    const own = message ? versionOf(message, { version, method: undefined, name: undefined }) : version;
    const named = message?.params['name'] ?? message?.params['uri'];
    const modern = own !== undefined && isModern(own) && message !== undefined && message.kind !== 'response';
    return {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(sessionId === undefined ? {} : { 'mcp-session-id': sessionId }),
      ...(own === undefined || own === '' || message?.method === 'initialize'
        ? {}
        : { 'mcp-protocol-version': own }),
      ...(modern ? { 'mcp-method': message.method } : {}),
      ...(modern && typeof named === 'string' ? { 'mcp-name': headerValue(named) } : {}),
      ...config.headers,
    };
  };

  const deliver = async (line: string, message: Message): Promise<void> => {
    const answer = await client.send({
      method: 'POST',
      headers: headersOf(message),
      body: line,
    });
    const begun = answer.headers['mcp-session-id'];
    if (typeof begun === 'string') sessionId = begun;
    void passBody(answer.body, String(answer.headers['content-type'] ?? ''), message, answer.status);
    if (message.method === 'notifications/initialized') void listen();
  };

  const passBody = async (
    body: AsyncIterable<Uint8Array>,
    type: string,
    message: Message | undefined,
    status: number,
  ): Promise<void> => {
    let answered = message?.kind !== 'request';
    const pass = (line: string): void => {
      const said = readServerMessage(line);
      if (said?.kind === 'response' && said.id === message?.id) {
        answered = true;
        const result = isObject(said.result) ? said.result : {};
        if (message?.method === 'initialize') version = textOf(result['protocolVersion']);
      }
      events.onLine(line.replaceAll(/[\r\n]+/g, ' '));
    };
    try {
      if (type.startsWith('text/event-stream')) {
        const cutter = new EventCutter(bytesMax);
        for await (const chunk of body) {
          for (const event of cutter.push(chunk)) {
            const data = dataOf(event);
            if (data !== undefined) pass(data);
          }
        }
      } else {
        const chunks: Uint8Array[] = [];
        let bytes = 0;
        for await (const chunk of body) {
          bytes += chunk.length;
          if (bytes > bytesMax) throw new RangeError('the answer is larger than allowed');
          chunks.push(chunk);
        }
        const text = Buffer.concat(chunks).toString('utf8').trim();
        if (message && type.startsWith('application/json') && text !== '') pass(text);
      }
    } catch {
      // Told below: the request has no answer.
    }
    if (!answered && message)
      events.onLost(message, `the upstream answered with status ${status} and nothing more`);
  };

  /** The stream of the first era on which the server speaks unasked. A server may not have one. */
  const listen = async (): Promise<void> => {
    const headers = { ...headersOf(undefined), accept: 'text/event-stream' };
    const answer = await client.send({ method: 'GET', headers }).catch(() => undefined);
    if (answer?.status === 200) await passBody(answer.body, 'text/event-stream', undefined, 200);
    else await answer?.drop();
  };

  return {
    send(line, message) {
      const delivered = before.then(() =>
        deliver(line, message).catch((error: Error) => {
          if (message.kind === 'request')
            events.onLost(message, `the upstream cannot be reached: ${error.message}`);
        }),
      );
      if (message.kind !== 'request' || message.method === 'initialize')
        before = Promise.race([delivered, sleep(TAKEN_MS_MAX, undefined, { ref: false })]);
    },
    close() {
      const ended = sessionId === undefined ? Promise.resolve() : endSession(client, headersOf(undefined));
      void ended.finally(() => client.destroy());
    },
  };
}

async function endSession(client: HttpClient, headers: Record<string, string>): Promise<void> {
  const answer = await client.send({ method: 'DELETE', headers }).catch(() => undefined);
  await answer?.drop();
}

/** A header holds visible ASCII; anything else is sent as `=?base64?…?=`. */
function headerValue(text: string): string {
  return /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !text.startsWith('=?base64?')
    ? text
    : `=?base64?${Buffer.from(text).toString('base64')}?=`;
}
