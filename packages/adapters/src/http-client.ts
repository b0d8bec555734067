import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { Agent, buildConnector } from 'undici';

export interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | null;
  readonly signal?: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Bytes as they come. The body must be read to its end in one of these three ways. */
  readonly body: AsyncIterable<Uint8Array>;
  /** The body at once. @throws RangeError when it is larger than allowed. */
  whole(bytesMax: number): Promise<Buffer>;
  /** Reads the rest and forgets it, so that the connection can be used again. */
  drop(): Promise<void>;
}

/** Connections to one upstream. Nothing is decompressed, redirected or retried. */
export interface HttpClient {
  send(request: HttpRequest): Promise<HttpAnswer>;
  destroy(): Promise<void>;
}

/** Answers take as long as the call's own timeout lets them, so the client has none. */
export function openHttpClient(url: string): HttpClient {
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connectTimeout: 5_000, connections: 256 });
  const { origin, pathname, search } = new URL(url);
  const path = `${pathname}${search}`;
  return {
    async send({ method, headers, body = null, signal }) {
      const answer = await agent.request({
        origin,
        path,
        method: method as 'POST',
        headers: { ...headers },
        body,
        ...(signal ? { signal } : {}),
      });
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: answer.body,
        whole: (bytesMax) => wholeOf(answer.body, bytesMax),
        drop: () => answer.body.dump(),
      };
    },
    destroy: () => agent.destroy(),
  };
}

/** Listeners, since reading a small answer as an iterator costs more than the answer. */
function wholeOf(body: Readable, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    body.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else body.destroy(new RangeError(`the upstream's answer is larger than ${bytesMax} bytes`));
    });
    body.once('end', () => resolve(Buffer.concat(chunks)));
    body.once('error', reject);
  });
}

export interface GuardedHttpOptions {
  /** Says why an address must not be connected to; undefined when it may. Asked of every address that a name resolves to. */
  readonly refusalOf: (address: string) => string | undefined;
  /** Default the system's resolver. Asked once for each connection. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  /** Longest until the answer's head is there, the name's resolution and the connection included; default 15,000. */
  readonly answerMsMax?: number;
  /** Longest that the answer's body is waited for once its head is there; default 2,000. */
  readonly bodyMsMax?: number;
  /** Default 4. */
  readonly connections?: number;
  /** Longest answer that is read, and of it the excerpt; default 65,536 and 1,024 bytes. */
  readonly answerBytesMax?: number;
  readonly excerptBytesMax?: number;
  /** Certificates, PEM, that a receiver may be certified by, in place of the public ones. */
  readonly ca?: string | undefined;
}

/** HTTP to places that others named. */
export interface GuardedHttp extends AsyncDisposable {
  /**
   * Sends one POST and follows nothing. The name is resolved here, every address of it is asked about, and the connection
   * goes to one that was: what a name resolves to a moment later changes nothing.
   *
   * The answer's body is read for at most `bodyMsMax` and `answerBytesMax`; a receiver that is slower has answered all the same.
   *
   * @throws Failure `http.refused-address`, `http.timeout`, `http.unreachable`
   */
  post(
    url: URL,
    headers: Readonly<Record<string, string>>,
    body: Buffer,
  ): Promise<{ readonly status: number; readonly retryAfter: string | undefined; readonly excerpt: string }>;
}

const GUARDED_BODY_BYTES_MAX = 65_536;
const EXCERPT_BYTES_MAX = 1_024;

/** Connections of its own: one place that is slow or hostile keeps none that another one needs. */
export function openGuardedHttp(options: GuardedHttpOptions): GuardedHttp {
  const { answerMsMax = 15_000, bodyMsMax = 2_000, resolve = addressesOf } = options;
  const { answerBytesMax = GUARDED_BODY_BYTES_MAX, excerptBytesMax = EXCERPT_BYTES_MAX, ca } = options;
  const connect = buildConnector({
    timeout: answerMsMax,
    allowH2: false,
    ...(ca === undefined ? {} : { ca }),
  });
  const agent = new Agent({
    connections: options.connections ?? 4,
    pipelining: 1,
    headersTimeout: answerMsMax,
    bodyTimeout: answerMsMax,
    maxResponseSize: answerBytesMax,
    maxHeaderSize: 16_384,
    // Node asks no resolver about a literal, so that a hook there would never see it: this sees every connection.
    connect: (target, done) => {
      const host = target.hostname.replace(/^\[(.*)\]$/, '$1');
      checkedAddress(host, resolve, options.refusalOf).then(
        (address) =>
          connect({ ...target, hostname: address, servername: isIP(host) === 0 ? host : '' }, done),
        (error: Error) => done(error, null),
      );
    },
  });
  return {
    async post(url, headers, body) {
      const over = AbortSignal.timeout(answerMsMax);
      try {
        const answer = await agent.request({
          origin: url.origin,
          path: `${url.pathname}${url.search}`,
          method: 'POST',
          headers: { ...headers },
          body,
          signal: over,
        });
        const retryAfter = answer.headers['retry-after'];
        return {
          status: answer.statusCode,
          retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
          excerpt: await excerptOf(answer.body, bodyMsMax, excerptBytesMax),
        };
      } catch (error) {
        if (isFailure(error)) throw error;
        if (over.aborted) throw unreached('timeout', `no answer within ${answerMsMax} ms`, error);
        throw unreached('unreachable', messageOf(error), error);
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  };
}

export async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);
}

/** @throws Failure `http.refused-address` when any address of the host is refused, `http.unreachable` when it has none. */
export async function checkedAddress(
  host: string,
  resolve: (host: string) => Promise<readonly string[]>,
  refusalOf: GuardedHttpOptions['refusalOf'],
): Promise<string> {
  const addresses = isIP(host) === 0 ? await resolve(host) : [host];
  for (const address of addresses) {
    const refusal = refusalOf(address);
    if (refusal === undefined) continue;
    throw new Failure({
      code: 'http.refused-address',
      retry: 'later',
      message: `${host} is ${address}, ${refusal}`,
      mend: 'Name a public address, or allow its network in the configuration.',
    });
  }
  const [first] = addresses;
  if (first === undefined) throw unreached('unreachable', `${host} has no address`);
  return first;
}

/** The beginning of an answer. The rest is dropped; a body that does not end costs its connection. */
function excerptOf(body: Readable, msMax: number, bytesMax: number): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (): void => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).subarray(0, bytesMax).toString('utf8'));
    };
    const timer = setTimeout(() => {
      body.destroy();
      end();
    }, msMax);
    body.on('data', (chunk: Buffer) => {
      if (bytes < bytesMax) chunks.push(chunk);
      bytes += chunk.length;
    });
    body.once('end', end);
    body.once('error', end);
  });
}

export function unreached(what: 'timeout' | 'unreachable', message: string, cause?: unknown): Failure {
  return new Failure({ code: `http.${what}`, retry: 'later', message, cause });
}
