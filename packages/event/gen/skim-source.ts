/**
 * Source of the functions that skim a schema's datums: what stands in src/skim-steps.ts, written out for each field. There
 * are two, since noting the places of fields costs a third of a skim, and most callers do not ask for them.
 */

interface Field {
  readonly name: string;
  readonly type: unknown;
}

interface ComplexType {
  readonly type: unknown;
  readonly name: string;
  readonly size: number;
  readonly symbols: readonly string[];
  readonly items: unknown;
  readonly fields: readonly Field[];
}

const NOTES: Readonly<Record<string, string>> = {
  org_id: 'notes.orgStart = from;\n  notes.orgEnd = at;',
  gateway_id: 'notes.gatewayStart = from;\n  notes.gatewayEnd = at;',
  key_id: 'notes.keyIdStart = from;\n  notes.keyIdEnd = at;',
  kind: 'notes.kind = byte >> 1;',
  timestamp: 'notes.timestamp = value;',
  epoch: 'notes.epoch = value;',
  seq: 'notes.seq = value;',
  prev_hash: 'notes.prevHashAt = at - 32;',
  signature: 'notes.signed = byte === 2;',
};

/**
 * Texts are looked at in runs: `run` is where the first text begins that was not looked at, or -1. What stands behind it is
 * texts, and lengths, counts, symbols, branches and numbers of one byte, so one look sees that all its texts are ASCII. A run
 * ends before free bytes and before a number of several bytes.
 *
 * @param back bytes that were passed and belong to what ends the run.
 */
const endRun = (back: number): string => `  if (run >= 0) {
  if (!isAscii(view, base + run, base + at${back === 0 ? '' : ` - ${back}`})) return -1;
  run = -1;
  }`;

/** A length of one or two bytes, which is less than any bound that the walk knows; then as many bytes. */
const sized = (after: number, isText: boolean): string => `  byte = bytes[at++]!;
  from = at;
  if (byte !== 0) {
  if (byte >= 0x80) {
  next = bytes[at++]!;
  if (next >= 0x80 || next === 0) return -1;
  byte = (byte & 0x7f) | (next << 7);
  from = at;
${endRun(2)}
  }
${isText ? '  if (run < 0) run = from;' : endRun(1)}
  at += byte >> 1;
  if ((byte & 1) !== 0 || at + ${after} > end) return -1;
  }`;

/** A number; one of one byte stands in a run. */
const plainNumber = (pass: string, after: number): string => `  byte = bytes[at]!;
  if (byte < 0x80) {
  if ((byte & 1) !== 0) return -1;
  at += 1;
  value = byte >> 1;
  } else {
${endRun(0)}
  next = bytes[at + 1]!;
  if (next < 0x80) {
  if ((byte & 1) !== 0 || next === 0) return -1;
  at += 2;
  value = ((byte & 0x7f) | (next << 7)) >> 1;
  } else {
  at = ${pass}(bytes, at);
  if (at < 0) return -1;
  value = skimmed;
  }
  if (at + ${after} > end) return -1;
  }`;

