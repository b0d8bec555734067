import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AUDIT_EVENT_SCHEMA_ID, ingestedSchema, PREFIX_FIELDS } from '@cairn/event';
import { columnType, EVENT_COLUMNS, typeName } from '@cairn/native';
import { describe, expect, test } from '@jest/globals';
import { avroColumns } from './encoder.ts';

const SQL = readFileSync(join(import.meta.dirname, '../../../deploy/clickhouse/0001_events.sql'), 'utf8');

interface Column {
  readonly name: string;
  readonly type: string;
  /** Filled by an expression and not by an insert. */
  readonly computed: boolean;
}

/** Columns that hold a field in parts; the field itself is computed from them. */
const PARTS: ReadonlySet<string> = new Set([
  'event_id_lag_ms',
  'event_id_random',
  'call_id_lag_ms',
  'call_id_random',
]);

/** What the table keeps otherwise than it is sent, by 0001_events.sql. */
const STORED: Readonly<Record<string, string>> = {
  // A link that is as it should be is not stored: the leaf hash of the event before is it.
  prev_hash: 'String',
  signature: 'String',
  parameters_hash: 'Nullable(FixedString(16))',
  response_hash: 'Nullable(FixedString(16))',
  event_id: 'UUID',
  call_id: 'Nullable(UUID)',
  parent_event_id: 'Nullable(UUID)',
};

/** The columns of cairn.events, read from the migration as it stands. */
const columns: Column[] = SQL.slice(SQL.indexOf('cairn.events'), SQL.indexOf('INDEX by_event_id'))
  .split('\n')
  .filter((line) => /^ {4}[a-z_]+ [A-Z]/.test(line))
  .map((line) => {
    const [, name = '', rest = ''] = /^ {4}([a-z_]+) (.*?),?$/.exec(line) ?? [];
    return {
      name,
      type: rest.replace(/ (CODEC|COMMENT|MATERIALIZED|ALIAS)\b.*$/, ''),
      computed: / (MATERIALIZED|ALIAS) /.test(rest),
    };
  });

const withoutDictionary = (type: string): string =>
  type.replaceAll(/LowCardinality\((\w+|Nullable\(\w+\(\d+\)\))\)/g, '$1');

describe('the columns of cairn.events', () => {
  const fields = ingestedSchema(AUDIT_EVENT_SCHEMA_ID).fields.filter(({ name }) => name !== 'linked');

  test('are the facts of the log and then every field of the schema, by the same names in the same order', () => {
    const read = columns.filter(({ name }) => !PARTS.has(name) && name !== 'append_day');
    expect(read.map(({ name }) => name)).toEqual(fields.map(({ name }) => name));
  });

  test.each(fields.map(({ name, type }) => [name, type] as const))(
    '%s holds every value that the schema allows',
    (name, type) => {
      const column = columns.find((candidate) => candidate.name === name);
      expect(withoutDictionary(column?.type ?? '')).toBe(STORED[name] ?? columnType(type));
    },
  );

  test('hold the eight names of the first audit record as they are', () => {
    const names = columns.map(({ name }) => name);
    for (const name of [
      'agent_id',
      'user_id',
      'tool_name',
      'action',
      'parameters_hash',
      'result_status',
      'timestamp',
      'latency_ms',
    ]) {
      expect(names).toContain(name);
      expect(PREFIX_FIELDS.map((field) => field.name)).not.toContain(name);
    }
  });

  test('are all filled by an insert', () => {
    expect(avroColumns(AUDIT_EVENT_SCHEMA_ID).columns.map(({ name }) => name)).toEqual(
      columns.filter(({ computed }) => !computed).map(({ name }) => name),
    );
  });

  test('are sent in the very types of the table, so that nothing is converted that is kept as it is', () => {
    const CONVERTED = new Set(['event_id', 'call_id', 'tool_hash', 'policy_set_hash']);
    for (const { name, plan } of EVENT_COLUMNS) {
      if (CONVERTED.has(name)) continue;
      const column = columns.find((candidate) => candidate.name === name);
      expect(`${name} ${column?.type}`).toBe(`${name} ${typeName(plan)}`);
    }
  });
});
