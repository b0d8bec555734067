import { utf8 } from '@cairn/event';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base64 (RFC 4648 §4). */
export function base64Of(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const left = bytes.length - at;
    text += ALPHABET[a >> 2];
    text += ALPHABET[((a & 3) << 4) | (b >> 4)];
    text += left > 1 ? ALPHABET[((b & 15) << 2) | (c >> 6)] : '=';
    text += left > 2 ? ALPHABET[c & 63] : '=';
  }
  return text;
}

/**
 * How these bytes look inside a longer Base64 text, when they begin at a place divisible by three, one behind it, and two
 * behind it: the characters at both ends that also depend on the neighbours are cut off.
 */
export function base64Offsets(bytes: Uint8Array): string[] {
  return [0, 1, 2].map((offset) => {
    const shifted = new Uint8Array(offset + bytes.length);
    shifted.set(bytes, offset);
    const encoded = base64Of(shifted).replace(/=+$/, '');
    const begin = [0, 2, 3][offset] ?? 0;
    const whole = Math.floor((shifted.length * 8) / 6);
    return encoded.slice(begin, whole);
  });
}

export type Encoding = 'utf8' | 'utf16le' | 'utf16be' | 'utf16';

/** `utf16` has its byte order mark and is little-endian. */
export function encodedAs(encoding: Encoding, text: string): Uint8Array {
  if (encoding === 'utf8') return utf8(text);
  const mark = encoding === 'utf16' ? '\uFEFF' : '';
  const units = mark + text;
  const bytes = new Uint8Array(units.length * 2);
  for (let at = 0; at < units.length; at += 1) {
    const unit = units.charCodeAt(at);
    const [low, high] = [unit & 0xff, unit >> 8];
    bytes.set(encoding === 'utf16be' ? [high, low] : [low, high], at * 2);
  }
  return bytes;
}
