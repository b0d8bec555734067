import { textOf } from './bytes.ts';
import type { AuditEvent } from './event.gen.ts';
import { AUDIT_EVENT_SCHEMA_ID, SCHEMAS } from './event.gen.ts';
import { releasedSchema } from './schemas.ts';

/** Reads one value where it lies and moves on behind it. */
type Read = (bytes: Uint8Array, cursor: { at: number }) => unknown;

/**
 * Gives some fields of a walked datum where they lie. Each is read when it is asked for, and once.
 *
 * @param places where each field begins, as `walkDatum` noted, counted from the datum's first byte.
 * @returns always the same object: it is this datum's until the next call, and for as long as its bytes and places stay. So are
 *   the bytes of its ids and hashes: who keeps one copies it.
 */
export type FieldReader = (
  bytes: Uint8Array,
  start: number,
  places: Uint16Array,
  into?: number,
) => Partial<AuditEvent>;

/**
 * What reads these fields from datums of one schema. Fields that the writer's schema did not have are absent; enum symbols
 * that today's schema does not know become the enum's default.
 *
 * @param schemaId schema that the datums were written with.
 * @throws Failure `schema.unknown`
 */
export function fieldReader(
  fields: ReadonlySet<keyof AuditEvent>,
  schemaId: number = AUDIT_EVENT_SCHEMA_ID,
): FieldReader {
  const named = new Map<string, Read>();
  const sizes = new Map<string, number>();
  const today = new Map(SCHEMAS.at(-1)?.schema.fields.map(({ name, type }) => [name, type]));
  const cursor = { at: 0 };
  let bytes = new Uint8Array();
  let places = new Uint16Array();
  let [start, into, datum] = [0, 0, 0];
  const event = {};
  for (const [index, { name, type }] of releasedSchema(schemaId).schema.fields.entries()) {
    // Every type is visited, so that a name which a later field refers to is known where it is defined.
    const general = type === 'string' ? recurringText() : readerOf(type, named, today.get(name));
    const size = fixedSizeOf(type, sizes);
    const read = size === undefined ? general : bytesInPlace(size, Array.isArray(type));
    if (!fields.has(name as keyof AuditEvent)) continue;
    let value: unknown;
    let readOf = 0;
    Object.defineProperty(event, name, {
      enumerable: true,
      get() {
        if (readOf === datum) return value;
        cursor.at = start + places[into + index]!;
        value = read(bytes, cursor);
        readOf = datum;
        return value;
      },
    });
  }
  return (itsBytes, itsStart, itsPlaces, itsInto = 0) => {
    bytes = itsBytes as Uint8Array<ArrayBuffer>;
    places = itsPlaces as Uint16Array<ArrayBuffer>;
    [start, into] = [itsStart, itsInto];
    datum += 1;
    return event;
  };
}

/** Of a field that holds so many bytes, or nothing; undefined for any other. Every type is looked at, and where it has a name noted. */
function fixedSizeOf(type: unknown, sizes: Map<string, number>): number | undefined {
  const only = Array.isArray(type) && type.length === 2 && type[0] === 'null' ? (type[1] as unknown) : type;
  if (typeof only === 'string') return sizes.get(only);
  const { type: kind, name, size } = only as ComplexType;
  if (kind === 'fixed') sizes.set(name, size);
  return kind === 'fixed' ? size : undefined;
}

/** Ids and hashes are in every event and kept of few: one array of a field takes them all in turn. */
function bytesInPlace(size: number, isNullable: boolean): Read {
  const taken = new Uint8Array(size);
  return (bytes, cursor) => {
    // The branch of a union is one byte: 0 for null, 2 for the second.
    if (isNullable && bytes[cursor.at++] === 0) return null;
    const { at } = cursor;
    for (let index = 0; index < size; index += 1) taken[index] = bytes[at + index]!;
    return taken;
  };
}

interface ComplexType {
  readonly type: unknown;
  readonly name: string;
  readonly size: number;
  readonly symbols: readonly string[];
  readonly default?: string;
  readonly items: unknown;
  readonly fields: readonly { readonly name: string; readonly type: unknown }[];
}

