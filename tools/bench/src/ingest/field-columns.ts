import { AUDIT_EVENT_SCHEMA_ID } from '@cairn/event';
import { avroColumns } from '@cairn/ingest';

export interface FieldColumn {
  readonly name: string;
  /** ClickHouse's type of the field as Avro gives it. */
  readonly type: string;
  /** What fills the table's column. */
  readonly expression: string;
}

/** The columns of these fields as an Avro reader of ClickHouse wants them. */
export function fieldColumns(fields: readonly { readonly name: string }[]): FieldColumn[] {
  const names = new Set(fields.map(({ name }) => name));
  const types = new Map(
    splitColumns(avroColumns(AUDIT_EVENT_SCHEMA_ID).structure).map((text) => {
      const at = text.indexOf(' ');
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
  return avroColumns(AUDIT_EVENT_SCHEMA_ID)
    .columns.filter(({ name }) => names.has(name))
    .map(({ name, expression }) => ({
      name,
      // A peer knows no streams, so it stores every link.
      expression: name === 'prev_hash' ? name : expression,
      type: types.get(name) ?? '',
    }));
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
