// What an event takes on the disk of ClickHouse, column by column, and what inserting and merging it costs.
import { loadavg } from 'node:os';
import type { Row, Subject } from '../measured.ts';
import { cpuSecondsOf } from '../process-cost.ts';
import { fillTable } from '../table/fill-table.ts';
import { openTable } from '../table/open-table.ts';

/** Columns below this many bytes an event are shown as one line. */
const SMALL_BYTES = 0.05;

/**
 * Realistic traffic through ingest's encoder and INSERT into cairn.events. Merges wait until all is inserted; then
 * OPTIMIZE FINAL rewrites every row once.
 *
 * --events N, default 500,000; --chunk N rows of an insert, default 100,000; --rate N events a second of each of the 32
 * gateways, default 50: so an agent thinks for two seconds between its calls.
 */
const storage: Subject = async ({ quick, flags, say }) => {
  const events = Number(flags['events'] ?? (quick ? 20_000 : 500_000));
  const rowsMax = Number(flags['chunk'] ?? 100_000);
  const eventsPerSecond = Number(flags['rate'] ?? 50);
  await using opened = await openTable();
  const { clickhouse, pid } = opened;
  const cpu = (): number => cpuSecondsOf(pid) ?? 0;

  await clickhouse.exec('SYSTEM STOP MERGES cairn.events');
  const began = cpu();
  say(`inserting ${events.toLocaleString('en-US')} events`);
  const rows = await fillTable(clickhouse, { events, rowsMax, eventsPerSecond });
  const inserted = cpu();
  const parts = await clickhouse.query(`SELECT name FROM system.parts WHERE ${HERE}`);
  say(`merging ${parts.length} parts into one`);
  await clickhouse.exec('SYSTEM START MERGES cairn.events');
  await clickhouse.exec('OPTIMIZE TABLE cairn.events FINAL');
  const merged = cpu();

  const columns = await clickhouse.query<Sized>(
    `SELECT column AS name, toFloat64(sum(column_bytes_on_disk)) AS bytes FROM system.parts_columns WHERE ${HERE}
     GROUP BY column ORDER BY bytes DESC`,
  );
  const projections = await clickhouse.query<Sized>(
    `SELECT name, toFloat64(sum(bytes_on_disk)) AS bytes FROM system.projection_parts WHERE ${HERE} GROUP BY name`,
  );
  const indexes = await clickhouse.query<Sized>(
    `SELECT name, toFloat64(data_compressed_bytes + marks_bytes) AS bytes FROM system.data_skipping_indices
     WHERE database = 'cairn' AND table = 'events'`,
  );
  const [whole] = await clickhouse.query<{ bytes: number }>(
    `SELECT toFloat64(sum(bytes_on_disk)) AS bytes FROM system.parts WHERE ${HERE}`,
  );
  const total = (whole?.bytes ?? 0) / rows;
  const named = [
    ...columns.map(({ name, bytes }) => ({ name, each: bytes / rows })),
    ...projections.map(({ name, bytes }) => ({ name: `projection ${name}`, each: bytes / rows })),
    ...indexes.map(({ name, bytes }) => ({ name: `index ${name}`, each: bytes / rows })),
  ].toSorted((left, right) => right.each - left.each);
  const shown = named.filter(({ each }) => each >= SMALL_BYTES);
  const small = named.filter(({ each }) => each < SMALL_BYTES);
  const line = (name: string, each: number): Row => ({ name, figures: { bytes: [each] } });
  const sum = (of: typeof named): number => of.reduce((so_far, { each }) => so_far + each, 0);
  const perEvent = (seconds: number): string => ((seconds / rows) * 1e6).toFixed(1);
  return {
    question: `How many bytes does an event take in cairn.events? ${rows.toLocaleString('en-US')} events, one part after OPTIMIZE FINAL.`,
    columns: [{ name: 'bytes', heading: 'bytes/event', digits: 2 }],
    rows: [
      ...shown.map(({ name, each }) => line(name, each)),
      line(`${small.length} others`, sum(small)),
      line('primary key, checksums and other files', total - sum(named)),
      line('total, as the disk has it', total),
    ],
    claims: [{ what: 'bytes of an event, all files', measured: total, wanted: 'at most', limit: 90 }],
    notes: [
      `ClickHouse used ${perEvent(inserted - began)} µs of CPU an event for inserts of at most ${rowsMax.toLocaleString('en-US')} rows, and ${perEvent(merged - inserted)} µs for merging all ${parts.length} parts once; load ${loadavg()[0]?.toFixed(1)}.`,
      `${eventsPerSecond} events a second of each gateway. Marks are in the columns; sizes are those of compressed files.`,
    ],
  };
};

export default storage;

interface Sized {
  readonly name: string;
  readonly bytes: number;
}

const HERE = `database = 'cairn' AND table = 'events' AND active`;
