import type { ClickHouse, Kafka } from '@cairn/adapters';
import { verifyLedger } from '@cairn/ingest';
import { brokenStreams, drained, rowsOf, TOPIC, unaccounted } from './rig.ts';

/** What is wrong at the end of a run in which anything may have failed. Nothing is, when every list is empty. */
export interface Faults {
  /** Acknowledged events that are no row, or not under their hash. */
  readonly lost: readonly string[];
  /** Events that are more than one row. */
  readonly doubled: readonly string[];
  /** Partitions whose offsets are rows or gaps more or less than once, by ingest's own check. */
  readonly ledger: readonly string[];
  /** Offsets that the log holds or held and that are neither a row nor a gap. */
  readonly unaccounted: readonly string[];
  /** Streams whose numbers do not run from 0 without a hole. */
  readonly streams: readonly string[];
  /** Findings of ingest, and gaps that gateways declared: none of them had a reason for one. */
  readonly findings: readonly string[];
  /** Rows of rollups that are not the sum of their base. */
  readonly rollups: readonly string[];
}

/** By what an acknowledged event is found in the table: its leaf hash as well, or its place in its stream alone. */
export type Identity = 'leaf' | 'place';

/** A row of a rollup that is not what the base table says. */
export interface RollupDifference {
  readonly rollup: 'tools_by_hour' | 'agents_by_hour';
  readonly key: string;
  readonly base: number;
  readonly rolled: number;
}

export interface Judgement {
  readonly acknowledged: number;
  readonly rows: number;
  /** Rows that rollups count. */
  readonly calls: number;
  readonly duplicates: number;
  readonly faults: Faults;
}

export const NO_FAULTS: Faults = {
  lost: [],
  doubled: [],
  ledger: [],
  unaccounted: [],
  streams: [],
  findings: [],
  rollups: [],
};

/**
 * Waits until the table accounts for the log, and compares it with what gateways were told.
 *
 * @param acknowledged lines `org gateway epoch seq leaf`
 * @param identity `place` for services that keep no leaf hash.
 */
export async function judge(
  parts: { readonly kafka: Kafka; readonly clickhouse: ClickHouse },
  acknowledged: readonly string[],
  msMax?: number,
  identity: Identity = 'leaf',
): Promise<Judgement> {
  const { clickhouse } = parts;
  // What does not come is said below.
  await drained(parts, msMax).catch(() => {});
  const ledger = await verifyLedger(clickhouse, [TOPIC]);
  const rows = await rowsOf(clickhouse);
  const held = new Map<string, number>();
  const lineOf = (line: string): string =>
    identity === 'leaf' ? line : line.slice(0, line.lastIndexOf(' '));
  for (const row of rows) {
    const line = lineOf(`${row.org_id} ${row.gateway_id} ${row.epoch} ${row.seq} ${row.leaf}`);
    held.set(line, (held.get(line) ?? 0) + 1);
  }
  const findings = await clickhouse.query<{ finding: string; org_id: string; epoch: string; seq: string }>(
    `SELECT finding, org_id, toString(epoch) AS epoch, toString(seq) AS seq FROM cairn.stream_findings FINAL
     UNION ALL SELECT 'declared', org_id, toString(epoch), toString(seq) FROM cairn.events WHERE kind = 'gap'`,
  );
  const [duplicates] = await clickhouse.query<{ count: number }>(
    `SELECT toUInt32(count()) AS count FROM cairn.ingest_gaps FINAL WHERE reason = 'duplicate'`,
  );
  const [calls] = await clickhouse.query<{ count: number }>(`SELECT toUInt32(count()) AS count ${CALLS}`);
  return {
    acknowledged: acknowledged.length,
    rows: rows.length,
    calls: calls?.count ?? 0,
    duplicates: duplicates?.count ?? 0,
    faults: {
      lost: few(acknowledged.filter((line) => !held.has(lineOf(line)))),
      doubled: few(
        [...held].filter(([, times]) => times > 1).map(([line, times]) => `${line}: ${times} times`),
      ),
      ledger: ledger
        .filter(({ missing, doubled }) => missing !== 0 || doubled !== 0)
        .map((state) => JSON.stringify(state)),
      unaccounted: await unaccounted(parts),
      streams: brokenStreams(rows),
      findings: few(findings.map((row) => `${row.finding} ${row.org_id} ${row.epoch} ${row.seq}`)),
      rollups: few(
        (await rollupDifferences(clickhouse)).map(
          ({ rollup, key, base, rolled }) => `${rollup} ${key}: ${rolled} of ${base}`,
        ),
      ),
    },
  };
}

/** Enough to see what kind it is. */
function few(lines: readonly string[]): string[] {
  return lines.length <= 10 ? [...lines] : [...lines.slice(0, 10), `and ${lines.length - 10} more`];
}

/** Where a rollup of deploy/clickhouse/0002_rollups.sql is not the sum of its base. */
export async function rollupDifferences(clickhouse: ClickHouse): Promise<RollupDifference[]> {
  const compare = (rollup: string, key: string, base: string, rolled: string): string =>
    `SELECT '${rollup}' AS rollup, key, toInt64(sum(base)) AS base, toInt64(sum(rolled)) AS rolled FROM (
       SELECT concat(${key}) AS key, ${base} AS base, 0 AS rolled ${CALLS} GROUP BY key
       UNION ALL
       SELECT concat(${key.replace(HOUR, 'toString(hour)')}) AS key, 0 AS base, ${rolled} AS rolled
       FROM cairn.${rollup} GROUP BY key)
     GROUP BY key HAVING base != rolled`;
  return clickhouse.query<RollupDifference>(
    [
      compare(
        'tools_by_hour',
        `org_id, ' ', ${HOUR}, ' ', service, ' ', tool_name, ' ', result_status`,
        'toInt64(count())',
        'toInt64(sum(calls))',
      ),
      compare(
        'agents_by_hour',
        `org_id, ' ', ${HOUR}, ' ', agent_id`,
        'toInt64(count())',
        'toInt64(sum(calls))',
      ),
    ].join('\nUNION ALL\n'),
    {},
    { output_format_json_quote_64bit_integers: 0 },
  );
}

/** What the views of 0002_rollups.sql count. */
const CALLS = `FROM cairn.events
  WHERE kind IN ('tool_call', 'resource_read', 'prompt_get') AND phase IN ('outcome', 'single')`;

const HOUR = "toString(toStartOfHour(toDateTime(timestamp, 'UTC')))";
