import { AUDIT_EVENT_SCHEMA_ID } from '@cairn/event';
import { avroColumns } from '@cairn/ingest';

export interface FieldColumns {
  /** The fields in the types of ClickHouse as which an Avro reader has them. */
  readonly fields: readonly { readonly name: string; readonly type: string }[];
  /** What fills the table, over the fields. */
  readonly columns: readonly { readonly name: string; readonly expression: string }[];
}

/** How these fields come into the table when an Avro reader of ClickHouse has read them. */
export function fieldColumns(fields: readonly { readonly name: string }[]): FieldColumns {
  const names = new Set(fields.map(({ name }) => name));
  const { structure, columns } = avroColumns(AUDIT_EVENT_SCHEMA_ID);
  return {
    fields: splitColumns(structure)
      .map((text) => ({
        name: text.slice(0, text.indexOf(' ')),
        type: text.slice(text.indexOf(' ') + 1),
      }))
      .filter(({ name }) => names.has(name) && name !== 'linked'),
    columns: columns
      .filter(({ field }) => names.has(field))
      // A peer knows no streams, so it stores every link.
      .map(({ name, expression }) => ({ name, expression: name === 'prev_hash' ? name : expression })),
  };
}

/** Splits `a Int8, b Tuple(c Int8, d Int8)` at its outer commas. */
function splitColumns(structure: string): string[] {
  const columns: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at <= structure.length; at += 1) {
    const character = structure[at];
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (character === undefined || (character === ',' && depth === 0)) {
      columns.push(structure.slice(from, at).trim());
      from = at + 1;
    }
  }
  return columns;
}
