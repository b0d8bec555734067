import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, messageOf } from '@cairn/failure';
import type { AssignedPartition, LogBatch, RawSource } from '@cairn/runtime';
import {
  type Admin,
  type Consumer,
  type EachBatchPayload,
  Kafka as KafkaClient,
  type KafkaJSProtocolError,
  logLevel,
  Partitioners,
  type Producer,
} from 'kafkajs';
import topicSettings from '../../../deploy/kafka/topic-settings.json' with { type: 'json' };
import { type PseudoMessage, rawRack } from './kafka-fetch.ts';
import './kafka-queue.ts';
import { Readings } from './kafka-readings.ts';
import { wholeAnswerSocket } from './kafka-socket.ts';
import { recordsOf } from './record-batch.ts';

export interface KafkaOptions {
  /** `host:port` of some brokers. */
  readonly brokers: readonly string[];
  /** Names this process in the broker's logs. */
  readonly clientId: string;
}

export interface Topic {
  readonly name: string;
  readonly partitions: number;
  readonly replicas?: number;
}

/** A record as it is parked. */
export interface KeyedValue {
  readonly value: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Kafka extends AsyncDisposable {
  readonly log: {
    /**
     * Resolves when every in-sync replica has all values, in this order. After a rejection none, some or all may be
     * there.
     */
    append(topic: string, partition: number, values: readonly Uint8Array[]): Promise<void>;
  };
  /** Appends records with headers to any partition, as `log.append` does, however many they are. */
  appendWithHeaders(topic: string, records: readonly KeyedValue[]): Promise<void>;
  /** Creates what is missing and leaves what exists. */
  ensureTopics(topics: readonly Topic[]): Promise<void>;
  /** Partitions of a topic; undefined when there is no such topic. */
  partitionsOf(topic: string): Promise<number | undefined>;
  /** Reads these topics as a member of a group. */
  source(options: SourceOptions): RawSource;
  /** First offset and next offset of each partition. */
  boundsOf(topic: string): Promise<Map<number, { first: number; end: number }>>;
  /** The first offset whose record was appended at or after this time; the next offset when there is none. */
  offsetAt(topic: string, partition: number, timeMs: number): Promise<number>;
  /** True when a broker answers. */
  ping(): Promise<boolean>;
}

export interface SourceOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** How long a silent member keeps its partitions; default 10,000. */
  readonly sessionMsMax?: number;
  readonly fetchBytesMax?: number;
  readonly onTrouble?: (message: string) => void;
}

/** Settings of every topic; deploy/kafka/README.md says why each is as it is. */
const TOPIC_SETTINGS = Object.entries(topicSettings).map(([name, value]) => ({ name, value }));

