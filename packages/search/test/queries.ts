import fc from 'fast-check';
import { FIELDS, type SearchField, type SearchQuery, type Value } from '../src/index.ts';

/** Texts with everything that means something in a search. */
const text = fc.oneof(
  fc.constantFrom(
    'delete_file',
    'delete_all',
    'tools/call',
    'a b',
    'crm',
    '100%',
    'a_b',
    'x\\y',
    '"q"',
    'AND',
    'to',
    '-5',
    'a:b',
  ),
  fc.string({ minLength: 1, maxLength: 8 }),
);

const value: fc.Arbitrary<Value> = fc.oneof(
  text.map((written): Value => ({ kind: 'exact', text: written })),
  fc
    .array(
      fc.oneof(
        text.map((literal) => ({ literal })),
        fc.constantFrom({ wild: '*' } as const, { wild: '?' } as const),
      ),
      {
        minLength: 1,
        maxLength: 4,
      },
    )
    .map((pieces) =>
      pieces.filter((piece, at) => !('literal' in piece && 'literal' in (pieces[at - 1] ?? {}))),
    )
    .filter((pieces) => pieces.some((piece) => 'wild' in piece))
    .map((pieces): Value => ({ kind: 'pattern', pieces })),
);

const TIMES = [
  '2026-11-25',
  '2026-11-25T08:00Z',
  '2026-11-25T08:00:01.5Z',
  'now',
  'now-1h',
  'now-2d',
  'now+1w',
];

function fieldQuery(field: SearchField): fc.Arbitrary<SearchQuery> {
  const is = (of: fc.Arbitrary<string>): fc.Arbitrary<SearchQuery> =>
    of.map((written) => ({
      kind: 'field',
      field: field.name,
      condition: { kind: 'is', value: { kind: 'exact', text: written } },
    }));
  const present: SearchQuery = {
    kind: 'field',
    field: field.name,
    condition: { kind: 'is', value: { kind: 'pattern', pieces: [{ wild: '*' }] } },
  };
  const ordered = (of: fc.Arbitrary<string>): fc.Arbitrary<SearchQuery> =>
    fc.oneof(
      is(of),
      fc.tuple(fc.constantFrom('>', '>=', '<', '<=' as const), of).map(
        ([operator, written]): SearchQuery => ({
          kind: 'field',
          field: field.name,
          condition: { kind: 'compare', operator: operator as '>', value: written },
        }),
      ),
      fc.tuple(of, of, fc.boolean(), fc.boolean()).map(
        ([from, to, fromIncluded, toIncluded]): SearchQuery => ({
          kind: 'field',
          field: field.name,
          condition: { kind: 'range', from, to, fromIncluded, toIncluded },
        }),
      ),
    );
  switch (field.kind) {
    case 'number':
      return ordered(fc.integer({ min: -5, max: 3_000 }).map(String));
    case 'time':
      return ordered(fc.constantFrom(...TIMES));
    case 'choice':
      return fc.oneof(is(fc.constantFrom(...field.choices)), fc.constant(present));
    case 'id':
      return fc.oneof(is(fc.uuid()), fc.constant(present));
    case 'hash': {
      const digits = fc.string({
        unit: fc.constantFrom(...'0123456789abcdef'),
        minLength: field.bytes * 2,
        maxLength: field.bytes * 2,
      });
      return fc.oneof(is(digits), fc.constant(present));
    }
    default:
      return fc.oneof(
        value.map(
          (written): SearchQuery => ({
            kind: 'field',
            field: field.name,
            condition: { kind: 'is', value: written },
          }),
        ),
        fc.constant(present),
      );
  }
}

const isSearchable = (written: Value): boolean =>
  written.kind === 'exact' || written.pieces.some((piece) => 'literal' in piece);

/** Any query that can be written, over all fields, some levels deep. */
export const queries: fc.Arbitrary<SearchQuery> = fc.letrec<{ query: SearchQuery }>((tie) => ({
  query: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(
      value.filter(isSearchable).map((written): SearchQuery => ({ kind: 'text', value: written })),
      fc.constantFrom(...FIELDS.values()).chain(fieldQuery),
    ),
    tie('query').map((of): SearchQuery => ({ kind: 'not', of })),
    fc
      .tuple(
        fc.constantFrom('and' as const, 'or' as const),
        fc.array(tie('query'), { minLength: 2, maxLength: 3 }),
      )
      .map(([kind, of]): SearchQuery => ({ kind, of })),
  ),
})).query;
