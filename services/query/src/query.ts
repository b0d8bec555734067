import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ClickHouse,
  frameIdsAt,
  type Kafka,
  openClickHouse,
  openKafka,
  openRedis,
} from '@cairn/adapters';
import { SCHEMAS, topicOf } from '@cairn/event';
import { Failure, messageOf } from '@cairn/failure';
import { openServiceRecorder } from '@cairn/recorder';
import { ownTopic } from '@cairn/retention';
import { listen, owning, readRetention, type ServiceContext, serveHealth, VERSION } from '@cairn/runtime';
import { openAuthenticator } from './authenticate.ts';
import type { QueryConfig } from './config.ts';
import { openArchive } from './open-archive.ts';
import { openSubjectKeys } from './open-subject-keys.ts';
import { RequestsInFlight } from './requests-in-flight.ts';
import { serveApi } from './serve-api.ts';
import { claimsIn, claimsInMemory, countingAlone } from './shared-claims.ts';
import { tellRevocations } from './tell-revocations.ts';

/** What tests put in the place of the real systems. */
export interface QueryParts {
  readonly kafka?: Kafka;
  readonly clickhouse?: ClickHouse;
  /** How long a stop waits for what is being answered; default `DRAIN_MS_MAX`. */
  readonly drainMsMax?: number;
}

export interface Query extends AsyncDisposable {
  readonly port: number;
  readonly healthPort: number;
}

/**
 * Serves the trail to whoever may ask. It writes nothing but keys and saved searches, and records each request.
 *
 * @throws Failure when the topic is not there yet (`log.no-topic`, later), the port is taken, or the data directory is in use.
 */
export async function createQuery(
  config: QueryConfig,
  context: ServiceContext,
  parts: QueryParts = {},
): Promise<Query> {
  return owning((own) => startQuery(config, context, parts, own));
}

async function startQuery(
  config: QueryConfig,
  { log, metrics }: ServiceContext,
  parts: QueryParts,
  own: AsyncDisposableStack,
): Promise<Query> {
  log.level = config.logLevel;
  const policy = readRetention(config.retentionFile);
  const topics = config.classes.map(topicOf);
  const kafka = parts.kafka ?? own.use(openKafka({ brokers: config.kafka.brokers, clientId: 'cairn-query' }));
  const clickhouse = parts.clickhouse ?? own.use(openClickHouse(config.clickhouse));
  const analyst =
    config.analyst.user === undefined
      ? clickhouse
      : own.use(
          openClickHouse({
            ...config.clickhouse,
            user: config.analyst.user,
            password: config.analyst.password,
          }),
        );
  const archive = await openArchive(config, Date.now, (error) =>
    log.warn({ reason: messageOf(error) }, 'the archive could not be looked at'),
  );
  if (archive === undefined)
    log.info(
      'no archive: proofs, bundles, holds and cold events are not served (S3_ENDPOINT, CAIRN_ROOT_KEY)',
    );
  else own.use(archive);
  const subjectKeys = await openSubjectKeys(config.unsealing);
  const partitions = await kafka.partitionsOf(topics[0]!);
  if (partitions === undefined)
    throw new Failure({
      code: 'log.no-topic',
      retry: 'later',
      message: `there is no topic ${topics[0]}`,
      mend: 'Start a gateway first: it creates the topic.',
    });
  const recorder = own.use(
    await openServiceRecorder(config, {
      gatewayVersion: VERSION,
      log: (await frameIdsAt(config.schemaRegistryUrl, SCHEMAS)).under(kafka.log),
      topicOf: (orgId) => ownTopic(policy, orgId, topics, Date.now()),
      partitions,
      onEvent: (event) => log.warn({ ...event }, 'the recorder of the API’s own events'),
    }),
  );

  const requests = metrics.counter('requests_total', 'Requests answered', ['route', 'status']);
  const latency = metrics.histogram('request_seconds', 'Time to the last byte', ['route'], SECONDS);
  const alone = metrics.counter(
    'counted_alone_total',
    'Requests counted by this process for itself, since Redis was away',
  );
  const inMemory = claimsInMemory(Date.now);
  let toldMs = Number.NEGATIVE_INFINITY;
  const claims =
    config.redisUrl === undefined
      ? inMemory
      : countingAlone(
          claimsIn(
            own.use(openRedis({ url: config.redisUrl, answerMsMax: REDIS_MS_MAX })),
            config.deployment,
          ),
          inMemory,
          (error) => {
            alone.add(1);
            if (performance.now() - toldMs < TOLD_EVERY_MS) return;
            toldMs = performance.now();
            log.warn({ reason: messageOf(error) }, 'Redis is away: each process counts requests for itself');
          },
        );
  const stopping = new AbortController();
  const inFlight = new RequestsInFlight();
  const telling = tellEvery(TELL_EVERY_MS, stopping.signal, async () => {
    try {
      const told = await tellRevocations(clickhouse, recorder);
      if (told > 0) log.info({ told }, 'revocations that could not be recorded before are recorded');
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'revocations that are not recorded could not be looked for');
    }
  });
  own.defer(() => {
    stopping.abort();
    return telling;
  });
  const app = serveApi({
    config,
    clickhouse,
    analyst,
    archive,
    subjectKeys,
    authenticator: openAuthenticator(clickhouse, config, readTokenKey(config.dataDirectory)),
    recorder,
    claims,
    log,
    nowMs: Date.now,
    stopping: stopping.signal,
    inFlight,
    onAnswered(route, status, tookMs) {
      requests.add(1, { route, status: String(status) });
      latency.observe(tookMs / 1_000, { route });
    },
  });
  const server = createServer(
    {
      requestTimeout: 30_000,
      headersTimeout: 10_000,
      keepAliveTimeout: 30_000,
      maxHeaderSize: ADDRESS_BYTES_MAX,
    },
    app,
  );
  const health = own.use(
    await serveHealth({
      ...config.health,
      service: 'query',
      metrics,
      ready: async () => {
        const answers = await clickhouse.ping();
        const { full } = recorder.stats();
        const checks = {
          clickhouse: answers ? 'ok' : 'unreachable',
          spool: full ? 'full' : 'ok',
          ...(!server.listening && { service: stopping.signal.aborted ? 'draining' : 'starting' }),
        };
        return { ok: answers && !full && server.listening, checks };
      },
    }),
  );
  const port = await listen(server, config.port, config.host);
  // Before anything that an answer needs, and the health above says so meanwhile.
  own.defer(() => stop(server, stopping, inFlight, parts.drainMsMax ?? DRAIN_MS_MAX));
  log.info({ port, url: `http://${config.host}:${port}` }, 'the API answers');
  return { port, healthPort: health.port, [Symbol.asyncDispose]: () => own.disposeAsync() };
}

