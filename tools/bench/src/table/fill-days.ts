import type { ClickHouse } from '@cairn/adapters';
import { isFailure } from '@cairn/failure';
import { fillTable } from './fill-table.ts';

export interface DaysOptions {
  /** Of all days together. */
  readonly events: number;
  readonly days: number;
  readonly gateways: number;
  /** Told what is going on. */
  readonly say: (text: string) => void;
}

/** 2026-11-01T00:00:00Z. */
const FIRST_DAY_MICROS = 1_793_491_200_000_000;
const DAY_SECONDS = 86_400;
/** A day's events come so much faster, since the pauses between them are drawn: hardly one is left for the next day. */
const SLACK = 1.15;
/** Sessions that a gateway has at the same time for each event a second: one then lasts about an hour and a half. */
const SESSIONS_PER_RATE = 250;

/**
 * Days of realistic traffic, one settled part each. The first is generated and inserted as ingest does it; ClickHouse makes the
 * others of it. They are that day again with everything new that is drawn at random: times and places in the log go on, and ids,
 * hashes, sessions, traces and spans are other ones, so that a day compresses as the first does and an id is in one day alone.
 * Agents, users and tools are the same, and so are shapes, sizes, latencies and what was decided.
 */
export async function fillDays(
  clickhouse: ClickHouse,
  { events, days, gateways, say }: DaysOptions,
): Promise<void> {
  const perDay = Math.ceil(events / days);
  const eventsPerSecond = (perDay * SLACK) / (gateways * DAY_SECONDS);
  say(`inserting ${perDay.toLocaleString('en-US')} events of the first day`);
  await fillTable(clickhouse, {
    events: perDay,
    rowsMax: 100_000,
    gateways,
    eventsPerSecond,
    sessions: Math.max(1, Math.round(eventsPerSecond * SESSIONS_PER_RATE)),
    startMicros: FIRST_DAY_MICROS,
  });
  await clickhouse.exec('OPTIMIZE TABLE cairn.events FINAL');
  const [first = '', ...late] = (
    await clickhouse.query<{ day: string }>(
      'SELECT DISTINCT toString(append_day) AS day FROM cairn.events ORDER BY day',
    )
  ).map(({ day }) => day);
  for (const day of late) await clickhouse.exec(`ALTER TABLE cairn.events DROP PARTITION '${day}'`);

  const columns = await clickhouse.query<{ name: string }>(
    `SELECT name FROM system.columns WHERE database = 'cairn' AND table = 'events' AND default_kind = '' ORDER BY position`,
  );
  const names = columns.map(({ name }) => name);
  for (let day = 1; day < days; day += 1) {
    if (day % 5 === 0) say(`day ${day} of ${days}`);
    const copy = copyStatement(names, first, day);
    for (let attempt = 1; ; attempt += 1) {
      try {
        await clickhouse.exec(copy, COPY_SETTINGS);
        break;
      } catch (error) {
        // A connection that was idle for long is closed under the next statement, which may have been applied.
        if (attempt === 3 || !isFailure(error) || error.retry !== 'later') throw error;
        await clickhouse.exec(`ALTER TABLE cairn.events DROP PARTITION '${dayAfter(first, day)}'`);
      }
    }
  }
}

const dayAfter = (first: string, days: number): string =>
  new Date(Date.parse(first) + days * DAY_SECONDS * 1_000).toISOString().slice(0, 10);

/** A part is written from one block, so that there is nothing to merge. */
const COPY_SETTINGS = {
  max_threads: 1,
  max_insert_threads: 1,
  max_block_size: 65_536,
  min_insert_block_size_rows: 4_000_000,
  min_insert_block_size_bytes: 8_000_000_000,
  optimize_on_insert: 0,
} as const;

function copyStatement(names: readonly string[], first: string, day: number): string {
  const drawn = (name: string, of = name) => `sipHash128(${of}, ${day}, '${name}')`;
  // The first three of the ten bytes hold the version and the variant of the UUID.
  const id = (name: string) => `substring(${name}, 1, 3) || substring(${drawn(name)}, 1, 7)`;
  const trace = `if(trace_id IS NULL, NULL, ${drawn('trace_id', "ifNull(trace_id, '')")})`;
  const later: Readonly<Record<string, string>> = {
    offset: `offset + ${day} * transform(partition, partitions, spans, toInt64(0))`,
    seq: `seq + ${day} * transform(toString(gateway_id), gateways, counts, toInt64(0))`,
    timestamp: `timestamp + INTERVAL ${day} DAY`,
    received_at: `received_at + INTERVAL ${day} DAY`,
    leaf_hash: `${drawn('leaf_hash')} || ${drawn('leaf hash, second half', 'leaf_hash')}`,
    event_id_random: id('event_id_random'),
    call_id_random: id('call_id_random'),
    parameters_hash: drawn('parameters_hash'),
    response_hash: drawn('response_hash'),
    span_id: `substring(${drawn('span_id')}, 1, 8)`,
    trace_id: trace,
    session_id: `if(trace_id IS NULL, session_id, lower(hex(${drawn('trace_id', "ifNull(trace_id, '')")})))`,
  };
  const nullable = new Set(['call_id_random', 'parameters_hash', 'response_hash', 'span_id']);
  const values = names.map((name) => {
    const value = later[name];
    if (value === undefined) return name;
    return nullable.has(name)
      ? `if(isNull(${name}), NULL, ${value}) AS ${name}_later`
      : `${value} AS ${name}_later`;
  });
  return `INSERT INTO cairn.events (${names.join(', ')})
WITH (SELECT groupArray(partition) FROM (SELECT DISTINCT partition FROM cairn.events WHERE append_day = '${first}' ORDER BY partition)) AS partitions,
  (SELECT groupArray(span) FROM (SELECT max(offset) + 1 AS span FROM cairn.events WHERE append_day = '${first}' GROUP BY partition ORDER BY partition)) AS spans,
  (SELECT groupArray(gateway) FROM (SELECT DISTINCT toString(gateway_id) AS gateway FROM cairn.events WHERE append_day = '${first}' ORDER BY gateway)) AS gateways,
  (SELECT groupArray(count) FROM (SELECT max(seq) + 1 AS count FROM cairn.events WHERE append_day = '${first}' GROUP BY toString(gateway_id) ORDER BY toString(gateway_id))) AS counts
SELECT ${values.join(', ')}
FROM cairn.events WHERE append_day = '${first}'`;
}
