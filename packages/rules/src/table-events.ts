// Events as ClickHouse keeps them (deploy/clickhouse), read as rules see them. A query selects `tableColumns` and answers in
// JSONEachRow with numbers unquoted; a row of it is an event by `eventOfRow`.
import { bytesOfHex, parseUuid, SCHEMAS } from '@cairn/event';
import type { FieldName, RuleEvent } from './rule.ts';

/** What `cairn.events` keeps less of than events have, so that a rule which reads it would find something else. */
export const NOT_IN_TABLE: ReadonlySet<FieldName> = new Set<FieldName>([
  'parameters_hash',
  'response_hash',
  'prev_hash',
]);

type Form = 'plain' | 'uuid' | 'bytes' | 'micros';

/** Whatever is none of these is bytes, under one of several names. */
const PLAIN: ReadonlySet<unknown> = new Set(['string', 'int', 'long', 'enum', 'array']);

const forms = new Map<string, Form>(
  (SCHEMAS.at(-1)?.schema.fields ?? []).map(({ name, type }) => [name, formOf(name, type)]),
);

function formOf(name: string, type: unknown): Form {
  if (name === 'timestamp') return 'micros';
  const bare = Array.isArray(type) ? type.find((branch) => branch !== 'null') : type;
  const kind = typeof bare === 'object' && bare !== null ? (bare as { type: string }).type : bare;
  if (PLAIN.has(kind)) return 'plain';
  return ['event_id', 'call_id', 'parent_event_id'].includes(name) ? 'uuid' : 'bytes';
}

/** The list behind SELECT. Its names begin with `e_`, so that a condition on a column is one on the column. */
export function tableColumns(fields: Iterable<FieldName>): string {
  return [...fields]
    .map((name) => {
      const form = forms.get(name);
      if (form === 'micros') return `toUnixTimestamp64Micro(${name}) AS e_${name}`;
      if (form === 'uuid') return `toString(${name}) AS e_${name}`;
      return form === 'bytes' ? `lower(hex(${name})) AS e_${name}` : `${name} AS e_${name}`;
    })
    .join(', ');
}

/** A row of such a query. What is not there is absent. */
export function eventOfRow(row: Readonly<Record<string, unknown>>): RuleEvent {
  const event: Record<string, unknown> = {};
  for (const [column, value] of Object.entries(row)) {
    if (!column.startsWith('e_')) continue;
    const name = column.slice(2);
    event[name] = fieldOf(forms.get(name), value);
  }
  return event as RuleEvent;
}

function fieldOf(form: Form | undefined, value: unknown): unknown {
  if (value === null || typeof value !== 'string') return value;
  if (form === 'uuid') return parseUuid(value);
  // A signature that is not there is the empty text in the table.
  return form === 'bytes' ? (value === '' ? null : bytesOfHex(value)) : value;
}
