import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { frameIdsAt, type Kafka, openKafka, ParkedRecords } from '@cairn/adapters';
import { SCHEMAS, topicOf } from '@cairn/event';
import { messageOf } from '@cairn/failure';
import { openServiceRecorder, type RecordDraft } from '@cairn/recorder';
import { ownTopic } from '@cairn/retention';
import {
  awaitTopics,
  owning,
  readRetention,
  realClock,
  type ServiceContext,
  serveHealth,
  VERSION,
} from '@cairn/runtime';
import type { DestinationConfig, ForwarderConfig } from './config.ts';
import { type Lane, openLane, type Refusal } from './deliver-items.ts';
import type { Verdict } from './destination.ts';
import { forwardPartitions } from './forward-partitions.ts';
import { createForwarderMetrics } from './metrics.ts';
import { openDestination } from './open-destination.ts';
import {
  lostEvent,
  parkedEvent,
  recordDestinations,
  replayedEvent,
  startedEvent,
} from './record-forwarding.ts';
import { replayParked } from './replay-parked.ts';

/** What tests put in the place of the real systems. */
export interface ForwarderParts {
  readonly kafka?: Kafka;
}

export interface Forwarder extends AsyncDisposable {
  readonly healthPort: number;
}

/**
 * Kafka to SIEMs. Each destination is a consumer group with a lane, connections and buffers of its own, so that one that stands still
 * holds up no other.
 *
 * @throws Failure when Kafka does not answer, a secret cannot be read, or the data directory is in use.
 */
export async function createForwarder(
  config: ForwarderConfig,
  context: ServiceContext,
  parts: ForwarderParts = {},
): Promise<Forwarder> {
  return owning((own) => startForwarder(config, context, parts, own));
}

async function startForwarder(
  config: ForwarderConfig,
  { log, metrics }: ServiceContext,
  parts: ForwarderParts,
  own: AsyncDisposableStack,
): Promise<Forwarder> {
  log.level = config.logLevel;
  const nowMs = Date.now;
  const clock = realClock;
  const count = createForwarderMetrics(metrics, nowMs);
  const topics = config.classes.map(topicOf);
  const opened = config.destinations.map((one) => ({
    one,
    ...openDestination(one, config.network, clock, nowMs),
  }));
  const kafka =
    parts.kafka ?? own.use(openKafka({ brokers: config.kafka.brokers, clientId: 'cairn-forwarder' }));
  const ids = await frameIdsAt(config.schemaRegistryUrl, SCHEMAS);
  const released = new Set(SCHEMAS.map(({ id }) => id));
  await awaitTopics(kafka, topics, log);

  mkdirSync(config.dataDirectory, { recursive: true });
  const parked = own.use(new ParkedRecords(join(config.dataDirectory, 'parked.sqlite')));
  const lanes = new Map<string, Lane>();
  const policy = readRetention(config.retentionFile);
  const recorder = own.use(
    await openServiceRecorder(config, {
      gatewayVersion: VERSION,
      log: ids.under(kafka.log),
      topicOf: (orgId) => ownTopic(policy, orgId, topics, nowMs()),
      partitions: (await kafka.partitionsOf(topics[0]!)) ?? 1,
      onEvent: (event) => log.warn({ ...event }, 'the recorder of the forwarder’s own events'),
    }),
  );
  const record = async (draft: RecordDraft | undefined): Promise<void> =>
    void (draft && (await recorder.record(draft)));
  const { org } = config;
  await recordDestinations(
    recorder,
    join(config.dataDirectory, 'destinations.json'),
    config.destinations,
    org,
  );

  for (const { one, destination, format } of opened) {
    const { name } = one;
    own.use(destination);
    const lane = openLane({
      destination,
      clock,
      rest: { firstMs: config.restMs.first, mostMs: config.restMs.most },
      onVerdict(verdict, items) {
        count.sent(name, verdict);
        if (verdict.kind !== 'taken')
          log.warn({ destination: name, items: items.length, ...verdictForLog(verdict) }, 'not taken whole');
      },
    });
    lanes.set(name, lane);
    const forwarding = {
      name,
      lane,
      limits: destination.limits,
      parking: parked,
      onParked: (refusals: readonly Refusal[]) => record(parkedEvent(name, refusals, org)),
      filter: one.filter,
      format,
      nowMs,
      releasedIdOf(framedId: number) {
        const id = ids.releasedIdOf(framedId);
        return id !== undefined && released.has(id) ? id : undefined;
      },
    };
    own.use(
      replayParked({
        ...forwarding,
        store: parked,
        clock,
        async onReplayed(replayed) {
          count.replayed(name, replayed.taken, replayed.parked);
          await record(replayedEvent(name, replayed, org));
        },
        onTrouble: (error) => log.error({ destination: name, reason: messageOf(error) }, 'replay in trouble'),
      }),
    );
    await record(startedEvent(one, org));
    own.use(
      await forwardPartitions({
        ...forwarding,
        source: kafka.source({
          group: `${config.kafka.group}-${name}`,
          topics,
          sessionMsMax: config.kafka.sessionMsMax,
          onTrouble: (reason) => log.warn({ destination: name, reason }, 'reading from Kafka is in trouble'),
        }),
        start: one.start,
        chunk: chunkOf(one),
        bufferBytesMax: config.bufferBytesMax,
        clock,
        onOpened: ({ topic, partition }, start) =>
          log.info({ destination: name, topic, partition, start }, 'partition opened'),
        async onLost({ topic, partition }, offsets) {
          count.lost(name, offsets);
          await record(lostEvent(name, { topic, partition }, offsets, org));
          log.error(
            { destination: name, topic, partition, offsets },
            'Kafka let go of records before they were forwarded; they are in the archive',
          );
        },
        onForwarded(_partition, chunk, forwarded) {
          count.forwarded(name, chunk, forwarded);
          if (forwarded.parked > 0)
            log.warn({ destination: name, parked: forwarded.parked }, 'refused records were parked');
        },
        onTrouble: ({ topic, partition }, error) =>
          log.warn({ destination: name, topic, partition, reason: messageOf(error) }, 'taken up again'),
      }),
    );
  }
  const states = () => [...lanes].map(([destination, { state }]) => ({ destination, state }));
  count.stands(states);
  count.parked(() => parked.counts());

  const health = own.use(
    await serveHealth({
      ...config.health,
      service: 'forwarder',
      metrics,
      // A destination that is away is no reason to take this process out: the others go on.
      ready: async () => {
        const broker = await kafka.ping();
        const checks = Object.fromEntries(states().map(({ destination, state }) => [destination, state]));
        const spool = recorder.stats().full ? 'full' : 'ok';
        return { ok: broker, checks: { kafka: broker ? 'ok' : 'unreachable', spool, ...checks } };
      },
    }),
  );
  return { healthPort: health.port, [Symbol.asyncDispose]: () => own.disposeAsync() };
}

/** A chunk is what is read for one batch: as many records at most, and less memory than they take in any format. */
const chunkOf = ({ batch }: DestinationConfig) => ({
  recordsMax: batch.itemsMax,
  bytesMax: batch.bytesMax,
  ageMsMax: batch.ageMsMax,
});

function verdictForLog(verdict: Verdict): Record<string, unknown> {
  if (verdict.kind === 'sorted') {
    const { refused, again, reason } = verdict;
    return {
      kind: 'sorted',
      refused: refused.length,
      again: again.length,
      reason: refused[0]?.reason ?? reason,
    };
  }
  return { ...verdict };
}
