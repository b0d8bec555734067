import { type AuditEvent, formatUuid, hexOf, releasedSchema, SCHEMAS } from '@cairn/event';
import type { FieldName, RuleEvent } from './rule.ts';

/** A value as rules see it. */
export type Scalar = string | number;

/**
 * A field of a rule: a field of the schema, or a part of one.
 *
 * | in the schema            | in a rule                                                        |
 * | ------------------------ | ---------------------------------------------------------------- |
 * | string, enum             | text; the empty text is absent                                   |
 * | int, long                | number; null is absent                                           |
 * | fixed, bytes             | lower-case hex; `event_id`, `call_id`, `parent_event_id` as UUID |
 * | array of strings         | any of the texts                                                 |
 * | array of records         | `field.member`: any of the members                               |
 * | `detail`                 | the text, or `detail.key` for one value of its JSON object       |
 */
export interface Field {
  /** As the rule writes it. */
  readonly name: string;
  /** What the reader has to decode. */
  readonly column: FieldName;
  readonly form: 'text' | 'enum' | 'number' | 'list';
  /** For an enum. */
  readonly symbols: readonly string[] | undefined;
  /** The value, or undefined when it is absent. A list has at least one value. */
  readonly read: (event: RuleEvent) => Scalar | readonly Scalar[] | undefined;
}

const UUIDS = new Set(['event_id', 'call_id', 'parent_event_id']);

/** The field of this name, or undefined when the schema has none. */
export function fieldNamed(name: string): Field | undefined {
  const known = fields.get(name);
  if (known !== undefined || !name.startsWith('detail.')) return known;
  return detailField(name);
}

/** Names that a rule may use, those of the schema first; `detail.<key>` besides. */
export function fieldNames(): string[] {
  return [...fields.keys()];
}

/** Fields in which keywords are searched: every text and list. */
export function searchedFields(): Field[] {
  return [...fields.values()].filter(({ form, column }) => form !== 'number' && !BINARY.has(column));
}

/** Fields of the schema whose value is one of a few symbols. */
export const ENUM_COLUMNS: ReadonlySet<FieldName> = new Set(
  (releasedSchema(SCHEMAS.at(-1)?.id ?? 0).schema.fields as readonly { name: string; type: unknown }[])
    .filter(({ type }) => (bare(type) as { readonly type?: string }).type === 'enum')
    .map(({ name }) => name as FieldName),
);

const BINARY = new Set<string>();
const fields = new Map<string, Field>();

for (const { name, type } of releasedSchema(SCHEMAS.at(-1)?.id ?? 0).schema.fields) {
  const column = name as FieldName;
  for (const field of fieldsOf(column, bare(type))) fields.set(field.name, field);
}

/** The type without its null. */
function bare(type: unknown): unknown {
  return Array.isArray(type) ? type.find((branch) => branch !== 'null') : type;
}

function fieldsOf(column: FieldName, type: unknown): Field[] {
  const name: string = column;
  if (type === 'string') return [field(name, column, 'text', (event) => event[column] || undefined)];
  const {
    type: kind,
    items,
    symbols,
  } = (typeof type === 'object' ? type : { type }) as {
    type: string;
    items?: unknown;
    symbols?: readonly string[];
  };
  if (kind === 'enum') {
    return [{ ...field(name, column, 'enum', (event) => event[column] || undefined), symbols }];
  }
  if (kind === 'int' || kind === 'long')
    return [field(name, column, 'number', (event) => event[column] ?? undefined)];
  if (kind === 'array') {
    const list = (event: RuleEvent): readonly unknown[] => (event[column] ?? []) as readonly unknown[];
    if (items === 'string') {
      return [
        field(name, column, 'list', (event) => {
          const texts = list(event);
          return texts.length === 0 ? undefined : texts;
        }),
      ];
    }
    const { fields: members } = items as { fields: readonly { name: string }[] };
    return members.map((member) =>
      field(`${name}.${member.name}`, column, 'list', (event) => {
        const values = list(event).map((item) => (item as Record<string, unknown>)[member.name]);
        return values.length === 0 ? undefined : values;
      }),
    );
  }
  BINARY.add(column);
  const text = UUIDS.has(name) ? formatUuid : hexOf;
  return [
    field(name, column, 'text', (event) => {
      const bytes = event[column] as Uint8Array | null | undefined;
      return bytes === null || bytes === undefined ? undefined : text(bytes);
    }),
  ];
}

function field(
  name: string,
  column: FieldName,
  form: Field['form'],
  read: (event: RuleEvent) => unknown,
): Field {
  return { name, column, form, symbols: undefined, read: read as Field['read'] };
}

/** One scalar of the JSON object in `detail`; absent when the detail is no object or has no such key. */
function detailField(name: string): Field {
  const key = name.slice('detail.'.length);
  return field(name, 'detail' satisfies keyof AuditEvent, 'text', ({ detail }) => {
    if (detail === undefined || !detail.startsWith('{')) return undefined;
    try {
      const value: unknown = JSON.parse(detail)[key];
      if (typeof value === 'boolean') return String(value);
      return typeof value === 'string' || typeof value === 'number' ? value : undefined;
    } catch {
      return undefined;
    }
  });
}
