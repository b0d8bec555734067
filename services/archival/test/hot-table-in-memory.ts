import { decodeDatum } from '@cairn/event';
import { Acceptance, hexOfHash } from '@cairn/ledger';
import type { LogRecord } from '@cairn/runtime';
import {
  comparable,
  type DayOfPlace,
  type HotRow,
  type HotTable,
  type LeafRun,
  type Place,
} from '../src/hot-table.ts';

/** The rows of one partition as ingest loads them, which a test may then rewrite. */
export class HotTableInMemory implements HotTable {
  readonly #place: Place;
  rowsHeld: HotRow[];
  readonly declared = new Set<number>();
  readonly droppedDays: string[] = [];
  /** Runs by their first offset, as the table keeps the latest of each. */
  readonly runs = new Map<number, LeafRun>();

  constructor(place: Place, records: readonly LogRecord[]) {
    this.#place = place;
    const acceptance = new Acceptance({ partition: place.partition, partitions: 1 });
    this.rowsHeld = records.flatMap((record) => {
      const { offset, appendedAtMs } = record;
      const accepted = acceptance.accept(record);
      if (accepted.outcome !== 'leaf') return [];
      const { bytes, start, end, schemaId, hash } = accepted.leaf;
      const event = decodeDatum(bytes.slice(start, end), schemaId);
      return [{ offset, leafHash: hexOfHash(hash), receivedAtMs: appendedAtMs, fields: comparable(event) }];
    });
  }

  async rows(_place: Place, first: number, last: number): Promise<HotRow[]> {
    return this.rowsHeld
      .filter(({ offset }) => offset >= first && offset <= last)
      .toSorted((left, right) => left.offset - right.offset);
  }

  async refused(): Promise<Set<number>> {
    return this.declared;
  }

  async days(): Promise<DayOfPlace[]> {
    const days = Map.groupBy(this.rowsHeld, ({ receivedAtMs }) => dayOf(receivedAtMs));
    return [...days].map(([day, rows]) => ({
      ...this.#place,
      day,
      rows: rows.length,
      firstOffset: Math.min(...rows.map(({ offset }) => offset)),
      lastOffset: Math.max(...rows.map(({ offset }) => offset)),
    }));
  }

  async placeLeaves(_place: Place, runs: readonly LeafRun[]): Promise<void> {
    for (const run of runs) this.runs.set(run.offsetFirst, run);
  }

  async dropDay(day: string): Promise<void> {
    this.droppedDays.push(day);
    this.rowsHeld = this.rowsHeld.filter(({ receivedAtMs }) => dayOf(receivedAtMs) !== day);
  }
}

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
