import { AUDIT_EVENT_SCHEMA_ID, ingestedSchema } from '@cairn/event';
import { fieldColumns } from './field-columns.ts';

/** Columns that hold raw bytes travel as hex in JSON. */
const BINARY = /^(Nullable\()?FixedString\(\d+\)\)?$/;

/** How rows as JSON become rows of cairn.events: the columns that JSON is read as, and what fills the table's. */
function textColumns(): {
  readonly structure: string;
  readonly columns: readonly { readonly name: string; readonly expression: string }[];
} {
  const { fields, columns } = fieldColumns(ingestedSchema(AUDIT_EVENT_SCHEMA_ID).fields);
  const binary = new Map(
    fields.filter(({ type }) => BINARY.test(type)).map(({ name, type }) => [name, /\d+/.exec(type)?.[0]]),
  );
  return {
    structure: fields
      .map(
        ({ name, type }) =>
          `${name} ${binary.has(name) ? type.replace(/FixedString\(\d+\)/, 'String') : type}`,
      )
      .join(', '),
    columns: columns.map(({ name, expression }) => ({
      name,
      expression: expression.replaceAll(/\b\w+\b/g, (word) =>
        binary.has(word) ? `toFixedString(unhex(${word}), ${binary.get(word)})` : word,
      ),
    })),
  };
}

/** The statement whose body is rows as JSON, one in a line. */
export function insertOfText(): string {
  const { structure, columns } = textColumns();
  return `INSERT INTO cairn.events (${columns.map(({ name }) => name).join(', ')})
SELECT ${columns.map(({ expression }) => expression).join(', ')}
FROM input('${structure.replaceAll("'", "\\'")}')
FORMAT JSONEachRow`;
}

/** An event beside the facts of the log, as an object of which JSON can be made. */
export function textRow(
  facts: Readonly<Record<string, unknown>>,
  event: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const row: Record<string, unknown> = { ...facts };
  for (const name in event) {
    const value = event[name];
    row[name] = Buffer.isBuffer(value) ? value.toString('hex') : value;
  }
  // Microseconds and milliseconds as ClickHouse reads times from JSON: text.
  row['timestamp'] = timeOf(
    Math.floor(Number(event['timestamp']) / 1_000),
    Number(event['timestamp']) % 1_000,
  );
  row['received_at'] = timeOf(Number(facts['received_at']), 0);
  return row;
}

function timeOf(ms: number, micros: number): string {
  const text = new Date(ms).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 23)}${micros === 0 ? '' : String(micros).padStart(3, '0')}`;
}
