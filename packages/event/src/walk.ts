import { textOf } from './bytes.ts';
import { DATUM_BYTES_MAX } from './entry.ts';
import { SCHEMAS } from './event.gen.ts';
import { viewOf } from './view-of.ts';
import { NOTING_SKIMS, SKIMS, WALKS } from './walk.gen.ts';
import { type Cursor, emptyNotes, type WalkReason } from './walk-steps.ts';

export type { WalkReason } from './walk-steps.ts';

/** What the walk notes on its way; everything else of the datum stays unread. */
export interface Walked {
  readonly ok: true;
  readonly orgId: string;
  readonly gatewayId: string;
  /** Index into KIND_SYMBOLS. */
  readonly kind: number;
  readonly timestampMicros: number;
  readonly epoch: number;
  readonly seq: number;
  /** Where the 32 bytes of prev_hash begin in the buffer. */
  readonly prevHashAt: number;
  readonly keyId: string;
  readonly signed: boolean;
  /** Where the datum ends in the buffer, exclusive. */
  readonly end: number;
}

export interface Refused {
  readonly ok: false;
  readonly reason: WalkReason | 'schema.unknown';
  /** Byte of the buffer at which it went wrong. */
  readonly at: number;
  /** Field in which it went wrong; empty when it concerns the whole datum. */
  readonly field: string;
}

/** Fields of the widest released schema. */
export const FIELDS_MAX = Math.max(...SCHEMAS.map(({ schema }) => schema.fields.length));

const nowhere = new Uint16Array(FIELDS_MAX);
const cursor: Cursor = { at: 0, end: 0, value: 0, reason: 'datum.truncated', items: 0 };
const notes = emptyNotes();

/**
 * Passes over a datum and demands that it is one event in canonical form, exactly as long as it says. Builds nothing but
 * the few facts it returns; never throws; costs the length of the datum whatever the datum claims.
 *
 * Not optional: datums are joined into containers undecoded, and one that holds two records would forge a row and hide
 * its neighbour's.
 *
 * @param bytes buffer that holds the datum in [start, end).
 * @param places takes where each field begins, counted from the datum's first byte, from `into` on: `FIELDS_MAX` numbers.
 */
export function walkDatum(
  bytes: Uint8Array,
  schemaId: number,
  start: number = 0,
  end: number = bytes.length,
  places?: Uint16Array,
  into: number = 0,
): Walked | Refused {
  if (end - start > DATUM_BYTES_MAX) return { ok: false, reason: 'datum.too-long', at: start, field: '' };
  const walk = WALKS[schemaId];
  if (walk === undefined) return { ok: false, reason: 'schema.unknown', at: start, field: '' };
  const view = viewOf(bytes);
  // A skim that stops exactly at the end has read nothing behind it, and is a walk at a sixth of its price.
  const skimmedTo =
    places === undefined
      ? SKIMS[schemaId]!(bytes, view, bytes.byteOffset, start, end, notes)
      : NOTING_SKIMS[schemaId]!(bytes, view, bytes.byteOffset, start, end, notes, places, into);
  if (skimmedTo === end) return walked(bytes, end);
  cursor.at = start;
  cursor.end = end;
  cursor.items = 0;
  if (!walk(bytes, cursor, notes, places ?? nowhere, into)) {
    return { ok: false, reason: cursor.reason, at: cursor.at, field: notes.field };
  }
  if (cursor.at !== end) return { ok: false, reason: 'datum.trailing', at: cursor.at, field: '' };
  return walked(bytes, end);
}

/**
 * Passes over the datum that begins at `start` and finds where it ends, as `walkDatum` does for one whose end is known: for
 * rows that stand one behind the other.
 *
 * @param limit end of the buffer's part in which the datum must lie.
 */
export function walkNextDatum(
  bytes: Uint8Array,
  schemaId: number,
  start: number,
  limit: number,
): Walked | Refused {
  const walk = WALKS[schemaId];
  const skim = SKIMS[schemaId];
  if (walk === undefined || skim === undefined)
    return { ok: false, reason: 'schema.unknown', at: start, field: '' };
  const last = Math.min(limit, start + DATUM_BYTES_MAX);
  const skimmedTo = skim(bytes, viewOf(bytes), bytes.byteOffset, start, last, notes);
  // It goes forward only: one that stops within the limit has read nothing behind where it stops.
  if (skimmedTo > start && skimmedTo <= last) return walked(bytes, skimmedTo);
  cursor.at = start;
  cursor.end = last;
  cursor.items = 0;
  if (walk(bytes, cursor, notes, nowhere, 0)) return walked(bytes, cursor.at);
  return { ok: false, reason: cursor.reason, at: cursor.at, field: notes.field };
}

function walked(bytes: Uint8Array, end: number): Walked {
  return {
    ok: true,
    orgId: textBetween(bytes, notes.orgStart, notes.orgEnd),
    gatewayId: textBetween(bytes, notes.gatewayStart, notes.gatewayEnd),
    kind: notes.kind,
    timestampMicros: notes.timestamp,
    epoch: notes.epoch,
    seq: notes.seq,
    prevHashAt: notes.prevHashAt,
    keyId: textBetween(bytes, notes.keyIdStart, notes.keyIdEnd),
    signed: notes.signed,
    end,
  };
}

/**
 * Texts seen lately, by length and edges: organisations, gateways and keys repeat, and a string each time is garbage. The
 * texts alone are kept, never their bytes: a view of the buffer would hold all of it, and change with it.
 */
const SEEN = 1_024;
const seen: string[] = new Array(SEEN).fill('');
/** The first and the last four bytes of each. */
const seenHeads = new Int32Array(SEEN);
const seenTails = new Int32Array(SEEN);

function textBetween(bytes: Uint8Array, start: number, end: number): string {
  const size = end - start;
  if (size === 0) return '';
  let head: number;
  let tail = 0;
  if (size < 4) head = bytes[start]! | (bytes[start + (size >> 1)]! << 8) | (bytes[end - 1]! << 16);
  else {
    const view = viewOf(bytes);
    const base = bytes.byteOffset;
    head = view.getInt32(base + start);
    tail = view.getInt32(base + end - 4);
  }
  const slot = Math.imul(head ^ Math.imul(tail + size, 0x9e3779b1), 0x85ebca6b) >>> 22;
  const known = seen[slot]!;
  if (known.length === size && seenHeads[slot] === head && seenTails[slot] === tail) {
    if (size <= 8 || isSame(known, bytes, start)) return known;
  }
  const text = textOf(bytes.subarray(start, end));
  // As long as its bytes: it is ASCII, and its characters are its bytes.
  if (text.length === size && size <= 256) {
    seen[slot] = text;
    seenHeads[slot] = head;
    seenTails[slot] = tail;
  }
  return text;
}

/** The four bytes at each end are. */
function isSame(known: string, bytes: Uint8Array, start: number): boolean {
  for (let index = 4; index < known.length - 4; index += 1) {
    if (known.charCodeAt(index) !== bytes[start + index]) return false;
  }
  return true;
}
