import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, type Kafka, migrate, openClickHouse, openKafka } from '@cairn/adapters';
import { AUDIT_EVENT_SCHEMA_ID, frame, PARKED_TOPIC, partitionOf } from '@cairn/event';
import { type Parts, REPOSITORY, startTestParts } from '@cairn/local';
import { type StreamsOptions, streamsOf } from '@cairn/traffic';

/** Kafka and ClickHouse for real, with the table as it is in production. */
export interface Stage extends AsyncDisposable {
  readonly directory: string;
  readonly parts: Parts;
  readonly kafka: Kafka;
  readonly clickhouse: ClickHouse;
  /** Rows of cairn.events now. */
  rows(): Promise<number>;
  /** Empties every table, and waits until the server has forgotten the rows. */
  empty(): Promise<void>;
  /** Resolves when no part of a table is being merged. */
  settled(): Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-bench-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const parts = own.use(await startTestParts({ directory, parts: ['kafka', 'clickhouse'] }));
    const kafka = own.use(openKafka({ brokers: [parts.part('kafka').address], clientId: 'bench' }));
    const clickhouse = own.use(
      openClickHouse({ url: parts.part('clickhouse').address, answerMsMax: 600_000 }),
    );
    await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    await kafka.ensureTopics([{ name: PARKED_TOPIC, partitions: 1 }]);
    return {
      directory,
      parts,
      kafka,
      clickhouse,
      async rows() {
        const [row] = await clickhouse.query<{ rows: number }>(
          'SELECT toUInt32(count()) AS rows FROM cairn.events',
        );
        return row?.rows ?? 0;
      },
      empty: () => emptyTables(clickhouse),
      async settled() {
        for (let quiet = 0; quiet < 3; ) {
          const [row] = await clickhouse.query<{ merges: number }>(
            'SELECT toUInt32(count()) AS merges FROM system.merges',
          );
          quiet = row?.merges === 0 ? quiet + 1 : 0;
          await sleep(300);
        }
      },
      [Symbol.asyncDispose]: () => own.disposeAsync(),
    };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

/** Empties every table, and waits until the server has forgotten the rows. */
export async function emptyTables(clickhouse: ClickHouse): Promise<void> {
  const tables = await clickhouse.query<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = 'cairn' AND engine LIKE '%MergeTree' AND name != 'migrations'`,
  );
  for (const { name } of tables) await clickhouse.exec(`TRUNCATE TABLE cairn.${name} SYNC`);
}

export interface Preloaded {
  readonly topic: string;
  readonly events: number;
  readonly bytes: number;
}

/** Fills a new topic with realistic traffic of many gateways, each stream in its own partition and whole. */
export async function preload(
  stage: Pick<Stage, 'kafka'>,
  topic: string,
  events: number,
  traffic: { readonly partitions?: number } & Partial<Omit<StreamsOptions, 'seed'>> = {},
): Promise<Preloaded> {
  return (await openFilling(stage, topic, traffic)).fill(events);
}

/** A topic that is filled in several goes. */
export interface Filling {
  /** The next so many events. @returns what this brought. */
  fill(events: number): Promise<Preloaded>;
}

/** As `preload`, bit by bit. */
export async function openFilling(
  { kafka }: Pick<Stage, 'kafka'>,
  topic: string,
  {
    partitions = 4,
    ...traffic
  }: { readonly partitions?: number } & Partial<Omit<StreamsOptions, 'seed'>> = {},
): Promise<Filling> {
  await kafka.ensureTopics([{ name: topic, partitions }]);
  const streams = streamsOf({ seed: 1, gateways: 32, ...traffic });
  const places = new Map<string, number>();
  return {
    async fill(events) {
      const waiting: Uint8Array[][] = Array.from({ length: partitions }, () => []);
      const sizes = new Array<number>(partitions).fill(0);
      let bytes = 0;
      const send = async (partition: number): Promise<void> => {
        const values = waiting[partition]!;
        waiting[partition] = [];
        sizes[partition] = 0;
        if (values.length > 0) await kafka.log.append(topic, partition, values);
      };
      for (let event = 0; event < events; event += 1) {
        const { org, gateway, datum } = streams.next().value;
        const partition = places.get(gateway) ?? partitionOf(org, gateway, partitions);
        places.set(gateway, partition);
        const value = frame(AUDIT_EVENT_SCHEMA_ID, datum);
        waiting[partition]!.push(value);
        sizes[partition]! += value.length + 20;
        bytes += datum.length;
        if (sizes[partition]! > 400_000) await send(partition);
      }
      for (let partition = 0; partition < partitions; partition += 1) await send(partition);
      return { topic, events, bytes };
    },
  };
}