/** So long at most, with a recorder that works, the trail lacks a revocation that it is owed. */
const TELL_EVERY_MS = 30_000;

async function tellEvery(ms: number, stopped: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!stopped.aborted) {
    await work();
    await sleep(ms, undefined, { signal: stopped }).catch(() => {});
  }
}

/**
 * The end of the API, within `msMax`:
 *
 * 1. Nothing new: no connection is taken, and what comes on one that stands is told 503.
 * 2. Tails say that they end, and where they go on; exports and bundles are broken off, so that nobody takes them for whole.
 * 3. Whatever else is being answered is answered, and the events of all of it are on disk.
 * 4. What has not ended by then is broken off.
 */
async function stop(
  server: Server,
  stopping: AbortController,
  inFlight: RequestsInFlight,
  msMax: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  stopping.abort();
  // A connection whose request was answered stands open for the next one.
  const idle = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_EVERY_MS);
  const late = new AbortController();
  try {
    await Promise.race([
      closed.then(() => inFlight.ended()),
      sleep(msMax, undefined, { signal: late.signal }).catch(() => {}),
    ]);
  } finally {
    late.abort();
    clearInterval(idle);
  }
  server.closeAllConnections();
  await closed;
}

/** The longest search takes 24,000 bytes in an address: twelve for a character outside the basic plane. */
const ADDRESS_BYTES_MAX = 64 * 1024;
/** A request does not wait longer to be counted. */
const REDIS_MS_MAX = 1_000;
const TOLD_EVERY_MS = 60_000;
const DRAIN_MS_MAX = 10_000;
const CLOSE_IDLE_EVERY_MS = 50;
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** 32 random bytes, mode 0600, made at the first start: under them a person's subject becomes a token. */
function readTokenKey(directory: string): Uint8Array {
  const file = join(directory, 'person-token.key');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, randomBytes(32), { flag: 'wx', mode: 0o600, flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const key = readFileSync(file);
  if (key.length === 32) return key;
  throw new Failure({
    code: 'keys.unreadable',
    retry: 'no',
    message: `${file} does not hold 32 bytes`,
    mend: 'Restore it from a backup; deleting it makes new tokens for everybody.',
  });
}
