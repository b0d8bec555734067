import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FUNCTIONS, SqlMistake, writeStatement } from './index.ts';

const TABLES = new Map([
  ['events', '(EVENTS)'],
  ['calls', '(CALLS)'],
]);
const written = (text: string): string => writeStatement(text, TABLES);

/** Ways around the rules that others found, or that ClickHouse would allow: other tables, table functions, settings, failing functions. */
const BYPASSES = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'test', 'bypasses.json'), 'utf8'),
) as {
  class: string;
  sql: string;
}[];
/** Of these the meaning here is another than in ClickHouse, and harmless: an alias, a text. */
const HARMLESS: Readonly<Record<string, string>> = {
  'SELECT * FROM events ASOF JOIN calls ON 1':
    'SELECT * FROM (EVENTS) AS `ASOF` INNER JOIN (CALLS) AS `calls` ON 1',
  "SELECT * FROM events WHERE org_id = 'x' OR '1'='1' ; --":
    "SELECT * FROM (EVENTS) AS `events` WHERE ((`org_id` = 'x') OR ('1' = '1'))",
  'SELECT `a``b` FROM events': 'SELECT `a` AS `b` FROM (EVENTS) AS `events`',
  "SELECT * FROM events WHERE agent_id = 'x\\' OR 1=1 --'":
    "SELECT * FROM (EVENTS) AS `events` WHERE (`agent_id` = 'x\\' OR 1=1 --')",
};

describe('a statement', () => {
  test.each([
    [
      'select tool_name, count() n from events group by all order by n desc limit 5',
      'SELECT `tool_name`, count() AS `n` FROM (EVENTS) AS `events` GROUP BY ALL ORDER BY `n` DESC LIMIT 5',
    ],
    [
      "SELECT * FROM cairn.events WHERE NOT a = 1 OR b IN ('x', 'y') AND c LIKE 'd%'",
      "SELECT * FROM (EVENTS) AS `events` WHERE ((NOT (`a` = 1)) OR ((`b` IN ('x', 'y')) AND (`c` LIKE 'd%')))",
    ],
    [
      "SELECT quantile(0.9)(latency_ms), countIf(decision = 'deny') FROM calls AS c",
      "SELECT quantile(0.9)(`latency_ms`), countIf((`decision` = 'deny')) FROM (CALLS) AS `c`",
    ],
    [
      'WITH x AS (SELECT 1 AS a) SELECT a FROM x UNION ALL SELECT 2',
      'WITH `x` AS (SELECT 1 AS `a`) SELECT `a` FROM `x` AS `x` UNION ALL SELECT 2',
    ],
    [
      'SELECT e.agent_id FROM events e LEFT JOIN calls c ON e.call_id = c.call_id',
      'SELECT `e`.`agent_id` FROM (EVENTS) AS `e` LEFT JOIN (CALLS) AS `c` ON (`e`.`call_id` = `c`.`call_id`)',
    ],
    [
      'SELECT toDate(timestamp) d, x % 2, arrayMap(v -> upper(v), data_classes)[1] FROM events WHERE timestamp > now() - INTERVAL 7 days',
      "SELECT toDate(parseDateTime64BestEffortOrNull(toString(`timestamp`), 6, 'UTC')) AS `d`, moduloOrZero(`x`, 2), arrayMap(`v` -> upper(`v`), `data_classes`)[1] FROM (EVENTS) AS `events` WHERE (`timestamp` > (now() - INTERVAL 7 DAY))",
    ],
    [
      "SELECT CASE WHEN a IS NULL THEN 'n' ELSE 'it''s' END",
      "SELECT CASE WHEN (`a` IS NULL) THEN 'n' ELSE 'it\\'s' END",
    ],
  ])('%s is written anew', (text, expected) => expect(written(text)).toBe(expected));

  test('that goes around the rules is refused, or means something harmless: each of the corpus', () => {
    expect(BYPASSES.length).toBeGreaterThan(200);
    for (const { sql } of BYPASSES) {
      let said: string | undefined;
      try {
        said = written(sql);
      } catch (error) {
        if (!(error instanceof SqlMistake)) throw error;
        expect(error.at).toBeLessThanOrEqual(sql.length);
      }
      expect([sql, said]).toEqual([sql, HARMLESS[sql]]);
    }
  });

  test('whatever it is, holds names in quotes, texts with their escapes, our subqueries and functions of the list alone', () => {
    const pieces = fc.constantFrom(
      ...'SELECT FROM events calls WHERE AND OR NOT IN ( ) , . * = < \' \\ ` " -- /* */ ; a b 1 [ ] -> || count( throwIf( system tables AS JOIN ON LIMIT 5 GROUP BY UNION ALL LIKE IS NULL CASE WHEN THEN END INTERVAL day { } SETTINGS FORMAT'.split(
        ' ',
      ),
      "'x'",
      "'%'",
      '"q"',
      '`b`',
      ' ',
      '\n',
    );
    const near = fc.array(pieces, { maxLength: 14 }).map((some) => `SELECT ${some.join(' ')}`);
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(near, fc.string()), (text) => {
        let said: string;
        try {
          said = written(text);
        } catch (error) {
          if (!(error instanceof SqlMistake)) throw error;
          return;
        }
        accepted += 1;
        const bare = said
          .replaceAll(/'(?:[^'\\]|\\.)*'/gs, ' T ')
          .replaceAll(/`[A-Za-z_][\w ]*`/g, ' N ')
          .replaceAll(/\(EVENTS\)|\(CALLS\)/g, ' S ');
        expect(bare).toMatch(/^[\w\s(),.*=<>!+\-/[\]]*$/);
        for (const [, name] of bare.matchAll(/([A-Za-z_]\w*)\(/g))
          expect(FUNCTIONS.has(name!.toLowerCase()) || WRITTEN.has(name!)).toBe(true);
      }),
      { numRuns: 20_000 },
    );
    expect(accepted).toBeGreaterThan(50);
  });

  test('that is too long or too deep is refused', () => {
    expect(() => written(`SELECT '${'x'.repeat(20_000)}'`)).toThrow('too long');
    expect(() => written(`SELECT ${'('.repeat(30)}1${')'.repeat(30)}`)).toThrow('nested too deeply');
  });
});

const WRITTEN = new Set([
  'toInt64OrNull',
  'toFloat64OrNull',
  'parseDateTime64BestEffortOrNull',
  'moduloOrZero',
]);
