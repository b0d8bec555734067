import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { queries } from '../test/queries.ts';
import {
  conditionOf,
  FIELDS,
  necessaryOf,
  readSearch,
  readTime,
  SearchMistake,
  type SearchQuery,
  writeSearch,
} from './index.ts';

const NOW = Date.parse('2026-11-25T12:00:00Z') * 1_000;

/** Lists inside lists of the same kind say the same. */
function flat(query: SearchQuery): SearchQuery {
  if (query.kind === 'not') return { kind: 'not', of: flat(query.of) };
  return query.kind === 'and' || query.kind === 'or' ? { kind: query.kind, of: query.of.map(flat) } : query;
}

const sizeOf = (query: SearchQuery): number =>
  query.kind === 'and' || query.kind === 'or'
    ? query.of.reduce((sum, one) => sum + sizeOf(one), 0)
    : query.kind === 'not'
      ? sizeOf(query.of)
      : 1;
const depthOf = (query: SearchQuery): number =>
  query.kind === 'and' || query.kind === 'or'
    ? 2 + Math.max(...query.of.map(depthOf))
    : query.kind === 'not'
      ? 2 + depthOf(query.of)
      : 1;
const writable = queries.filter(
  (query) => sizeOf(query) <= 50 && depthOf(query) <= 9 && writeSearch(query).length <= 2_000,
);

