/** How ClickHouse keeps the values of one Avro type. */
export type Plan =
  | { readonly kind: 'string' }
  /** A string of which there are few; or fixed bytes that may be absent, of which there are few: empty where absent. */
  | { readonly kind: 'dictionary'; readonly fixed?: number }
  /** Fixed bytes that are absent more often than not: a string, empty where absent. */
  | { readonly kind: 'rare'; readonly size: number }
  | { readonly kind: 'fixed'; readonly size: number }
  /** 16 bytes in network order, which ClickHouse keeps as two little-endian halves. */
  | { readonly kind: 'uuid' }
  | { readonly kind: 'int32' }
  | { readonly kind: 'int64'; readonly type: string }
  | { readonly kind: 'float'; readonly size: 4 | 8 }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'enum'; readonly symbols: readonly string[] }
  | { readonly kind: 'nullable'; readonly of: Plan }
  | { readonly kind: 'array'; readonly of: Plan }
  | { readonly kind: 'tuple'; readonly fields: readonly PlannedField[] };

export interface PlannedField {
  readonly name: string;
  readonly plan: Plan;
}

export interface SchemaField {
  readonly name: string;
  readonly type: unknown;
  readonly default?: unknown;
}

interface Complex {
  readonly type: unknown;
  readonly name?: string;
  readonly logicalType?: string;
  readonly size?: number;
  readonly symbols?: readonly string[];
  readonly items?: unknown;
  readonly fields?: readonly SchemaField[];
}

/** What a schema cannot say about its fields. */
export interface Hints {
  /** Fields whose fixed 16 bytes are UUIDs. */
  readonly uuids: ReadonlySet<string>;
  /** Fields whose strings, or fixed bytes that may be absent, are few, or whose array's items are. */
  readonly dictionaries: ReadonlySet<string>;
  /** Fields whose fixed bytes are absent more often than not. */
  readonly rare?: ReadonlySet<string>;
  /** Fields of whose fixed bytes only the first so many are kept. */
  readonly cut?: ReadonlyMap<string, number>;
}

/**
 * The columns for the fields of a record. Named types are known from where they are first defined on.
 *
 * @throws Error for a type that has no column: unions other than of null and one type, nullable arrays, records or enums.
 */
export function planOf(
  fields: readonly SchemaField[],
  { uuids, dictionaries, rare, cut }: Hints,
): PlannedField[] {
  const known = new Map<string, Complex>();
  return fields.map(({ name, type }) => {
    const plan = planType(type, known);
    if (uuids.has(name)) return { name, plan: asUuid(plan) };
    if (rare?.has(name)) return { name, plan: asRare(plan) };
    const kept = cut?.get(name);
    if (kept !== undefined) return { name, plan: cutTo(plan, kept) };
    return { name, plan: dictionaries.has(name) ? asDictionary(plan) : plan };
  });
}

function planType(type: unknown, known: Map<string, Complex>): Plan {
  if (Array.isArray(type)) {
    if (type.length !== 2 || type[0] !== 'null')
      throw new Error('only unions of null and one type have a column');
    const of = planType(type[1], known);
    if (['array', 'tuple', 'nullable', 'enum'].includes(of.kind))
      throw new Error(`a nullable ${of.kind} has no column`);
    return { kind: 'nullable', of };
  }
  if (typeof type === 'string') {
    const primitive = PRIMITIVES[type];
    if (primitive) return primitive;
    const definition = known.get(type);
    if (!definition) throw new Error(`no column for the type ${type}`);
    return planType(definition, known);
  }
  const complex = type as Complex;
  if (complex.name !== undefined) known.set(complex.name, complex);
  switch (complex.type) {
    case 'enum':
      return { kind: 'enum', symbols: complex.symbols ?? [] };
    case 'fixed':
      return { kind: 'fixed', size: complex.size ?? 0 };
    case 'array':
      return { kind: 'array', of: planType(complex.items, known) };
    case 'record':
      return {
        kind: 'tuple',
        fields: (complex.fields ?? []).map((field) => ({
          name: field.name,
          plan: planType(field.type, known),
        })),
      };
    case 'long':
      if (complex.logicalType === 'timestamp-micros') return { kind: 'int64', type: "DateTime64(6, 'UTC')" };
      if (complex.logicalType === 'timestamp-millis') return { kind: 'int64', type: "DateTime64(3, 'UTC')" };
      return planType('long', known);
    default:
      return planType(complex.type, known);
  }
}

const PRIMITIVES: Readonly<Record<string, Plan>> = {
  string: { kind: 'string' },
  bytes: { kind: 'string' },
  int: { kind: 'int32' },
  long: { kind: 'int64', type: 'Int64' },
  float: { kind: 'float', size: 4 },
  double: { kind: 'float', size: 8 },
  boolean: { kind: 'boolean' },
};

function asUuid(plan: Plan): Plan {
  if (plan.kind === 'nullable') return { kind: 'nullable', of: asUuid(plan.of) };
  if (plan.kind === 'fixed' && plan.size === 16) return { kind: 'uuid' };
  throw new Error('a UUID has 16 fixed bytes');
}

function asDictionary(plan: Plan): Plan {
  if (plan.kind === 'array') return { kind: 'array', of: asDictionary(plan.of) };
  if (plan.kind === 'string') return { kind: 'dictionary' };
  if (plan.kind === 'nullable' && plan.of.kind === 'fixed')
    return { kind: 'dictionary', fixed: plan.of.size };
  throw new Error(`a ${plan.kind} has no dictionary`);
}

function asRare(plan: Plan): Plan {
  if (plan.kind === 'nullable' && plan.of.kind === 'fixed') return { kind: 'rare', size: plan.of.size };
  throw new Error('only fixed bytes that may be absent are rare');
}

function cutTo(plan: Plan, size: number): Plan {
  if (plan.kind === 'nullable') return { kind: 'nullable', of: cutTo(plan.of, size) };
  if (plan.kind === 'fixed' && plan.size >= size) return { kind: 'fixed', size };
  throw new Error('only fixed bytes are cut');
}

/** ClickHouse's name of the type. https://clickhouse.com/docs/sql-reference/data-types */
export function typeName(plan: Plan): string {
  switch (plan.kind) {
    case 'string':
    case 'rare':
      return 'String';
    case 'fixed':
      return `FixedString(${plan.size})`;
    case 'uuid':
      return 'UUID';
    case 'int32':
      return 'Int32';
    case 'int64':
      return plan.type;
    case 'float':
      return plan.size === 4 ? 'Float32' : 'Float64';
    case 'boolean':
      return 'Bool';
    case 'dictionary':
    case 'enum':
      return 'LowCardinality(String)';
    case 'nullable':
      return `Nullable(${typeName(plan.of)})`;
    case 'array':
      return `Array(${typeName(plan.of)})`;
    case 'tuple':
      return `Tuple(${plan.fields.map(({ name, plan: of }) => `${name} ${typeName(of)}`).join(', ')})`;
  }
}