/** Opens Kafka. Nothing is sent before the first call. Calls reject with `Failure` `log.unreachable` or `log.refused`. */
export function openKafka({ brokers, clientId }: KafkaOptions): Kafka {
  const client = new KafkaClient({
    brokers: [...brokers],
    clientId,
    logLevel: logLevel.NOTHING,
    connectionTimeout: 3_000,
    requestTimeout: 15_000,
    socketFactory: wholeAnswerSocket,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 3 },
  });
  let producer: Promise<Producer> | undefined;
  let admin: Promise<Admin> | undefined;

  // Idempotent producers of kafkajs acknowledged, with sends under way at the same time, messages that were not in the
  // log (kafkajs issue 1005). Without, a retry can only duplicate, and readers drop duplicates by stream.
  const theProducer = (): Promise<Producer> => {
    producer ??= opened(
      client.producer({
        idempotent: false,
        allowAutoTopicCreation: false,
        createPartitioner: Partitioners.DefaultPartitioner,
      }),
    ).catch((error: unknown) => {
      producer = undefined;
      throw error;
    });
    return producer;
  };
  const theAdmin = (): Promise<Admin> => {
    admin ??= opened(client.admin()).catch((error: unknown) => {
      admin = undefined;
      throw error;
    });
    return admin;
  };

  const kafka: Kafka = {
    log: {
      async append(topic, partition, values) {
        await translated(async () => {
          const messages = values.map((value) => ({
            partition,
            value: Buffer.from(value.buffer, value.byteOffset, value.length),
          }));
          await (await theProducer()).send({ topic, acks: -1, messages });
        });
      },
    },
    async appendWithHeaders(topic, records) {
      await translated(async () => {
        for (const batch of batchesOf(records)) {
          const messages = batch.map(({ value, headers }) => ({
            value: value && Buffer.from(value),
            headers: { ...headers },
          }));
          await (await theProducer()).send({ topic, acks: -1, messages });
        }
      });
    },
    async ensureTopics(topics) {
      await translated(async () => {
        const existing = new Set(await (await theAdmin()).listTopics());
        const missing = topics.filter(({ name }) => !existing.has(name));
        if (missing.length === 0) return;
        await (await theAdmin()).createTopics({
          // Its wait ends with an error when a broker has not heard of the topic yet, which is what is waited for.
          waitForLeaders: false,
          topics: missing.map(({ name, partitions, replicas }) => ({
            topic: name,
            numPartitions: partitions,
            ...(replicas === undefined ? {} : { replicationFactor: replicas }),
            configEntries: TOPIC_SETTINGS,
          })),
        });
        for (const { name } of missing) await untilLed(await theAdmin(), name);
      });
    },
    async partitionsOf(topic) {
      return translated(async () => {
        const connected = await theAdmin();
        if (!(await connected.listTopics()).includes(topic)) return undefined;
        const { topics } = await connected.fetchTopicMetadata({ topics: [topic] });
        return topics[0]?.partitions.length;
      });
    },
    async boundsOf(topic) {
      return translated(async () => {
        const offsets = await (await theAdmin()).fetchTopicOffsets(topic);
        return new Map(
          offsets.map(({ partition, low, high }) => [partition, { first: Number(low), end: Number(high) }]),
        );
      });
    },
    async offsetAt(topic, partition, timeMs) {
      return translated(async () => {
        const offsets = await (await theAdmin()).fetchTopicOffsetsByTimestamp(topic, Math.max(0, timeMs));
        return Number(offsets.find((found) => found.partition === partition)?.offset ?? 0);
      });
    },
    source: (options) => groupSource(client, kafka, theAdmin, options),
    async ping() {
      return theAdmin()
        .then((connected) => connected.describeCluster())
        .then(() => true)
        .catch(() => false);
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled([
        producer?.then((open) => open.disconnect()),
        admin?.then((open) => open.disconnect()),
      ]);
    },
  };
  return kafka;
}

/** Of one batch: kafkajs makes one of all that is sent at once, and a broker refuses more than its topic's `max.message.bytes`. */
const BATCH_BYTES_MAX = 512 * 1024;
/** What a record has around its value and its headers, at the most. */
const AROUND_BYTES = 64;

/** Records in order, in batches that a broker takes; what is larger alone goes alone. */
function batchesOf(records: readonly KeyedValue[]): KeyedValue[][] {
  const batches: KeyedValue[][] = [];
  let bytes = 0;
  for (const record of records) {
    const headers = Object.entries(record.headers).flat().join('');
    const size = (record.value?.length ?? 0) + Buffer.byteLength(headers) + AROUND_BYTES;
    const last = batches.at(-1);
    if (last === undefined || bytes + size > BATCH_BYTES_MAX) {
      batches.push([record]);
      bytes = size;
    } else {
      last.push(record);
      bytes += size;
    }
  }
  return batches;
}

/** A partition that this member has. */
interface Owned {
  readonly partition: AssignedPartition;
  readonly lose: AbortController;
  /** Rises whenever it is read from another offset: what was fetched before is then read no more. */
  era: number;
  /** Fetches from this offset on again, after a rest. */
  readonly readAgain: (offset: number) => void;
}

/** How long a partition is left alone after a batch that could not be read. */
const UNREADABLE_REST_MS = 1_000;

/**
 * A member of a consumer group. kafkajs keeps the membership and the commits; partitions, positions and pauses are told
 * from here. It has no notice before partitions are taken away, so a loss shows at the next assignment: the loop's
 * commits are fenced by the group's generation, and ingest reads the table before it trusts anything.
 */
