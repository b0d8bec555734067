import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { copiedFirst, copyInsert, copyName } from './copy-form.ts';
import { FILTER_COLUMNS, type Question } from './question.ts';
import { avroSource, copySource, eventsIn, HOT } from './statements.ts';

const ORIGIN = 'audit.example/audit.events.standard/3';
const asked = (more: Partial<Question>): Question => ({
  over: 'both',
  filters: {},
  order: 'newest',
  limit: 10,
  ...more,
});

describe('a statement', () => {
  test('holds no value that was asked for, whatever it is: all are bound', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...FILTER_COLUMNS),
        fc.array(
          fc.string({ minLength: 1 }).map((text) => `\u0001${text}'); DROP`),
          { minLength: 1, maxLength: 3 },
        ),
        (column, values) => {
          const { sql, parameters } = eventsIn(HOT, asked({ filters: { [column]: values } }));
          expect(sql).not.toContain('\u0001');
          expect([parameters[column]].flat()).toEqual(values);
        },
      ),
    );
  });

  test('names the buckets and holds neither their addresses nor a key', () => {
    const key = 'segment/audit.events.standard/3/00000000000000000000-1.avro';
    expect(avroSource('cairn_archive', 1, [key]).from).toMatch(
      /FROM s3\(cairn_archive, filename = \{keys:String\}/,
    );
    expect(copySource('cairn_copies', [copyName(ORIGIN, 0)]).from).toMatch(/^s3\(cairn_copies, filename = /);
    expect(copyInsert('cairn_copies', copyName(ORIGIN, 0))).toMatch(
      /^INSERT INTO FUNCTION s3\(cairn_copies, /,
    );
  });

  test('is not made of a collection or an object whose name could be more than a name', () => {
    const key = 'segment/audit.events.standard/3/00000000000000000000-1.avro';
    expect(() => avroSource("x, 'http://elsewhere'", 1, [key])).toThrow(TypeError);
    for (const strange of ["a', 'b", 'a}', 'a*', '../a', 'a,b', ''])
      expect(() => avroSource('cairn_archive', 1, [strange])).toThrow(TypeError);
  });
});

describe('the name of a copy', () => {
  test('leads back to the first leaf of its segment, and no other name does', () => {
    expect(copyName(ORIGIN, 65_536)).toBe('copy/audit.events.standard/3/00000000000000065536.parquet');
    expect(copiedFirst(ORIGIN, copyName(ORIGIN, 65_536))).toBe(65_536);
    for (const name of [
      'copy/audit.events.standard/4/00000000000000065536.parquet',
      'copy/audit.events.standard/3/65536.parquet',
      'copy/audit.events.standard/3/00000000000000065536.parquet.tmp',
      'segment/audit.events.standard/3/00000000000000065536.parquet',
    ])
      expect(copiedFirst(ORIGIN, name)).toBeUndefined();
  });
});