describe('a search', () => {
  test('that is written from a query reads as the same query', () => {
    fc.assert(
      fc.property(writable, (query) => expect(readSearch(writeSearch(query))).toEqual(flat(query))),
      { numRuns: 2_000 },
    );
  });

  test('binds everything that was asked for: its text holds names and functions of ours alone', () => {
    fc.assert(
      fc.property(writable, (query) => {
        const { sql, parameters } = conditionOf(query, NOW);
        const ours = sql
          .replaceAll(/\{search_\d+:(?:String|Int64|UUID)\}/g, '')
          .replaceAll(/'UTC'|'rule'|'token'|'value'|''|'unknown'/g, '');
        expect(ours).toMatch(/^[a-zA-Z0-9_()=<>!,.\s-]*$/);
        for (const word of ours.match(/[a-z]\w*/gi) ?? [])
          expect(FIELDS.has(word) || WORDS.has(word)).toBe(true);
        expect(Object.keys(parameters)).toEqual([...new Set(sql.match(/search_\d+/g) ?? [])]);
      }),
      { numRuns: 1_000 },
    );
  });

  test('whatever it is, is read or refused with a column inside it and what to write instead', () => {
    const pieces = fc.constantFrom(
      '"',
      '(',
      ')',
      '[',
      ']',
      '{',
      '}',
      'TO',
      'AND',
      'OR',
      'NOT',
      '-',
      'tool:',
      'nope:',
      '>',
      '5',
      ' ',
      '\\',
      '*',
      'x',
      'timestamp:',
      'decision:',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces, { maxLength: 12 }).map((some) => some.join('')),
        ),
        (text) => {
          try {
            readSearch(text);
          } catch (error) {
            if (!(error instanceof SearchMistake)) throw error;
            expect(error.at).toBeLessThanOrEqual(text.length);
            expect(error.instead).toMatch(/^[A-Z].*[.?]/s);
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test.each([
    ['tool_nme:x', 1, 'events have no field tool_nme.', 'Did you mean tool_name?'],
    ['decision:denied', 10, 'decision is never "denied".', 'Did you mean deny?'],
    ['tool:x latency_ms:>fast', 20, 'latency_ms is a whole number.', 'Write for example latency_ms:>500.'],
    ['timestamp:yesterday', 11, 'this is no time.', 'Write one of: 2026-11-25'],
    ['tool:"x', 6, 'a quote is not closed.', 'End it with "'],
    ['(a OR b', 8, 'a bracket is not closed.', 'End it with ).'],
    ['a)', 2, 'a bracket is closed that was not opened.', 'Take it away'],
    ['a AND', 6, 'behind AND something is missing.', 'Write what AND is about'],
    ['OR a', 1, 'OR joins nothing here.', 'Write something before it'],
    ['agent:-5', 7, 'behind agent: a value is missing.', 'a value that begins with - stands in quotes.'],
    ['tool:>x', 7, 'tool_name has no order.', 'Compare it with tool_name:value'],
    ['event_id:abc', 10, 'event_id is a UUID.', 'Write it whole'],
    ['a or b', 3, 'or is looked for as a word.', 'Write OR, or "or" for the word.'],
    ['latency_ms:[1 TO', 17, 'a range is not whole.', 'Write field:[from TO to]'],
  ])('%s is refused at column %d: %s', (text, column, what, instead) => {
    let mistake: unknown;
    try {
      readSearch(text);
    } catch (error) {
      mistake = error;
    }
    expect(mistake).toBeInstanceOf(SearchMistake);
    const { at, message, instead: said } = mistake as SearchMistake;
    expect({ column: at + 1, message }).toEqual({
      column,
      message: `column ${column} of the search: ${what}`,
    });
    expect(said).toContain(instead);
  });

  test('of too many characters, conditions or levels is refused', () => {
    expect(() => readSearch('x'.repeat(2_001))).toThrow('2001 characters');
    expect(() => readSearch('a '.repeat(51))).toThrow('too many conditions');
    expect(() => readSearch(`${'('.repeat(11)}a${')'.repeat(11)}`)).toThrow('nested too deeply');
  });

  test('says what must hold of all that it finds, and nothing more', () => {
    const said = (text: string) => necessaryOf(readSearch(text), NOW);
    const day = Date.parse('2026-11-25T00:00:00Z') * 1_000;
    expect(said('org:acme timestamp:2026-11-25 x')).toEqual({
      from: day,
      to: day + 86_400_000_000,
      values: { org_id: 'acme' },
    });
    expect(said('timestamp:>=now-1h timestamp:>now-2h')).toEqual({ from: NOW - 3_600_000_000, values: {} });
    expect(said('org:acme OR timestamp:now')).toEqual({ values: {} });
    expect(said('NOT org:acme')).toEqual({ values: {} });
  });
});

describe('a time', () => {
  test('stands for as much as it leaves open', () => {
    const long = (text: string) => {
      const { start, end } = readTime(text, NOW)!;
      return end - start;
    };
    expect(
      ['2026-11-25', '2026-11-25T08:00Z', '2026-11-25T08:00:01Z', '2026-11-25T08:00:01.25Z', 'now'].map(long),
    ).toEqual([86_400_000_000, 60_000_000, 1_000_000, 10_000, 1]);
    expect(readTime('2026-11-25T10:00:00+02:00', NOW)?.start).toBe(
      Date.parse('2026-11-25T08:00:00Z') * 1_000,
    );
  });

  test('that is in no calendar is none', () => {
    for (const text of ['2026-02-30', '2026-13-01', '2026-11-25T25:00Z', 'now-1y', 'now-', '1', ''])
      expect(readTime(text, NOW)).toBeUndefined();
  });
});

describe('docs/search.md', () => {
  const page = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'search.md'), 'utf8');
  const examples = [...page.split('## Fields', 1)[0]!.matchAll(/^\| `([^`]+)` +\| /gm)].map(([, text]) =>
    text!.replaceAll('\\|', '|'),
  );

  test('has an example for every kind of condition', () => expect(examples.length).toBeGreaterThan(25));

  test.each(examples.map((text) => [text]))('%s can be searched for, as the page says', (text) => {
    expect(readSearch(writeSearch(readSearch(text)))).toEqual(readSearch(text));
  });

  test('names every field and what it holds', () => {
    for (const { name, kind } of FIELDS.values())
      expect(page).toMatch(new RegExp(`\\| \`${name}\` +\\| ${kind} `));
  });
});

test('the parser is what the grammar says', () => {
  execFileSync(process.execPath, [join(import.meta.dirname, '..', 'gen', 'generate.ts'), '--check']);
});

const WORDS = new Set(
  'AND OR NOT IN IS NULL LIKE ILIKE ifNull has unhex one arrayExists notEmpty tupleElement fromUnixTimestamp64Micro'.split(
    ' ',
  ),
);