function groupSource(
  client: KafkaClient,
  kafka: Kafka,
  theAdmin: () => Promise<Admin>,
  options: SourceOptions,
): RawSource {
  const sessionTimeout = options.sessionMsMax ?? 10_000;
  const readings = new Readings();
  const rack = rawRack('', () => readings.done());
  const consumer: Consumer = client.consumer({
    groupId: options.group,
    sessionTimeout,
    heartbeatInterval: Math.floor(sessionTimeout / 4),
    rebalanceTimeout: Math.max(sessionTimeout * 2, 10_000),
    maxWaitTimeInMs: 200,
    maxBytesPerPartition: options.fetchBytesMax ?? 1 * 1024 ** 2,
    maxBytes: 4 * 1024 ** 2,
    rackId: rack.rackId,
    allowAutoTopicCreation: false,
    // Whatever ended the consumer, it is to begin again: nothing is lost by that and nobody else would do it.
    retry: { retries: 8, initialRetryTime: 200, maxRetryTime: 3_000, restartOnFailure: async () => true },
  });
  const owned = new Map<string, Owned>();
  let generation = 0;

  const loseAll = (): void => {
    for (const { lose } of owned.values()) lose.abort();
    owned.clear();
  };

  const assigned = (topic: string, partition: number, partitions: number): AssignedPartition => {
    const lose = new AbortController();
    const here = [{ topic, partitions: [partition] }];
    const ifOwned = (act: () => void): void => {
      if (!lose.signal.aborted) act();
    };
    let paused = false;
    const pause = (): void => {
      paused = true;
      ifOwned(() => consumer.pause(here));
    };
    const resume = (): void => {
      paused = false;
      ifOwned(() => consumer.resume(here));
    };
    const readFrom = (offset: number): void => {
      entry.era += 1;
      ifOwned(() => consumer.seek({ topic, partition, offset: String(offset) }));
    };
    const readAgain = (offset: number): void => {
      readFrom(offset);
      ifOwned(() => consumer.pause(here));
      setTimeout(() => {
        if (!paused) resume();
      }, UNREADABLE_REST_MS).unref();
    };
    const handle: AssignedPartition = {
      topic,
      partition,
      partitions,
      generation,
      lost: lose.signal,
      async committed() {
        return translated(async () => {
          const answer = await (await theAdmin()).fetchOffsets({ groupId: options.group, topics: [topic] });
          const found = answer[0]?.partitions.find((entry) => entry.partition === partition);
          const offset = Number(found?.offset ?? -1);
          return { offset: offset < 0 ? undefined : offset, metadata: found?.metadata ?? '' };
        });
      },
      async bounds() {
        return (await kafka.boundsOf(topic)).get(partition) ?? { first: 0, end: 0 };
      },
      async commit(offset, metadata) {
        if (lose.signal.aborted) throw fenced(topic, partition);
        await translated(() =>
          consumer.commitOffsets([{ topic, partition, offset: String(offset), metadata }]),
        );
        if (lose.signal.aborted) throw fenced(topic, partition);
      },
      readFrom,
      pause,
      resume,
    };
    const entry: Owned = { partition: handle, lose, era: 0, readAgain };
    owned.set(keyOf(topic, partition), entry);
    return handle;
  };

  return {
    async run(sink) {
      const partitionsOf = new Map<string, number>();
      for (const topic of options.topics) {
        const partitions = await kafka.partitionsOf(topic);
        if (partitions === undefined) throw noTopic(topic);
        partitionsOf.set(topic, partitions);
      }
      consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
        loseAll();
        generation += 1;
        for (const [topic, numbers] of Object.entries(payload.memberAssignment)) {
          for (const partition of numbers) {
            sink.onAssigned(assigned(topic, partition, partitionsOf.get(topic) ?? 0));
          }
        }
      });
      consumer.on(consumer.events.REBALANCING, loseAll);
      consumer.on(consumer.events.CRASH, ({ payload }) => {
        loseAll();
        options.onTrouble?.(messageOf(payload.error));
      });
      await translated(() => consumer.connect());
      await translated(() => consumer.subscribe({ topics: [...options.topics], fromBeginning: true }));
      await translated(() =>
        consumer.run({
          autoCommit: false,
          eachBatchAutoResolve: false,
          partitionsConsumedConcurrently: 8,
          async eachBatch({ batch, resolveOffset, isStale }: EachBatchPayload) {
            const entry = owned.get(keyOf(batch.topic, batch.partition));
            if (!entry || isStale()) return;
            // The next fetch begins behind it, and is under way while this is read.
            resolveOffset(batch.lastOffset());
            const { era, partition, lose } = entry;
            readings.add(() => {
              if (era !== entry.era || lose.signal.aborted) return;
              const first = firstOf(batch);
              try {
                sink.onBatch(partition, logBatchOf(batch, first));
              } catch (error) {
                // The same offset is fetched again: what went wrong on the way heals, and nothing is passed over.
                options.onTrouble?.(`partition ${batch.partition} of ${batch.topic}: ${messageOf(error)}`);
                entry.readAgain(first);
              }
            });
          },
        }),
      );
    },
    async [Symbol.asyncDispose]() {
      loseAll();
      await consumer.disconnect().catch(() => {});
      rack[Symbol.dispose]();
    },
  };
}

