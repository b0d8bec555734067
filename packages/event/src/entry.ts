/**
 * An entry is Avro single-object encoding of a datum (Avro 1.11, "Single-object encoding"):
 *
 *     offset  0       2                                 10
 *             C3 01 | CRC-64-AVRO of the schema, LE  | datum …
 *
 * The leaf hash is RFC 6962's: SHA-256(0x00 ‖ entry). One hash serves as chain link, Merkle leaf and identity.
 */
import { bytesOfHex, concat, utf8 } from './bytes.ts';
import { releasedSchema } from './schemas.ts';
import { sha256Text } from './sha256-text.ts';
import { viewOf } from './view-of.ts';

/** An entry must fit a transparency log's leaf. */
export const ENTRY_BYTES_MAX = 61_440;
export const DATUM_BYTES_MAX = ENTRY_BYTES_MAX - 10;

const crc64BySchema = new Map<number, Uint8Array>();
const sha256BySchema = new Map<number, Uint8Array>();

function crc64Of(schemaId: number): Uint8Array {
  let bytes = crc64BySchema.get(schemaId);
  if (bytes === undefined) crc64BySchema.set(schemaId, (bytes = bytesOfHex(releasedSchema(schemaId).crc64)));
  return bytes;
}

function sha256Of(schemaId: number): Uint8Array {
  let bytes = sha256BySchema.get(schemaId);
  if (bytes === undefined)
    sha256BySchema.set(schemaId, (bytes = bytesOfHex(releasedSchema(schemaId).sha256)));
  return bytes;
}

/** @throws Failure `schema.unknown` */
export function entryOf(schemaId: number, datum: Uint8Array): Uint8Array<ArrayBuffer> {
  return entryUnder(crc64Of(schemaId), datum);
}

/** An entry under any schema, named by its CRC-64-AVRO (8 bytes, little-endian). */
export function entryUnder(crc64: Uint8Array, datum: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat(ENTRY_MARK, crc64, datum);
}

const ENTRY_MARK = new Uint8Array([0xc3, 0x01]);

/** One scratch buffer for every hash: three updates cost three times a single call over joined bytes. */
let scratch = new Uint8Array(4096);

/** SHA-256(0x00 ‖ entry), 32 bytes. @throws Failure `schema.unknown` */
export function leafHash(schemaId: number, datum: Uint8Array): Uint8Array<ArrayBuffer> {
  return leafHashUnder(crc64Of(schemaId), datum);
}

/** The leaf hash of a datum under any schema, named by its CRC-64-AVRO. */
export function leafHashUnder(crc64: Uint8Array, datum: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = 11 + datum.length;
  if (scratch.length < length) scratch = new Uint8Array(length * 2);
  scratch[0] = 0;
  scratch[1] = 0xc3;
  scratch[2] = 0x01;
  scratch.set(crc64, 3);
  scratch.set(datum, 11);
  // A digest as text and 32 bytes of the heap cost half of a digest as a buffer.
  const text = sha256Text(scratch.subarray(0, length));
  const digest = new Uint8Array(32);
  for (let index = 0; index < 32; index += 1) digest[index] = text.charCodeAt(index);
  return digest;
}

/**
 * The leaf hash of the datum in [start, end), as 32 characters, one for each byte (latin1): for whoever hashes hundreds of
 * thousands a second, since a digest as a string costs a third of one as a buffer.
 *
 * What the hash covers begins 11 bytes before the datum, so the bytes that stand there are borrowed and put back: nothing
 * is copied but these.
 *
 * @throws Failure `schema.unknown`
 */
export function leafHashText(schemaId: number, bytes: Uint8Array, start: number, end: number): string {
  const head = headOf(schemaId);
  if (start < LEAF_HEAD_BYTES) return sha256Text(concat(head.bytes, bytes.subarray(start, end)));
  const from = start - LEAF_HEAD_BYTES;
  const view = viewOf(bytes);
  const at = bytes.byteOffset + from;
  // Three words for 11 bytes: two of them share one.
  const [one, two, three] = [view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 7)];
  view.setInt32(at, head.one);
  view.setInt32(at + 4, head.two);
  view.setInt32(at + 7, head.three);
  const text = sha256Text(bytes.subarray(from, end));
  view.setInt32(at, one);
  view.setInt32(at + 4, two);
  view.setInt32(at + 7, three);
  return text;
}

/** 0x00, the mark of an entry, the schema's CRC-64; in bytes, and in words from bytes 0, 4 and 7 on. */
interface LeafHead {
  readonly bytes: Uint8Array;
  readonly one: number;
  readonly two: number;
  readonly three: number;
}

const LEAF_HEAD_BYTES = 11;
const headBySchema = new Map<number, LeafHead>();

function headOf(schemaId: number): LeafHead {
  let head = headBySchema.get(schemaId);
  if (head === undefined) {
    const bytes = concat(new Uint8Array(1), ENTRY_MARK, crc64Of(schemaId));
    const view = viewOf(bytes);
    head = { bytes, one: view.getInt32(0), two: view.getInt32(4), three: view.getInt32(7) };
    headBySchema.set(schemaId, head);
  }
  return head;
}

/** Bytes of a datum's signature field: union index and 64 bytes when signed, the index alone when not. */
export const SIGNED_TAIL_BYTES = 65;

const TAG = utf8('audit-event/v1\n');

/**
 * What a signature covers: `"audit-event/v1\n" ‖ SHA-256 of the schema (32) ‖ u32 BE length of B ‖ B`, where B is the
 * datum without its signature field. A verifier cuts; it decodes nothing.
 *
 * @param body the datum without its last field.
 */
export function signedBytes(schemaId: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return signedBytesUnder(sha256Of(schemaId), body);
}

/** The same under any schema, named by the SHA-256 of its parsing canonical form. */
export function signedBytesUnder(sha256: Uint8Array, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = new Uint8Array([body.length >>> 24, body.length >>> 16, body.length >>> 8, body.length]);
  return concat(TAG, sha256, length, body);
}

/**
 * The datum without its signature field.
 *
 * @param signed whether the datum carries a signature; the walk says so.
 */
export function bodyOf(datum: Uint8Array, signed: boolean): Uint8Array {
  return datum.subarray(0, datum.length - (signed ? SIGNED_TAIL_BYTES : 1));
}
