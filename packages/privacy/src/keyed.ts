import canonicalize from 'canonicalize';
import type { Mac } from './hmac-sha256.ts';
import type { KeyRing } from './key-ring.ts';

/**
 * HMAC-SHA256 over the canonical JSON (RFC 8785) of a value, under the organisation's key: equal values give equal
 * hashes, whatever the order of their names, and without the key nobody can test a guess.
 */
export function keyedHash(keys: KeyRing, orgId: string, value: unknown): Uint8Array {
  return keys.macFor(orgId, 'hash')(canonicalJson(value));
}

/**
 * Canonical JSON. What JSON may hold and RFC 8785 cannot stands in it as the nearest text: numbers beyond a double, and
 * halves of surrogate pairs, which servers make when they cut a text.
 */
export function canonicalJson(value: unknown): string {
  return canonicalize(isWithinRfc8785(value) ? value : mended(value)) ?? 'null';
}

/** Nearly every value is, and is then not copied. */
function isWithinRfc8785(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value === 'string') return value.isWellFormed();
  if (Array.isArray(value)) return value.every(isWithinRfc8785);
  if (value === null || typeof value !== 'object') return true;
  return Object.entries(value).every(([name, entry]) => name.isWellFormed() && isWithinRfc8785(entry));
}

function mended(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(mended);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [name.toWellFormed(), mended(entry)]),
  );
}

/**
 * A value as a token that can be searched for and not turned back: `t1_` and 16 bytes of
 * HMAC-SHA256(key, "audit-token/v1\n" org "\n" class "\n" value) in base64url.
 *
 * @param valueClass what the value is, such as `user` or `ip`: equal texts of different classes give different tokens.
 */
export function tokenOf(mac: Mac, orgId: string, valueClass: string, value: string): string {
  const bytes = mac(`audit-token/v1\n${orgId}\n${valueClass}\n${value}`);
  return `t1_${bytes.subarray(0, 16).toString('base64url')}`;
}
