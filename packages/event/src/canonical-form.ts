/**
 * Parsing Canonical Form of an Avro schema and its fingerprints, as the Avro specification 1.11 defines them under
 * "Transforming into Parsing Canonical Form" and "Schema Fingerprints".
 */

interface Schema {
  readonly type: unknown;
  readonly name?: string;
  readonly namespace?: string;
  readonly fields?: readonly { readonly name: string; readonly type: unknown }[];
  readonly symbols?: readonly string[];
  readonly items?: unknown;
  readonly values?: unknown;
  readonly size?: number;
}

const PRIMITIVES = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string']);

/** The canonical JSON text of a schema: full names, no documents, defaults or logical types, fixed key order. */
export function parsingCanonicalForm(schema: unknown, namespace = ''): string {
  if (typeof schema === 'string') {
    return JSON.stringify(PRIMITIVES.has(schema) ? schema : fullName(schema, namespace));
  }
  if (Array.isArray(schema)) {
    return `[${schema.map((branch) => parsingCanonicalForm(branch, namespace)).join(',')}]`;
  }
  const complex = schema as Schema;
  if (typeof complex.type !== 'string') return parsingCanonicalForm(complex.type, namespace);
  switch (complex.type) {
    case 'array':
      return `{"type":"array","items":${parsingCanonicalForm(complex.items, namespace)}}`;
    case 'map':
      return `{"type":"map","values":${parsingCanonicalForm(complex.values, namespace)}}`;
    case 'record':
    case 'enum':
    case 'fixed':
      return namedForm(complex, complex.type, namespace);
    default:
      return parsingCanonicalForm(complex.type, namespace);
  }
}

function namedForm(schema: Schema, type: 'record' | 'enum' | 'fixed', outer: string): string {
  const name = fullName(schema.name ?? '', schema.namespace ?? outer);
  const namespace = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : '';
  const head = `{"name":${JSON.stringify(name)},"type":"${type}"`;
  if (type === 'enum') return `${head},"symbols":${JSON.stringify(schema.symbols)}}`;
  if (type === 'fixed') return `${head},"size":${schema.size}}`;
  const fields = (schema.fields ?? []).map(
    (field) => `{"name":${JSON.stringify(field.name)},"type":${parsingCanonicalForm(field.type, namespace)}}`,
  );
  return `${head},"fields":[${fields.join(',')}]}`;
}

function fullName(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;
}

const EMPTY = 0xc15d213aa4d7a795n;
let table: bigint[] | undefined;

/** CRC-64-AVRO (Rabin fingerprint) of bytes, eight bytes little-endian as single-object encoding carries it. */
export function crc64Of(bytes: Uint8Array): Uint8Array {
  table ??= Array.from({ length: 256 }, (_, index) => {
    let value = BigInt(index);
    for (let bit = 0; bit < 8; bit += 1) value = (value >> 1n) ^ (EMPTY & -(value & 1n));
    return BigInt.asUintN(64, value);
  });
  let crc = EMPTY;
  for (const byte of bytes) {
    crc = (crc >> 8n) ^ (table[Number((crc ^ BigInt(byte)) & 0xffn)] ?? 0n);
  }
  const out = new Uint8Array(8);
  for (let index = 0; index < 8; index += 1) out[index] = Number((crc >> BigInt(8 * index)) & 0xffn);
  return out;
}
