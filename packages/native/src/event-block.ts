import { walkDatum } from '@cairn/event';
import { EventColumns, type EventRow } from './event-columns.ts';

/** Rows of one partition that are all there, in order of offset. */
export interface EventRows {
  readonly topic: string;
  readonly partition: number;
  readonly rows: readonly EventRow[];
}

/**
 * Rows as one Native block over EVENT_COLUMNS, to be sent piece by piece: views, until `release` is called. Rows that lie in the
 * same bytes, one behind the other, are taken apart faster.
 */
export function eventBlock({ topic, partition, rows }: EventRows): {
  readonly pieces: readonly Uint8Array<ArrayBuffer>[];
  release(): void;
} {
  const columns = new EventColumns(topic, partition);
  for (const row of rows) {
    const { bytes, schemaId, start, end } = row;
    walkDatum(bytes, schemaId, start, end, columns.places, columns.placesAt);
    columns.add(row);
  }
  return { pieces: columns.block(), release: () => columns.release() };
}
