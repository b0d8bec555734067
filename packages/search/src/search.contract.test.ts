import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClickHouse, migrate, openClickHouse } from '@cairn/adapters';
import { startParts } from '@cairn/local';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { matches, type Row } from '../test/matches.ts';
import { queries } from '../test/queries.ts';
import { conditionOf, FIELDS, readSearch, type SearchField, type SearchQuery, writeSearch } from './index.ts';

const own = new AsyncDisposableStack();
let clickhouse: ClickHouse;
let rows: readonly Row[];

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-search-'));
  own.defer(() => rmSync(directory, { recursive: true, force: true }));
  const parts = own.use(await startParts({ directory, parts: ['clickhouse'], ports: 'any' }));
  clickhouse = own.use(openClickHouse({ url: parts.part('clickhouse').address }));
  await migrate(clickhouse, {
    directory: join(import.meta.dirname, '..', '..', '..', 'deploy', 'clickhouse'),
  });
  await clickhouse.insertRows('cairn.events', fc.sample(storedRow, { numRuns: 400, seed: 7 }).map(numbered));
  const columns = [...FIELDS.values()].map(shown).join(', ');
  rows = await clickhouse.query<Row>(
    `SELECT ${columns} FROM cairn.events`,
    {},
    { output_format_json_quote_64bit_integers: 0 },
  );
}, 90_000);
afterAll(() => own.disposeAsync());

test('ClickHouse finds for a search exactly the events that its meaning says, whatever the search', async () => {
  expect(rows).toHaveLength(400);
  let found = 0;
  await fc.assert(
    fc.asyncProperty(fc.oneof(queries, likely()), async (query) => {
      const { sql, parameters } = conditionOf(query, NOW);
      const hits = await clickhouse.query<{ offset: number }>(
        `SELECT offset FROM cairn.events WHERE ${sql} ORDER BY offset`,
        parameters,
        { output_format_json_quote_64bit_integers: 0 },
      );
      const wanted = rows.filter((row) => matches(query, row, NOW)).map((row) => row['offset']);
      found += wanted.length;
      expect(hits.map(({ offset }) => offset)).toEqual(
        wanted.toSorted((one, other) => Number(one) - Number(other)),
      );
    }),
    { numRuns: 300, seed: 11 },
  );
  // The searches are not all of the kind that finds nothing.
  expect(found).toBeGreaterThan(3_000);
}, 120_000);

test('a value can end no literal and begin no statement', async () => {
  for (const hostile of [
    "' OR 1=1 --",
    "\\' OR 1 --",
    '{search_0:String}',
    '%',
    '_',
    "'); DROP TABLE cairn.events; --",
    '\u0000',
  ]) {
    const query = readSearch(
      writeSearch({
        kind: 'field',
        field: 'agent_id',
        condition: { kind: 'is', value: { kind: 'exact', text: hostile } },
      }),
    );
    const { sql, parameters } = conditionOf(query, NOW);
    expect(await clickhouse.query(`SELECT 1 FROM cairn.events WHERE ${sql}`, parameters)).toEqual([]);
  }
  expect(await clickhouse.query('SELECT toUInt32(count()) AS n FROM cairn.events')).toEqual([{ n: 400 }]);
});

const NOW = Date.parse('2026-11-25T12:00:00Z') * 1_000;
const TEXTS = [
  '',
  'delete_file',
  'delete_all',
  'Delete_File',
  'tools/call',
  'a b',
  'crm',
  '100%',
  'a_b',
  'x\\y',
  '"q"',
  'AND',
  'a*b',
  'aXb',
];

/** As the table holds it. Bytes are ASCII, so that JSON carries them. */
const storedRow: fc.Arbitrary<Record<string, unknown>> = fc.record(
  Object.fromEntries(
    [...FIELDS.values()]
      .filter(({ kind, name }) => kind !== 'id' && name !== 'received_at')
      .map((field) => [field.name, storedValue(field)]),
  ),
);

