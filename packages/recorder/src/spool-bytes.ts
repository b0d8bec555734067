import { crc32 } from 'node:zlib';

/*
 * Spool file. Integers are big-endian.
 *
 *   name    := first(16 digits) "-" end(16 digits) ".wal"
 *   file    := head record*
 *   record  := length u32 | crc u32 | payload[length]
 *   payload := kind u8 | number u64 | place u32 | body
 *
 *   first   number of the first record in the file
 *   end     every number below it was durable when the file was begun. Less than `first` after a failed write, whose
 *           numbers are not used again: the file before may then end in records that this one repeats
 *   crc     CRC-32 (IEEE 802.3, as zlib) of the payload; Node computes it natively at several GB/s. It finds
 *           accidents. Tampering is found by the chain inside the events
 *   kind    1 head, 2 record
 *   number  counts the records of this spool; the head has the number of the first record after it
 *   place   index of the record in the write that carried it. number - place is the first number of that write, and
 *           everything below it was durable when it was written. So a bad record with a later write behind it was
 *           damaged on disk, and one without is the torn end of a write that nobody was told about
 *   body    head: begun u64 (ms since 1970) | snapshot of the streams before the first record
 *           record: whatever the spool was given
 */

const HEAD = 1;
const RECORD = 2;
/** length, crc, kind, number, place. */
const OVERHEAD_BYTES = 21;
/** A head carries the state of every stream, so the bound is far above that of an event. */
const PAYLOAD_BYTES_MAX = 64 * 1024 * 1024;

export interface SpoolHead {
  /** When the file was begun, milliseconds since 1970. */
  readonly begunMs: number;
  readonly snapshot: Uint8Array;
}

export interface SpoolRecord {
  readonly number: number;
  readonly body: Uint8Array;
}

/** Bytes of a file that cannot be read, and the numbers of the records that were in them. */
export interface Damage {
  /** `torn`: the unacknowledged end of a write; `lost`: bytes that had been durable. */
  readonly what: 'torn' | 'lost';
  /** First bad byte, and the first good byte after it or the file's length. */
  readonly bytes: { readonly from: number; readonly to: number };
  /** First lost number, and the first number after it that can be read or is in another file. */
  readonly numbers: { readonly from: number; readonly to: number };
}

export interface SpoolContent {
  readonly head: SpoolHead | undefined;
  readonly records: readonly SpoolRecord[];
  readonly damages: readonly Damage[];
}

export function fileNameOf(first: number, end: number): string {
  return `${String(first).padStart(16, '0')}-${String(end).padStart(16, '0')}.wal`;
}

export function parseFileName(name: string): { first: number; priorEnd: number } | undefined {
  const match = /^(\d{16})-(\d{16})\.wal$/.exec(name);
  return match === null ? undefined : { first: Number(match[1]), priorEnd: Number(match[2]) };
}

/** The head of a file whose first record has this number. */
export function encodeHead(first: number, head: SpoolHead): Uint8Array {
  const body = new Uint8Array(8 + head.snapshot.length);
  viewOf(body).setBigUint64(0, BigInt(head.begunMs));
  body.set(head.snapshot, 8);
  const out = new Uint8Array(OVERHEAD_BYTES + body.length);
  put(out, viewOf(out), 0, HEAD, first, 0, body);
  return out;
}

/** One write: the bodies as records, numbered from `first`. */
export function encodeRecords(first: number, bodies: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(bytesOf(bodies));
  const view = viewOf(out);
  let at = 0;
  for (const [place, body] of bodies.entries()) at = put(out, view, at, RECORD, first + place, place, body);
  return out;
}

/** Bytes that these bodies take in a file. */
export function bytesOf(bodies: readonly Uint8Array[]): number {
  let total = 0;
  for (const body of bodies) total += OVERHEAD_BYTES + body.length;
  return total;
}

