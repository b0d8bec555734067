import { costOf, scaleOf } from './scale.ts';

const RATES = [1_000, 10_000, 100_000, 1_000_000];

/** The tables of docs/scaling.md by their names, in Markdown. */
export function tables(): Record<'work' | 'cost', string> {
  const scales = RATES.map(scaleOf);
  return {
    work: table([
      [
        'events/s',
        'Kafka in',
        'Kafka disks',
        'partitions',
        'ingest',
        'its cores busy',
        'ClickHouse',
        'cores busy, each',
        'parts/s, each',
        'hot, each',
        'cold',
      ],
      ...scales.map((scale) => [
        whole(scale.eventsPerSecond),
        `${figure(scale.kafkaInMbs)} MB/s`,
        size(scale.kafkaTb),
        whole(scale.partitions),
        whole(scale.instances),
        figure(scale.ingestCores),
        `${scale.shards} × 2 of ${scale.serverCores} cores`,
        `${figure(scale.tableCores.young)}–${figure(scale.tableCores.old)}`,
        figure(scale.partsPerSecond),
        size(scale.hotTb),
        size(scale.coldTb),
      ]),
    ]),
    cost: table([
      [
        'events/s',
        'cores',
        'Kafka disks',
        'table disks',
        'cold',
        'between zones',
        'sum a month',
        'a million events',
      ],
      ...scales.map((scale) => {
        const cost = costOf(scale);
        return [
          whole(scale.eventsPerSecond),
          ...[cost.compute, cost.kafkaDisks, cost.tableDisks, cost.cold, cost.network, cost.sum].map(dollars),
          `$${cost.perMillionEvents.toFixed(2)}`,
        ];
      }),
    ]),
  };
}

/** A document with the tables that stand between their marks replaced. */
export function withTables(document: string): string {
  return Object.entries(tables()).reduce((text, [name, rows]) => {
    const mark = new RegExp(`(<!-- table ${name} -->\\n\\n)(?:(?!<!--)[^])*(\\n\\n<!-- end -->)`);
    if (!mark.test(text)) throw new Error(`there is no mark of the table ${name}`);
    return text.replace(mark, (_whole, before: string, after: string) => `${before}${rows}${after}`);
  }, document);
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n');
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const figure = (value: number): string =>
  Number(value.toPrecision(2)).toLocaleString('en-US', { maximumFractionDigits: 3 });
const size = (terabytes: number): string =>
  terabytes < 1_000 ? `${figure(terabytes)} TB` : `${figure(terabytes / 1_000)} PB`;
const dollars = (value: number): string => `$${Number(value.toPrecision(2)).toLocaleString('en-US')}`;