function readerOf(type: unknown, named: Map<string, Read>, today: unknown): Read {
  if (typeof type === 'string') {
    const read = PRIMITIVES[type] ?? named.get(type);
    if (read === undefined) throw new Error(`the schema has a type ${type} that nothing reads`);
    return read;
  }
  if (Array.isArray(type)) {
    const branches = type.map((branch) => readerOf(branch, named, undefined));
    return (bytes, cursor) => branches[long(bytes, cursor)]!(bytes, cursor);
  }
  const complex = type as ComplexType;
  const read = complexReader(complex, named, today as ComplexType | undefined);
  if (complex.name !== undefined) named.set(complex.name, read);
  return read;
}

function complexReader(complex: ComplexType, named: Map<string, Read>, today: ComplexType | undefined): Read {
  switch (complex.type) {
    case 'enum': {
      const known = new Set(today?.symbols ?? complex.symbols);
      const symbols = complex.symbols.map((symbol) => (known.has(symbol) ? symbol : today?.default));
      // One byte tells of 64 symbols.
      if (symbols.length <= 64) return (bytes, cursor) => symbols[bytes[cursor.at++]! >> 1];
      return (bytes, cursor) => symbols[long(bytes, cursor)];
    }
    case 'fixed':
      return (bytes, cursor) => bytes.slice(cursor.at, (cursor.at += complex.size));
    case 'array': {
      const item = readerOf(complex.items, named, undefined);
      // The walk has seen to it that there is one block with a positive count, or none.
      return (bytes, cursor) => {
        const items: unknown[] = [];
        for (let count = long(bytes, cursor); count > 0; count = long(bytes, cursor))
          for (let index = 0; index < count; index += 1) items.push(item(bytes, cursor));
        return items;
      };
    }
    case 'record': {
      const readers = complex.fields.map(({ name, type }) => ({
        name,
        read: readerOf(type, named, undefined),
      }));
      return (bytes, cursor) => {
        const record: Record<string, unknown> = {};
        for (const { name, read } of readers) record[name] = read(bytes, cursor);
        return record;
      };
    }
    default:
      return readerOf(complex.type, named, today);
  }
}

const PRIMITIVES: Readonly<Record<string, Read>> = {
  null: () => null,
  boolean: (bytes, cursor) => bytes[cursor.at++] === 1,
  int: long,
  long,
  string(bytes, cursor) {
    const size = long(bytes, cursor);
    const start = cursor.at;
    cursor.at += size;
    return shortText(bytes, start, size);
  },
  bytes(bytes, cursor) {
    const size = long(bytes, cursor);
    return bytes.slice(cursor.at, (cursor.at += size));
  },
};

/** Texts of one field that are remembered. A power of two. */
const RECURRING_MAX = 8_192;

/**
 * Agents, tools and servers come again and again. The same bytes give the very same text, whose hash a Map then knows and whose
 * making is saved; of two texts that share a place the later one stays.
 */
function recurringText(): Read {
  const texts: (string | undefined)[] = new Array(RECURRING_MAX).fill(undefined);
  return (bytes, cursor) => {
    const size = long(bytes, cursor);
    const start = cursor.at;
    cursor.at += size;
    if (size > 64) return shortText(bytes, start, size);
    let hash = size;
    for (let at = start; at < start + size; at += 1) hash = (Math.imul(hash, 31) + bytes[at]!) | 0;
    const place = (hash ^ (hash >>> 15)) & (RECURRING_MAX - 1);
    const known = texts[place];
    if (known !== undefined && isText(known, bytes, start, size)) return known;
    const text = shortText(bytes, start, size);
    texts[place] = text;
    return text;
  };
}

function isText(text: string, bytes: Uint8Array, start: number, size: number): boolean {
  if (text.length !== size) return false;
  for (let at = 0; at < size; at += 1) {
    const byte = bytes[start + at]!;
    if (byte >= 0x80 || text.charCodeAt(at) !== byte) return false;
  }
  return true;
}

/** Zigzag varint (Avro 1.11, "Binary Encoding"). Numbers of an event are below 2^53; the walk has seen to it. */
function long(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0;
  let factor = 1;
  let byte: number;
  do {
    byte = bytes[cursor.at++]!;
    value += (byte & 0x7f) * factor;
    factor *= 128;
  } while (byte >= 0x80);
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

/** Short ASCII is put together here: the platform's decoder costs more than what it decodes. */
function shortText(bytes: Uint8Array, start: number, size: number): string {
  if (size > 32) return textOf(bytes.subarray(start, start + size));
  let text = '';
  for (let at = start; at < start + size; at += 1) {
    const byte = bytes[at]!;
    if (byte >= 0x80) return textOf(bytes.subarray(start, start + size));
    text += String.fromCharCode(byte);
  }
  return text;
}
