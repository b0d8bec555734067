import { canonicalJson } from './keyed.ts';
import { isClean, isSecretName } from './scan.ts';

export interface Leaf {
  /** Path: `customer.email`, `items[].sku`. */
  readonly field: string;
  /** Its last name. */
  readonly name: string;
  readonly text: string;
}

const DEPTH_MAX = 8;

/** Texts, numbers and booleans of a value with their paths; lists and maps below the depth are passed over. */
export function* leavesOf(value: unknown, field: string, depth: number): Generator<Leaf> {
  if (value === null || value === undefined || depth > DEPTH_MAX) return;
  if (Array.isArray(value)) {
    for (const entry of value.slice(0, 1_000)) yield* leavesOf(entry, `${field}[]`, depth + 1);
  } else if (typeof value === 'object') {
    for (const [name, entry] of Object.entries(value)) {
      // A name that holds a secret or a personal value is not written down, and so nothing below it is kept.
      if (name.length > 64 || !(isSecretName(name) || isClean(name))) continue;
      yield* leavesOf(entry, field === '' ? name : `${field}.${name}`, depth + 1);
    }
  } else {
    const text = typeof value === 'string' ? value : canonicalJson(value);
    yield { field, name: field.replaceAll('[]', '').split('.').at(-1) ?? '', text };
  }
}

/** The longest beginning of a text that has at most so many bytes in UTF-8. */
export function beginningOf(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text.toWellFormed(), 'utf8');
  if (bytes.length <= bytesMax) return bytes.toString('utf8');
  let end = Math.max(0, bytesMax - 3);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.subarray(0, end).toString('utf8')}…`;
}

/** A beginning of a text that takes at most so many bytes between the quotes of a JSON string, where `"`, `\\` and controls take several. */
export function beginningInJson(text: string, bytesMax: number): string {
  for (let size = bytesMax; ; ) {
    const kept = beginningOf(text, size);
    const used = bytesInJson(kept);
    if (used <= bytesMax || size <= 0) return kept;
    size = Math.min(size - 1, Math.floor((size * bytesMax) / used));
  }
}

/** What a text takes between the quotes of a JSON string, in UTF-8. */
export function bytesInJson(text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) - 2;
}