export function skimSource(
  id: number,
  schema: { readonly fields: readonly Field[] },
  noting: boolean,
): string {
  const known = new Map<string, ComplexType>();
  const resolved = (type: unknown): unknown => {
    if (typeof type === 'string') return known.get(type) ?? type;
    const complex = type as ComplexType;
    if (Array.isArray(type) || ['fixed', 'enum', 'record', 'array'].includes(String(complex.type)))
      return type;
    return resolved(complex.type);
  };

  /** The fewest bytes that a value takes: a number, a length, a count and a branch take one. */
  const leastOf = (type: unknown): number => {
    const { type: kind, size, fields } = resolved(type) as ComplexType;
    if (kind === 'fixed') return size;
    return kind === 'record' ? leastOfAll(fields) : 1;
  };
  const leastOfAll = (fields: readonly Field[]): number =>
    fields.reduce((sum, field) => sum + leastOf(field.type), 0);

  /**
   * Source that passes a value, where at least `after` bytes must follow it. That they do is checked behind every value
   * that took more than its least, so that no step reads behind the end: a read behind the buffer's would slow down
   * every later one.
   */
  const step = (unresolved: unknown, after: number): string => {
    const type = resolved(unresolved);
    if (Array.isArray(type)) {
      const [first, second] = type;
      if (first !== 'null' || type.length !== 2) throw new Error('a union must be of null and one type');
      return `  byte = bytes[at++]!;\n  if (byte === 2) {\n${step(second, after)}\n  } else if (byte !== 0) return -1;`;
    }
    if (typeof type === 'string') {
      // A length is read two bytes at a time, a number up to eight.
      if (after < (type === 'int' || type === 'long' ? 7 : 1)) throw new Error(`a ${type} so near the end`);
      switch (type) {
        case 'string':
          return sized(after, true);
        case 'bytes':
          return sized(after, false);
        case 'int':
          return plainNumber('plainInt', after);
        case 'long':
          return plainNumber('plainLong', after);
        default:
          throw new Error(`the generator does not know the Avro type ${type}`);
      }
    }
    const complex = type as ComplexType;
    switch (complex.type) {
      case 'fixed':
        return `${endRun(0)}\n  at += ${complex.size};\n  if (at + ${after} > end) return -1;`;
      case 'enum':
        if (complex.symbols.length > 64) throw new Error(`${complex.name} has too many symbols for one byte`);
        return `  byte = bytes[at++]!;\n  if ((byte & 1) !== 0 || byte >= ${2 * complex.symbols.length}) return -1;`;
      case 'record':
        return complex.fields
          .map((field, place) => step(field.type, leastOfAll(complex.fields.slice(place + 1)) + after))
          .join('\n');
      default: {
        // Counts of one byte: the arrays of a schema together stay far below the walk's bound on items.
        const items = resolved(complex.items) as ComplexType;
        if (JSON.stringify(items).includes('"array"')) throw new Error('an array may not hold arrays');
        return `  byte = bytes[at++]!;\n  if (byte !== 0) {\n  if ((byte & 1) !== 0 || byte >= 0x80) return -1;\n  for (let left = byte >> 1; left > 0; left -= 1) {\n${step(items, after)}\n  }\n  if (bytes[at++] !== 0 || at + ${after} > end) return -1;\n  }`;
      }
    }
  };

  for (const field of schema.fields) rememberTypes(field.type, known);
  const lines = schema.fields.map((field, place) => {
    const note = NOTES[field.name];
    const source = step(field.type, leastOfAll(schema.fields.slice(place + 1)));
    const noted = noting ? `  places[into + ${place}] = at - start;\n` : '';
    return `${noted}${source}${note === undefined ? '' : `\n  ${note}`}`;
  });
  const parameters =
    'bytes: Uint8Array, view: Words, base: number, start: number, end: number, notes: WalkNotes';
  const head = noting
    ? `noteSchema${id}(${parameters}, places: Uint16Array, into: number)`
    : `skimSchema${id}(${parameters})`;
  return `function ${head}: number {\n  if (start + ${leastOfAll(schema.fields)} > end) return -1;\n  let at = start;\n  let run = -1;\n  let byte = 0;\n  let value = 0;\n  let next = 0;\n  let from = 0;\n${lines.join('\n')}\n${endRun(0)}\n  return at;\n}`;
}

function rememberTypes(type: unknown, known: Map<string, ComplexType>): void {
  if (Array.isArray(type)) for (const branch of type) rememberTypes(branch, known);
  if (typeof type !== 'object' || type === null || Array.isArray(type)) return;
  const complex = type as ComplexType;
  if (complex.name !== undefined) known.set(complex.name, complex);
  rememberTypes(complex.items, known);
  for (const field of complex.fields ?? []) rememberTypes(field.type, known);
}
