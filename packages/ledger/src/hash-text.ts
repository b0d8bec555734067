/**
 * A hash as 32 characters, one for each byte (latin1). Whoever hashes hundreds of thousands a second carries hashes so: a
 * digest as a string costs a third of one as a buffer, and strings compare and key maps by value.
 */
import { sha256Text } from '@cairn/event';
import { Failure } from '@cairn/failure';

export type HashText = string;

export { sha256Text };

/** SHA-256 of the bytes, lower-case hex. */
export const sha256Hex = (bytes: Uint8Array): string => hexOfHash(sha256Text(bytes));

/** 32 bytes. */
export function bytesOfHash(text: HashText): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** The 32 bytes that begin at `at`. One call and not 32: a text that was joined of 32 costs five times as much. */
export function hashAt(bytes: Uint8Array, at: number): HashText {
  return String.fromCharCode(
    bytes[at]!,
    bytes[at + 1]!,
    bytes[at + 2]!,
    bytes[at + 3]!,
    bytes[at + 4]!,
    bytes[at + 5]!,
    bytes[at + 6]!,
    bytes[at + 7]!,
    bytes[at + 8]!,
    bytes[at + 9]!,
    bytes[at + 10]!,
    bytes[at + 11]!,
    bytes[at + 12]!,
    bytes[at + 13]!,
    bytes[at + 14]!,
    bytes[at + 15]!,
    bytes[at + 16]!,
    bytes[at + 17]!,
    bytes[at + 18]!,
    bytes[at + 19]!,
    bytes[at + 20]!,
    bytes[at + 21]!,
    bytes[at + 22]!,
    bytes[at + 23]!,
    bytes[at + 24]!,
    bytes[at + 25]!,
    bytes[at + 26]!,
    bytes[at + 27]!,
    bytes[at + 28]!,
    bytes[at + 29]!,
    bytes[at + 30]!,
    bytes[at + 31]!,
  );
}

/** Whether the 32 bytes that begin at `at` are this hash. */
export function isHashAt(text: HashText, bytes: Uint8Array, at: number): boolean {
  for (let offset = 0; offset < 32; offset += 1) {
    if (bytes[at + offset] !== text.charCodeAt(offset)) return false;
  }
  return true;
}

/** Bytes that take a hash over in one call, where a loop over its characters takes twice as long. */
export interface HashBytes extends Uint8Array<ArrayBuffer> {
  latin1Write(text: string, offset: number, length: number): number;
}

export const hashBytes = (length: number): HashBytes =>
  Buffer.from(new ArrayBuffer(length), 0, length) as Uint8Array<ArrayBuffer> as HashBytes;

/** Writes a hash to `at`. */
export const putHash = (text: HashText, into: HashBytes, at: number): void =>
  void into.latin1Write(text, at, 32);

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Lower-case hex, 64 digits. */
export function hexOfHash(text: HashText): string {
  let hex = '';
  for (let at = 0; at < text.length; at += 1) hex += HEX[text.charCodeAt(at)]!;
  return hex;
}

/** @throws Failure `hash.invalid` when the text is not 64 digits of lower-case hex. */
export function hashOfHex(hex: string): HashText {
  if (!/^[0-9a-f]{64}$/.test(hex)) {
    throw new Failure({
      code: 'hash.invalid',
      retry: 'no',
      message: 'a SHA-256 has 64 digits of lower-case hex',
    });
  }
  let text = '';
  for (let at = 0; at < 64; at += 2) text += String.fromCharCode(Number.parseInt(hex.slice(at, at + 2), 16));
  return text;
}

/** 32 zero bytes. */
export const ZERO_HASH: HashText = '\0'.repeat(32);
