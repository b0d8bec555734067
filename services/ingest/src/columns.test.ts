import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AUDIT_EVENT_SCHEMA_ID, ingestedSchema, PREFIX_FIELDS } from '@cairn/event';
import { EVENT_COLUMNS, typeName } from '@cairn/native';
import { describe, expect, test } from '@jest/globals';
import { avroColumns, columnType, UUIDS } from './encoder.ts';

const SQL = readFileSync(join(import.meta.dirname, '../../../deploy/clickhouse/0001_events.sql'), 'utf8');

interface Column {
  readonly name: string;
  readonly type: string;
  readonly computed: boolean;
}

/** The columns of cairn.events, read from the migration as it stands. */
const columns: Column[] = SQL.slice(SQL.indexOf('cairn.events'), SQL.indexOf('INDEX by_event_id'))
  .split('\n')
  .filter((line) => /^ {4}[a-z_]+ [A-Z]/.test(line))
  .map((line) => {
    const [, name = '', rest = ''] = /^ {4}([a-z_]+) (.*?),?$/.exec(line) ?? [];
    return {
      name,
      type: rest.replace(/ (CODEC|COMMENT|MATERIALIZED|DEFAULT)\b.*$/, ''),
      computed: / MATERIALIZED /.test(rest),
    };
  });

const withoutDictionary = (type: string): string => type.replaceAll(/LowCardinality\((\w+)\)/g, '$1');

describe('the columns of cairn.events', () => {
  const fields = ingestedSchema(AUDIT_EVENT_SCHEMA_ID).fields.filter(({ name }) => name !== 'linked');

  test('are the facts of the log and then every field of the schema, by the same names in the same order', () => {
    expect(columns.filter(({ computed }) => !computed).map(({ name }) => name)).toEqual(
      fields.map(({ name }) => name),
    );
  });

  test.each(fields.map(({ name, type }) => [name, type] as const))(
    '%s holds every value that the schema allows',
    (name, type) => {
      const column = columns.find((candidate) => candidate.name === name);
      // A link that is as it should be is not stored: the leaf hash of the event before is it.
      const wanted = name === 'prev_hash' ? `Nullable(${columnType(type)})` : columnType(type);
      const asUuid = wanted.replace('FixedString(16)', 'UUID');
      expect(withoutDictionary(column?.type ?? '')).toBe(UUIDS.has(name) ? asUuid : wanted);
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

  test('are sent in the very types of the table, so that nothing is converted', () => {
    for (const { name, plan } of EVENT_COLUMNS.filter((column) => column.name !== 'linked')) {
      const column = columns.find((candidate) => candidate.name === name);
      const sent = name === 'prev_hash' ? `Nullable(${typeName(plan)})` : typeName(plan);
      expect(`${name} ${column?.type}`).toBe(`${name} ${sent}`);
    }
  });
});
