import { type AuditEvent, decodeDatum, formatUuid, hexOf, leafHash, unframe } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import { type LogRecord, recordValue } from '@cairn/runtime';
import { type StoredEvent, storedEvent } from '@cairn/siem';
import type { DestinationConfig } from './config.ts';
import type { Item } from './destination.ts';
import { OWN_SERVICE } from './record-forwarding.ts';

/** Where records lie. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
}

export interface ReadOptions {
  readonly filter: DestinationConfig['filter'];
  /** An event in the destination's format. */
  readonly format: (event: StoredEvent) => string;
  readonly releasedIdOf: (framedId: number) => number | undefined;
}

/** Records as a destination gets them. */
export interface ReadItems {
  readonly items: readonly Item[];
  /** Events that the destination does not want. */
  readonly unwanted: number;
  /** Records that are no events; ingest parks them. */
  readonly others: number;
}

/** The records that a destination wants, in its format. What is no event is counted and left to ingest, which parks it. */
export function readItems(records: readonly LogRecord[], place: Place, options: ReadOptions): ReadItems {
  const items: Item[] = [];
  let [unwanted, others] = [0, 0];
  for (const record of records) {
    const read = eventOf(record, options.releasedIdOf);
    if (read === undefined) others += 1;
    else if (!isWanted(read.event, options.filter)) unwanted += 1;
    else items.push(itemOf(record, read, place, options.format));
  }
  return { items, unwanted, others };
}

interface ReadEvent {
  readonly event: AuditEvent;
  readonly leafHash: Uint8Array;
}

function eventOf(record: LogRecord, releasedIdOf: ReadOptions['releasedIdOf']): ReadEvent | undefined {
  const unframed = unframe(recordValue(record));
  if (!unframed.ok) return undefined;
  const schemaId = releasedIdOf(unframed.schemaId);
  if (schemaId === undefined) return undefined;
  try {
    return {
      event: decodeDatum(unframed.datum, schemaId),
      leafHash: leafHash(schemaId, unframed.datum),
    };
  } catch (error) {
    if (isFailure(error, 'datum.invalid') || isFailure(error, 'schema.unknown')) return undefined;
    throw error;
  }
}

function itemOf(
  record: LogRecord,
  { event, leafHash: hash }: ReadEvent,
  place: Place,
  format: ReadOptions['format'],
): Item {
  const text = format(
    storedEvent(event, {
      ...place,
      offset: record.offset,
      received_at: record.appendedAtMs,
      leaf_hash: hexOf(hash),
    }),
  );
  return {
    text,
    bytes: Buffer.byteLength(text),
    eventId: formatUuid(event.event_id),
    ...place,
    offset: record.offset,
    appendedAtMs: record.appendedAtMs,
    isOwn: event.service === OWN_SERVICE && event.capture === 'system',
    // The record's memory is used again before a person looks at what was parked.
    value: Uint8Array.from(recordValue(record) ?? []),
  };
}

/** Whether a destination wants an event. */
export function isWanted(
  event: AuditEvent,
  { orgs, kinds, decisions, services }: ReadOptions['filter'],
): boolean {
  if (kinds === undefined ? event.kind === 'seal' : !kinds.includes(event.kind)) return false;
  if (orgs !== undefined && !orgs.includes(event.org_id)) return false;
  if (decisions !== undefined && !decisions.includes(event.decision)) return false;
  return services === undefined || services.includes(event.service);
}
