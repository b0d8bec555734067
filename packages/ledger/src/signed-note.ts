/**
 * A signed note (C2SP signed-note):
 *
 *     text, UTF-8, ends in a newline
 *     an empty line
 *     one or more lines: "— " name " " base64(key id, 4 B ‖ signature)
 *
 * A cosignature (C2SP tlog-cosignature, v1) is a line whose signature is `time, u64 BE ‖ Ed25519`, over
 * `"cosignature/v1\ntime <decimal>\n" ‖ text`.
 */
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { bytesOfHex, hexOf, textOf, utf8 } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { base64Of, bytesOfBase64 } from './base64.ts';
import { type NoteKey, noteKeyOf, publicKeyOf, type SignatureType } from './note-key.ts';

/** A key of one's own. */
export interface NoteSigner {
  readonly key: NoteKey;
  readonly privateKey: KeyObject;
}

/**
 * An Ed25519 key under a name.
 *
 * @throws Failure `key.invalid`
 */
export function noteSignerOf(name: string, privateKey: KeyObject, type?: SignatureType): NoteSigner {
  // RFC 8410: a SubjectPublicKeyInfo ends with the 32 bytes of the key.
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
  return { key: noteKeyOf(name, publicKey, type), privateKey };
}

export interface OpenedNote {
  readonly text: string;
  /** Those of the given keys that have signed it; never empty. */
  readonly signedBy: readonly NoteKey[];
}

/** Why a note was refused: it is none, a known key's line does not verify, or no known key signed it. */
export type NoteReason = 'note.malformed' | 'note.bad-signature' | 'note.unknown-key';

export const NOTE_BYTES_MAX = 16 * 1024 * 1024;
const SIGNATURES_MAX = 100;

/** @throws Failure `note.malformed` when the text is not one that can be signed. */
export function signNote(text: string, ...signers: readonly NoteSigner[]): Uint8Array<ArrayBuffer> {
  checkText(text);
  const lines = signers.map(({ key, privateKey }) =>
    lineOf(key, concat(bytesOfHex(key.keyId), sign(null, utf8(text), privateKey))),
  );
  return utf8(`${text}\n${lines.join('')}`);
}

/**
 * A witness's line under a checkpoint's text.
 *
 * @param timeSeconds since 1970.
 * @throws Failure `note.malformed`
 */
export function cosignatureLine(text: string, timeSeconds: number, { key, privateKey }: NoteSigner): string {
  checkText(text);
  const signature = sign(null, cosignedBytes(text, timeSeconds), privateKey);
  return lineOf(key, concat(bytesOfHex(key.keyId), u64(timeSeconds), signature));
}

/** The note with more signature lines under it. */
export const withLines = (note: Uint8Array, ...lines: readonly string[]): Uint8Array<ArrayBuffer> =>
  concat(note, utf8(lines.join('')));

/**
 * The text of a note, and which of the keys have signed it.
 *
 * @throws Failure of a `NoteReason`. A line by a known key (name and id) that does not verify spoils the whole note.
 */
export function openNote(note: Uint8Array, keys: readonly NoteKey[]): OpenedNote {
  const { text, lines } = splitNote(note);
  const signedBy: NoteKey[] = [];
  for (const { name, keyId, signature } of lines) {
    const key = keys.find((one) => one.name === name && one.keyId === keyId);
    if (key === undefined) continue;
    if (!isSignedBy(key, text, signature)) {
      throw refused('note.bad-signature', `the line of ${name}+${keyId} does not verify`);
    }
    if (!signedBy.includes(key)) signedBy.push(key);
  }
  if (signedBy.length === 0) throw refused('note.unknown-key', 'none of the known keys has signed it');
  return { text, signedBy };
}

export interface NoteLine {
  readonly name: string;
  /** 8 hex digits. */
  readonly keyId: string;
  /** What stands behind the key's id. */
  readonly signature: Uint8Array;
}

/** A note in its parts; nothing of it is verified. @throws Failure `note.malformed` */
export function splitNote(note: Uint8Array): { readonly text: string; readonly lines: readonly NoteLine[] } {
  if (note.length > NOTE_BYTES_MAX) throw malformed('it is longer than 16 MiB');
  let whole: string;
  try {
    whole = textOf(note);
  } catch (cause) {
    throw malformed('it is not UTF-8', cause);
  }
  const at = whole.lastIndexOf('\n\n');
  if (at < 0) throw malformed('it has no empty line before its signatures');
  const text = whole.slice(0, at + 1);
  checkText(text);
  const rest = whole.slice(at + 2);
  if (!rest.endsWith('\n')) throw malformed('it does not end in a newline');
  const lines = rest.slice(0, -1).split('\n');
  if (lines.length > SIGNATURES_MAX) throw malformed(`it has more than ${SIGNATURES_MAX} signatures`);
  return { text, lines: lines.map(lineIn) };
}

function lineIn(line: string): NoteLine {
  const [, name = '', encoded = ''] = /^— ([^\s\u0085+]+) ([A-Za-z0-9+/=]+)$/u.exec(line) ?? [];
  if (name === '') throw malformed('a signature line is not of the form "— name base64"');
  let bytes: Uint8Array;
  try {
    bytes = bytesOfBase64(encoded);
  } catch (cause) {
    throw malformed('a signature is not base64', cause);
  }
  if (bytes.length < 5) throw malformed('a signature is too short');
  return { name, keyId: hexOf(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
}

function isSignedBy(key: NoteKey, text: string, signature: Uint8Array): boolean {
  const publicKey = publicKeyOf(key.publicKey);
  if (key.type === 0x01) return signature.length === 64 && verify(null, utf8(text), publicKey, signature);
  if (signature.length !== 72) return false;
  let time = 0;
  for (const byte of signature.subarray(0, 8)) time = time * 256 + byte;
  if (!Number.isSafeInteger(time)) return false;
  return verify(null, cosignedBytes(text, time), publicKey, signature.subarray(8));
}

/** Seconds since 1970 at which a witness says that it signed; of a line that was verified. */
export function cosignedAt({ signature }: NoteLine): number {
  let time = 0;
  for (const byte of signature.subarray(0, 8)) time = time * 256 + byte;
  return time;
}

const cosignedBytes = (text: string, timeSeconds: number): Uint8Array =>
  utf8(`cosignature/v1\ntime ${timeSeconds}\n${text}`);

const lineOf = ({ name }: NoteKey, bytes: Uint8Array): string => `— ${name} ${base64Of(bytes)}\n`;

function checkText(text: string): void {
  if (!text.endsWith('\n')) throw malformed('its text does not end in a newline');
  if (/[\u0000-\u0009\u000b-\u001f]/.test(text)) throw malformed('its text holds a control character');
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  let rest = value;
  for (let at = 7; at >= 0; at -= 1) {
    bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const malformed = (why: string, cause?: unknown): Failure => refused('note.malformed', why, cause);

function refused(code: NoteReason, why: string, cause?: unknown): Failure {
  return new Failure({
    code,
    retry: 'no',
    message: `the signed note cannot be opened: ${why}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
