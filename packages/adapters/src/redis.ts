import { Failure, isFailure, messageOf } from '@cairn/failure';
import { Redis as Client } from 'ioredis';

export interface RedisOptions {
  /** `redis://` or `rediss://`, with a password and a database number if there are any. */
  readonly url: string;
  /** Longest wait for an answer; default 10,000. */
  readonly answerMsMax?: number;
}

/** A Lua script. It runs as one step: nothing comes between, and what it wrote is there whole or not at all. */
export interface RedisScript {
  readonly name: string;
  readonly lua: string;
}

export interface Redis extends AsyncDisposable {
  /**
   * Runs a script. After a rejection it has run or not; nothing is sent twice.
   *
   * @throws Failure `redis.unreachable` (later); `redis.full` (later) when memory is short and nothing may be evicted;
   *   `redis.refused` (later)
   */
  run(script: RedisScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
  /** True when it answers. */
  ping(): Promise<boolean>;
}

/** Opens Redis. Whether it is there shows at the first call; it is looked for again whenever the connection breaks. */
export function openRedis({ url, answerMsMax = 10_000 }: RedisOptions): Redis {
  const client = new Client(url, {
    // RESP3 gives other shapes to what scripts return.
    protocol: 2,
    connectTimeout: 3_000,
    commandTimeout: answerMsMax,
    // Who called decides what becomes of a call: none waits for a connection or is sent again on the next one.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(100 * attempt, 2_000),
  });
  // Told by the calls that fail.
  client.on('error', () => {});
  const known = new Set<string>();
  return {
    async run({ name, lua }, keys, args) {
      if (!known.has(name)) {
        client.defineCommand(name, { lua });
        known.add(name);
      }
      try {
        const command = (client as unknown as Record<string, (...all: unknown[]) => Promise<unknown>>)[name]!;
        // As lists: a call of a hundred thousand arguments has no stack.
        return await command.call(client, keys.length, keys, args);
      } catch (error) {
        throw failureOf(error);
      }
    },
    ping: () =>
      client
        .ping()
        .then(() => true)
        .catch(() => false),
    async [Symbol.asyncDispose]() {
      client.disconnect();
    },
  };
}

function failureOf(error: unknown): Failure {
  if (isFailure(error)) return error;
  // The server's own errors begin with their code.
  const isAnswer = error instanceof Error && error.name === 'ReplyError';
  const answered = isAnswer ? (/^([A-Z]+) /.exec(error.message)?.[1] ?? 'ERR') : undefined;
  if (answered === 'OOM')
    return new Failure({
      code: 'redis.full',
      retry: 'later',
      message: `Redis has no memory left: ${messageOf(error)}`,
      mend: 'Give Redis more memory; it must run with maxmemory-policy noeviction.',
      cause: error,
    });
  if (answered !== undefined && answered !== 'LOADING' && answered !== 'READONLY' && answered !== 'BUSY')
    return new Failure({
      code: 'redis.refused',
      retry: 'later',
      message: `Redis refused: ${messageOf(error)}`,
      cause: error,
    });
  return new Failure({
    code: 'redis.unreachable',
    retry: 'later',
    message: `Redis did not answer: ${messageOf(error)}`,
    mend: 'Check REDIS_URL, and that Redis runs.',
    cause: error,
  });
}