function storedValue(field: SearchField): fc.Arbitrary<unknown> {
  const orNull = <T>(of: fc.Arbitrary<T>) =>
    'nullable' in field && field.nullable && field.name !== 'leaf_hash' ? fc.option(of) : of;
  const text = fc.constantFrom(...TEXTS);
  switch (field.kind) {
    case 'number':
      return orNull(fc.constantFrom(0, 1, 99, 500, 501, 2_000));
    case 'time':
      return fc.constantFrom(
        ...[
          '2026-11-25T08:00:01.5Z',
          '2026-11-25T00:00:00Z',
          '2026-11-24T23:59:59.999999Z',
          '2026-11-25T11:30:00Z',
        ],
      );
    case 'choice':
      return fc.constantFrom(...field.choices);
    case 'hash':
      return orNull(fc.constantFrom('a', 'b').map((letter) => letter.repeat(field.bytes)));
    case 'list': {
      const [part] = /'(\w+)'/.exec(field.column)?.slice(1) ?? [];
      const rest = part === 'rule' ? { count: 1 } : { name: 'n' };
      const item: fc.Arbitrary<unknown> =
        part === undefined ? text : text.map((one) => ({ [part]: one, ...rest }));
      return fc.array(item, { maxLength: 2 });
    }
    default:
      return text;
  }
}

function numbered(row: Record<string, unknown>, at: number): Record<string, unknown> {
  return {
    ...row,
    offset: at,
    received_at: '2026-11-25 08:00:02.000',
    timestamp: String(row['timestamp']).replace('T', ' ').replace('Z', ''),
    event_id_lag_ms: 0,
    event_id_random: `${at}`.padStart(10, 'x'),
    call_id_random: at % 3 === 0 ? null : `${at}`.padStart(10, 'y'),
  };
}

function shown(field: SearchField): string {
  const { name } = field;
  if (field.kind === 'time') return `toUnixTimestamp64Micro(toDateTime64(${name}, 6, 'UTC')) AS ${name}`;
  if (field.kind === 'id') return `if(${name} IS NULL, NULL, toString(${name})) AS ${name}`;
  if (field.kind === 'hash') return `lower(hex(${name})) AS ${name}`;
  return field.kind === 'list' && field.column !== name ? `${field.column} AS ${name}` : name;
}

/** Searches over the values that the rows have. */
function likely(): fc.Arbitrary<SearchQuery> {
  const one = fc
    .constantFrom(
      ...TEXTS.filter((text) => text !== '').flatMap((text) => [
        `agent:"${text.replaceAll(/["\\]/g, '\\$&')}"`,
        `"${text.replaceAll(/["\\]/g, '\\$&')}"`,
      ]),
      ...[
        'latency_ms:>500',
        'latency_ms:[1 TO 500]',
        'latency_ms:{1 TO 500}',
        'latency_ms:*',
        'tool:delete*',
        'tool:a?b',
        'data_classes:crm',
        'data_classes:a*',
        'redactions:delete_*',
      ],
      ...[
        'timestamp:2026-11-25',
        'timestamp:<2026-11-25',
        'timestamp:>now-1h',
        'timestamp:[2026-11-24 TO 2026-11-25T08:00Z]',
        'received_at:2026-11-25T08:00:02Z',
      ],
      ...[
        `tool_hash:${'61'.repeat(32)}`,
        `trace_id:${'62'.repeat(16)}`,
        `parameters_hash:${'61'.repeat(32)}`,
        'tool_hash:*',
        'call_id:*',
        'rule:*',
        'approval_id:*',
        'decision:*',
      ],
    )
    .map(readSearch);
  return fc.oneof(
    one,
    one.map((of): SearchQuery => ({ kind: 'not', of })),
    fc.tuple(fc.constantFrom('and' as const, 'or' as const), one, one, fc.boolean()).map(
      ([kind, left, right, isNot]): SearchQuery => ({
        kind,
        of: [isNot ? { kind: 'not', of: left } : left, right],
      }),
    ),
  );
}