function put(
  out: Uint8Array,
  view: DataView,
  at: number,
  kind: number,
  number: number,
  place: number,
  body: Uint8Array,
): number {
  const end = at + OVERHEAD_BYTES + body.length;
  view.setUint32(at, end - at - 8);
  view.setUint8(at + 8, kind);
  view.setUint32(at + 9, Math.floor(number / 2 ** 32));
  view.setUint32(at + 13, number % 2 ** 32);
  view.setUint32(at + 17, place);
  out.set(body, at + OVERHEAD_BYTES);
  view.setUint32(at + 4, crc32(out.subarray(at + 8, end)));
  return end;
}

/**
 * Reads a whole spool file. Never throws. Behind damage it looks for the next record whose checksum and number fit.
 * Those count only when it is certain that the damaged one had been durable: a write that was torn was acknowledged
 * to nobody, and its remains would leave a hole in a stream.
 *
 * @param first the number in the file's name
 * @param durableEnd all numbers below it are known to have been durable: from the name of the file after, or the cursor
 */
export function readSpoolBytes(bytes: Uint8Array, first: number, durableEnd: number): SpoolContent {
  let head: SpoolHead | undefined;
  const records: SpoolRecord[] = [];
  const damages: Damage[] = [];
  let at = 0;
  let next = first;
  while (at < bytes.length) {
    const found = recordAt(bytes, at);
    if (found?.kind === HEAD && at === 0 && found.number === first) {
      head = headOf(found.body);
      at = found.end;
    } else if (found?.kind === RECORD && found.number === next) {
      records.push({ number: next, body: found.body });
      next += 1;
      at = found.end;
    } else {
      const good = resume(bytes, at, next, durableEnd);
      const what = good !== undefined || next < durableEnd ? 'lost' : 'torn';
      const to = good?.number ?? Math.max(next, durableEnd);
      damages.push({ what, bytes: { from: at, to: good?.at ?? bytes.length }, numbers: { from: next, to } });
      next = to;
      at = good?.at ?? bytes.length;
    }
  }
  if (next < durableEnd) {
    const end = bytes.length;
    damages.push({ what: 'lost', bytes: { from: end, to: end }, numbers: { from: next, to: durableEnd } });
  }
  return { head, records, damages };
}

/** Where records can be read again after the byte `damaged`; undefined when what was lost is the torn end. */
function resume(
  bytes: Uint8Array,
  damaged: number,
  missing: number,
  durableEnd: number,
): { at: number; number: number } | undefined {
  let good: { at: number; number: number } | undefined;
  for (let at = damaged + 1; at + OVERHEAD_BYTES <= bytes.length; at++) {
    // Cheap tests first: the checksum of every offset would make a large damaged file slow to open.
    if (bytes[at + 8] !== RECORD) continue;
    const number = numberAt(bytes, at);
    if (number < missing || number > missing + bytes.length) continue;
    const found = recordAt(bytes, at);
    if (found === undefined) continue;
    good ??= { at, number };
    const onlyHeadLost = number === missing;
    const damagedWasDurable = number - found.place > missing || missing < durableEnd;
    if (onlyHeadLost || damagedWasDurable) return good;
    at = found.end - 1;
  }
  return undefined;
}

interface Found {
  readonly kind: number;
  readonly number: number;
  readonly place: number;
  readonly body: Uint8Array;
  readonly end: number;
}

function recordAt(bytes: Uint8Array, at: number): Found | undefined {
  if (at + OVERHEAD_BYTES > bytes.length) return undefined;
  const view = viewOf(bytes);
  const length = view.getUint32(at);
  const end = at + 8 + length;
  if (length < OVERHEAD_BYTES - 8 || length > PAYLOAD_BYTES_MAX || end > bytes.length) return undefined;
  if (crc32(bytes.subarray(at + 8, end)) !== view.getUint32(at + 4)) return undefined;
  return {
    kind: bytes[at + 8]!,
    number: numberAt(bytes, at),
    place: view.getUint32(at + 17),
    body: bytes.subarray(at + OVERHEAD_BYTES, end),
    end,
  };
}

function numberAt(bytes: Uint8Array, at: number): number {
  return Number(viewOf(bytes).getBigUint64(at + 9));
}

function headOf(body: Uint8Array): SpoolHead | undefined {
  if (body.length < 8) return undefined;
  return { begunMs: Number(viewOf(body).getBigUint64(0)), snapshot: body.subarray(8) };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
