import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '@cairn/local';
import { describe, expect, test } from '@jest/globals';
import { ASSUMED, FIGURES, PRICES } from './figures.ts';
import { costOf, scaleOf } from './scale.ts';
import { withTables } from './tables.ts';

const RATES = [100, 1_000, 7_000, 10_000, 60_000, 100_000, 400_000, 1_000_000];

describe('docs/scaling.md', () => {
  test('holds the tables that the figures give', () => {
    const page = readFileSync(join(REPOSITORY, 'docs', 'scaling.md'), 'utf8');
    expect(withTables(page)).toBe(page);
  });

  test('names every price, the figures and the days that it was computed with', () => {
    const page = readFileSync(join(REPOSITORY, 'docs', 'scaling.md'), 'utf8').replaceAll(/\s+/g, ' ');
    const { datumBytes, recordBytes, ingestUs, ingestMainUs, clickhouseUs, rowBytes } = FIGURES;
    for (const words of [
      `of ${datumBytes} bytes each`,
      `${ingestUs} µs of CPU for an event in ingest, of which ${ingestMainUs} on`,
      `${clickhouseUs} µs in ClickHouse`,
      `${rowBytes} bytes a row by`,
      `(${datumBytes + recordBytes}), R bytes a row (${rowBytes})`,
    ])
      expect(page).toContain(words);
    for (const price of Object.values(PRICES)) expect(page).toContain(`$${price}`);
    for (const days of [ASSUMED.kafkaDays, ASSUMED.hotDays, ASSUMED.coldDays])
      expect(page).toContain(`${days} days`);
  });
});

describe('what is needed at a rate', () => {
  test.each(RATES)('%d events/s: no part is asked for more than it is assumed to give', (rate) => {
    const scale = scaleOf(rate);
    expect(scale.tableCores.old).toBeLessThanOrEqual(scale.serverCores * ASSUMED.busy);
    expect(scale.hotTb).toBeLessThanOrEqual(ASSUMED.serverDiskTb * ASSUMED.full);
    expect(scale.instances).toBeLessThanOrEqual(scale.partitions);
    expect(scale.ingestCores).toBeLessThanOrEqual(scale.instances * ASSUMED.busy);
    expect(scale.partsPerSecond).toBeLessThanOrEqual(ASSUMED.partsPerSecond);
    expect(scale.partitions % scale.shards).toBe(0);
    // One partition is loaded by one thread.
    expect(((rate / scale.partitions) * FIGURES.ingestMainUs) / 1e6).toBeLessThanOrEqual(1 / ASSUMED.catchUp);
  });

  test('never shrinks as the rate grows, and an event never becomes dearer', () => {
    const scales = RATES.map(scaleOf);
    for (const [index, scale] of scales.slice(1).entries()) {
      const before = scales[index]!;
      expect(scale.partitions).toBeGreaterThanOrEqual(before.partitions);
      expect(scale.shards).toBeGreaterThanOrEqual(before.shards);
      expect(costOf(scale).sum).toBeGreaterThan(costOf(before).sum);
    }
    expect(costOf(scales.at(-1)!).perMillionEvents).toBeLessThan(costOf(scales[0]!).perMillionEvents);
  });

  test('a cost is the sum of its parts', () => {
    const { compute, kafkaDisks, tableDisks, cold, network, sum } = costOf(scaleOf(10_000));
    expect(compute + kafkaDisks + tableDisks + cold + network).toBeCloseTo(sum, 6);
  });
});
