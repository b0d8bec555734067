import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, type Kafka, migrate, openClickHouse, openKafka } from '@cairn/adapters';
import { PARKED_TOPIC, topicOf } from '@cairn/event';
import { type LedgerState, verifyLedger } from '@cairn/ingest';
import {
  freePort,
  type Parts,
  REPOSITORY,
  type ServiceProcess,
  startServiceProcess,
  startTestParts,
} from '@cairn/local';

export const TOPIC = topicOf('standard');
export const PARTITIONS = 4;

/** Kafka and ClickHouse for real, with topics and tables, and ingest as a process. */
export interface Rig extends AsyncDisposable {
  readonly directory: string;
  readonly parts: Parts;
  readonly kafka: Kafka;
  readonly clickhouse: ClickHouse;
  readonly ingest: ServiceProcess;
}

/** @param more parts beside Kafka and ClickHouse. */
export async function startRig(
  ingestEnv: Readonly<Record<string, string>> = {},
  more: readonly 's3'[] = [],
): Promise<Rig> {
  const own = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'cairn-e2e-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const parts = own.use(await startTestParts({ directory, parts: ['kafka', 'clickhouse', ...more] }));
    const kafka = own.use(openKafka({ brokers: [parts.part('kafka').address], clientId: 'e2e' }));
    const clickhouse = own.use(openClickHouse({ url: parts.part('clickhouse').address }));
    await migrate(clickhouse, { directory: join(REPOSITORY, 'deploy', 'clickhouse') });
    await kafka.ensureTopics([
      { name: TOPIC, partitions: PARTITIONS },
      { name: PARKED_TOPIC, partitions: 1 },
    ]);
    const healthPort = await freePort();
    const ingest = own.use(
      await startServiceProcess({
        name: 'ingest',
        healthPort,
        logDirectory: join(directory, 'log'),
        env: {
          ...parts.env(),
          CAIRN_INGEST_HEALTH_PORT: String(healthPort),
          CAIRN_INGEST_SESSION_MS_MAX: '2000',
          CAIRN_INGEST_CHUNK_AGE_MS_MAX: '200',
          ...ingestEnv,
        },
      }),
    );
    return { directory, parts, kafka, clickhouse, ingest, [Symbol.asyncDispose]: () => own.disposeAsync() };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

/**
 * Waits until the table accounts for everything that the log holds.
 *
 * @returns the state of each partition's ledger.
 * @throws when offsets are neither a row nor a gap after that time.
 */
export async function drained(
  rig: Pick<Rig, 'kafka' | 'clickhouse'>,
  msMax = 120_000,
): Promise<LedgerState[]> {
  const deadline = performance.now() + msMax;
  for (;;) {
    const missing = await unaccounted(rig).catch((error: unknown) => [String(error)]);
    if (missing.length === 0) return verifyLedger(rig.clickhouse, [TOPIC]);
    if (performance.now() > deadline) throw new Error(`after ${msMax} ms, not in the table: ${missing}`);
    await sleep(200);
  }
}

/** Partitions of which the log holds offsets that are neither a row nor a gap; also before the first row and behind the last one, which ingest's own check leaves out. */
export async function unaccounted({
  clickhouse,
  kafka,
}: Pick<Rig, 'kafka' | 'clickhouse'>): Promise<string[]> {
  const bounds = await kafka.boundsOf(TOPIC);
  const accounted = await clickhouse.query<{ partition: number; at: number[] }>(
    `SELECT partition, arraySort(groupUniqArray(toUInt32(at))) AS at FROM (
       SELECT partition, offset AS at FROM cairn.events WHERE topic = {topic:String}
       UNION ALL
       SELECT partition, arrayJoin(range(offset_first, offset_last + 1)) AS at FROM cairn.ingest_gaps
       WHERE topic = {topic:String})
     GROUP BY partition`,
    { topic: TOPIC },
  );
  return [...bounds].flatMap(([partition, { first, end }]) => {
    const held = accounted.find((row) => row.partition === partition)?.at ?? [];
    const lowest = Math.min(first, held[0] ?? first);
    const missing = Math.max(0, end - lowest) - held.filter((at) => at < end).length;
    return missing === 0 ? [] : [`partition ${partition}: ${missing} of ${end - lowest}`];
  });
}

/** An event as the table holds it, to be compared with what was acknowledged. */
export interface TableRow {
  readonly org_id: string;
  readonly gateway_id: string;
  readonly epoch: number;
  readonly seq: number;
  readonly leaf: string;
}

export async function rowsOf(clickhouse: ClickHouse): Promise<TableRow[]> {
  return clickhouse.query<TableRow>(
    `SELECT org_id, gateway_id, epoch, seq, lower(hex(leaf_hash)) AS leaf FROM cairn.events
     ORDER BY org_id, gateway_id, epoch, seq`,
    {},
    { output_format_json_quote_64bit_integers: 0 },
  );
}

/** Streams whose numbers do not run from 0 without a hole or a repetition. */
export function brokenStreams(rows: readonly TableRow[]): string[] {
  const streams = Map.groupBy(rows, (row) => `${row.org_id} ${row.gateway_id} ${row.epoch}`);
  return [...streams].flatMap(([stream, events]) => {
    const wrong = events.findIndex((event, index) => event.seq !== index);
    return wrong < 0 ? [] : [`${stream}: ${events[wrong]?.seq} where ${wrong} is expected`];
  });
}
