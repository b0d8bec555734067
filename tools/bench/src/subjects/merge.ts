// What merging costs beside inserting, and how often a row is written again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouse } from '@cairn/adapters';
import type { Row, Subject } from '../measured.ts';
import { cpuSecondsOf } from '../process-cost.ts';
import { fillTable } from '../table/fill-table.ts';
import { openTable } from '../table/open-table.ts';

interface Variant {
  readonly name: string;
  readonly chunkRows: number;
  /** Of the table, beside those of its migration. */
  readonly settings?: string;
  /** Statements that change the table while it is empty. */
  readonly alter?: readonly string[];
}

/** Chunks hold 35,000 rows where nothing else is said. Names are free of commas, which `--only` divides at. */
const VARIANTS: readonly Variant[] = [
  { name: 'chunks of 35 thousand', chunkRows: 35_000 },
  { name: 'chunks of 100 thousand', chunkRows: 100_000 },
  { name: 'chunks of 200 thousand', chunkRows: 200_000 },
  {
    name: 'horizontal merges',
    chunkRows: 35_000,
    settings: 'enable_vertical_merge_algorithm = 0',
  },
  {
    name: 'vertical from the first row',
    chunkRows: 35_000,
    settings: 'vertical_merge_algorithm_min_rows_to_activate = 1',
  },
  {
    name: 'at least 8 parts at once',
    chunkRows: 35_000,
    settings: 'min_parts_to_merge_at_once = 8',
  },
  {
    name: 'selector base 8',
    chunkRows: 35_000,
    settings: 'merge_selector_base = 8',
  },
  {
    name: 'without calls_by_hour',
    chunkRows: 35_000,
    alter: ['DROP PROJECTION calls_by_hour'],
  },
  {
    name: 'without indexes of ids',
    chunkRows: 35_000,
    alter: ['DROP INDEX by_event_id', 'DROP INDEX by_call_id', 'DROP INDEX by_session_id'],
  },
];

/**
 * The same traffic into the same table under one change after the other: inserts with the merges stopped, then merges until
 * nothing is left to do.
 *
 * --events N, default 400,000; --repeats N, default 3; --only a,b names variants by a part of their names.
 */
const merge: Subject = async ({ quick, flags, say }) => {
  const events = Number(flags['events'] ?? (quick ? 20_000 : 400_000));
  const repeats = Number(flags['repeats'] ?? (quick ? 1 : 3));
  const only = flags['only']?.split(',');
  const variants = VARIANTS.filter(({ name }) => only?.some((part) => name.includes(part)) ?? true);
  const rows: Row[] = [];
  for (const variant of variants) {
    // A table of its own, so that one variant's changes are gone with it.
    await using opened = await openTable();
    const { clickhouse, pid } = opened;
    for (const change of [
      ...(variant.alter ?? []),
      ...(variant.settings ? [`MODIFY SETTING ${variant.settings}`] : []),
    ])
      await clickhouse.exec(`ALTER TABLE cairn.events ${change}`);
    const figures = { whole_us: [] as number[], insert_us: [] as number[], rewritten: [] as number[] };
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      await clickhouse.exec('TRUNCATE TABLE cairn.events SYNC');
      await clickhouse.exec('SYSTEM STOP MERGES cairn.events');
      const mergedBefore = await mergedRows(clickhouse);
      const began = cpuSecondsOf(pid) ?? 0;
      const loaded = await fillTable(clickhouse, { events, rowsMax: variant.chunkRows });
      const inserted = cpuSecondsOf(pid) ?? 0;
      await clickhouse.exec('SYSTEM START MERGES cairn.events');
      await settled(clickhouse);
      const each = (seconds: number): number => (seconds / loaded) * 1e6;
      figures.insert_us.push(each(inserted - began));
      figures.whole_us.push(each((cpuSecondsOf(pid) ?? 0) - began));
      figures.rewritten.push(((await mergedRows(clickhouse)) - mergedBefore) / loaded);
    }
    say(
      `${variant.name}: ${Object.entries(figures)
        .map(([name, all]) => `${name} ${all.map((one) => one.toFixed(2)).join(' ')}`)
        .join(', ')}`,
    );
    rows.push({ name: variant.name, figures });
  }
  return {
    question: `What does ClickHouse pay for an event, insert and merges? ${events.toLocaleString('en-US')} events.`,
    columns: [
      { name: 'whole_us', heading: 'CPU µs/event', digits: 1 },
      { name: 'insert_us', heading: 'insert', digits: 1 },
      { name: 'rewritten', heading: 'times rewritten', digits: 2 },
    ],
    rows,
    claims: [],
    notes: ['CPU of the whole process of ClickHouse; a loaded machine makes it larger.'],
  };
};

export default merge;

/** Rows that merges have read since the server began. */
async function mergedRows(clickhouse: ClickHouse): Promise<number> {
  const [row] = await clickhouse.query<{ rows: number }>(
    `SELECT toFloat64(sum(value)) AS rows FROM system.events WHERE event = 'MergedRows'`,
  );
  return row?.rows ?? 0;
}

/** Resolves when no merge has run for some looks: the server looks for work every few seconds at most. */
async function settled(clickhouse: ClickHouse): Promise<void> {
  for (let quiet = 0; quiet < 12; ) {
    const [row] = await clickhouse.query<{ merges: number }>(
      'SELECT toUInt32(count()) AS merges FROM system.merges',
    );
    quiet = row?.merges === 0 ? quiet + 1 : 0;
    await sleep(300);
  }
}