/** The offset that a fetch asked for: present on kafkajs's Batch and missing in its types. */
const firstOf = (batch: EachBatchPayload['batch']): number =>
  Number((batch as unknown as { readonly fetchedOffset: string }).fetchedOffset);

/** The records of a fetch from an offset on. @throws UnreadableBatch */
function logBatchOf(batch: EachBatchPayload['batch'], first: number): LogBatch {
  const messages = batch.messages as unknown as readonly PseudoMessage[];
  return {
    first,
    last: Number(batch.lastOffset()),
    highWatermark: Number(batch.highWatermark),
    records: messages.flatMap(({ raw, committed }) => (committed ? recordsOf(raw, first) : [])),
  };
}

const keyOf = (topic: string, partition: number): string => `${topic} ${partition}`;

/** Longest wait for a topic that was just created. */
const LED_MS_MAX = 15_000;
const LED_EVERY_MS = 50;

/** Resolves when the leader of each partition of a topic says where it ends, so that it takes records. */
async function untilLed(admin: Admin, topic: string): Promise<void> {
  const endMs = performance.now() + LED_MS_MAX;
  for (;;) {
    try {
      await admin.fetchTopicOffsets(topic);
      return;
    } catch (error) {
      if (!protocolErrorOf(error)?.retriable || performance.now() > endMs) throw error;
    }
    await sleep(LED_EVERY_MS);
  }
}

async function opened<C extends { connect(): Promise<void> }>(connection: C): Promise<C> {
  await connection.connect();
  return connection;
}

/** Answers of the broker that mean: you own this no longer. */
const FENCED = new Set([
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'REBALANCE_IN_PROGRESS',
  'FENCED_INSTANCE_ID',
]);

async function translated<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw failureOf(error);
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const protocol = protocolErrorOf(error);
  if (protocol && FENCED.has(protocol.type)) {
    return new Failure({
      code: 'log.fenced',
      retry: 'no',
      message: `Kafka gave the partition away: ${protocol.type}`,
      cause: error,
    });
  }
  if (protocol && !protocol.retriable) {
    return new Failure({
      code: 'log.refused',
      retry: 'later',
      message: `Kafka refused: ${messageOf(protocol)} (${protocol.type})`,
      cause: error,
    });
  }
  return new Failure({
    code: 'log.unreachable',
    retry: 'later',
    message: `Kafka did not answer: ${messageOf(error)}`,
    mend: 'Check KAFKA_BROKERS, and that the broker runs.',
    cause: error,
  });
}

/** kafkajs wraps what the broker said in what it did about it. */
function protocolErrorOf(error: unknown): KafkaJSProtocolError | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    // By name: kafkajs does not export the class to ES modules.
    if (at.name === 'KafkaJSProtocolError') return at as KafkaJSProtocolError;
  }
  return undefined;
}

function fenced(topic: string, partition: number): Failure {
  return new Failure({
    code: 'log.fenced',
    retry: 'no',
    message: `partition ${partition} of ${topic} belongs to another member`,
  });
}

function noTopic(topic: string): Failure {
  return new Failure({
    code: 'log.no-topic',
    retry: 'no',
    message: `there is no topic ${topic}`,
    mend: 'Start the gateway once, or create the topics as deploy/kafka/README.md says.',
  });
}
