import { Failure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import avsc, { type Schema } from 'avsc';
import fc from 'fast-check';
import { events } from '../test/events.ts';
import {
  AUDIT_EVENT_SCHEMA_ID,
  type AuditEvent,
  completeEvent,
  DATUM_BYTES_MAX,
  datumAt,
  type EventDraft,
  encodeDatum,
  encodeDraft,
  ITEMS_MAX,
  releasedSchema,
  STRING_BYTES_MAX,
  walkDatum,
} from './index.ts';

const type = avsc.Type.forSchema(releasedSchema(AUDIT_EVENT_SCHEMA_ID).schema as unknown as Schema, {
  wrapUnions: 'never',
});

/** avsc takes bytes as Buffers only, and wants text well-formed: it writes what is not as no UTF-8. */
function forAvsc(value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(forAvsc);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, forAvsc(inner)]));
}

/** What avsc makes of an event, when it takes it and the walk passes it; undefined otherwise. */
function judged(event: unknown): Uint8Array | undefined {
  try {
    const datum = type.toBuffer(forAvsc(event));
    return walkDatum(datum, AUDIT_EVENT_SCHEMA_ID).ok ? datum : undefined;
  } catch {
    return undefined;
  }
}

/** The datum, or the code of the refusal. */
function encoded(event: unknown): Uint8Array | string {
  try {
    return encodeDatum(event as AuditEvent);
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
}

const draft: EventDraft = {
  org_id: 'acme',
  gateway_id: 'gw',
  kind: 'tool_call',
  phase: 'single',
  capture: 'gateway',
  timestamp: 1,
};
const plain: AuditEvent = {
  ...completeEvent(draft, { event_id: new Uint8Array(16) }),
  epoch: 1,
  seq: 0,
  prev_hash: new Uint8Array(32),
  key_id: '00000000',
  signature: null,
};

const hex = (datum: Uint8Array | string): string =>
  typeof datum === 'string' ? datum : Buffer.from(datum).toString('hex');

/** Values that fit a field or another, or nearly. */
const ODD: readonly unknown[] = [
  ...[null, true, {}, 7n, '', 'unknown', 'deny', 'text'],
  ...[[], [null], [undefined], ['text'], [7], [{}]],
  ...[[{ rule: 'r', count: 1 }], [{ rule: 'r', count: 0.5 }], [{ rule: 7, count: 1 }]],
  ...[[{ principal: 'p', scope: 's' }], [{ name: 'n', token: 't' }], [{ name: 'n', value: null }]],
  ...[0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 127, 128, 2 ** 27, 2 ** 28],
  ...[2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1],
  ...[2 ** 52 - 1, 2 ** 52, 1 - 2 ** 52, 2 ** 53, 2 ** 63],
  ...[0, 1, 8, 15, 16, 17, 32, 64, 65].map((size) => new Uint8Array(size)),
  ...[STRING_BYTES_MAX, STRING_BYTES_MAX + 1].map((size) => 'x'.repeat(size)),
  ...[STRING_BYTES_MAX / 2, STRING_BYTES_MAX / 2 + 1].map((size) => 'é'.repeat(size)),
  ...[ITEMS_MAX, ITEMS_MAX + 1].map((size) => Array.from({ length: size }, () => 'x')),
];

describe('the encoder', () => {
  test('writes every event as avsc does, byte for byte', () => {
    fc.assert(
      fc.property(events, (event) => {
        const datum = encoded(event);
        // Only size may keep an event of this kind from being written.
        if (datum === 'event.too-large')
          expect(type.toBuffer(forAvsc(event)).length).toBeGreaterThan(DATUM_BYTES_MAX);
        else expect(hex(datum)).toBe(hex(type.toBuffer(forAvsc(event))));
      }),
      { numRuns: 1_000 },
    );
  });

  test('refuses the values that avsc or the walk refuses, and no other', () => {
    // avsc takes what every object has, such as `valueOf`, for a symbol of any enum.
    const text = fc.string({ unit: 'binary' }).filter((name) => !(name in {}));
    const odd = fc.oneof(fc.constantFrom(...ODD), text);
    const refusals = { refused: 0, taken: 0 };
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(plain)), odd, (field, value) => {
        const event = { ...plain, [field]: value };
        const datum = encoded(event);
        const wanted = judged(event);
        expect(hex(datum)).toBe(hex(wanted ?? 'event.invalid'));
        refusals[wanted === undefined ? 'refused' : 'taken'] += 1;
      }),
      { numRuns: 5_000 },
    );
    expect(refusals.refused).toBeGreaterThan(1_000);
    expect(refusals.taken).toBeGreaterThan(100);
  });

  test('wants every field: a default is given once, where the draft is completed', () => {
    for (const field of Object.keys(plain)) {
      const { [field as 'seq']: _, ...rest } = plain;
      expect([field, encoded(rest)]).toEqual([field, 'event.invalid']);
    }
  });

  test.each<[string, unknown, string]>([
    ['tool_hash', new Uint8Array(31), 'tool_hash must be 32 bytes'],
    ['kind', 'dance', 'kind must be one of unknown, tool_call'],
    ['phase', 'valueOf', 'phase must be one of unknown, decision, outcome, single'],
    ['step', 2 ** 31, 'step must be a whole number of 32 bits'],
    ['seq', 2 ** 52, 'seq must be a whole number of less than 2^52'],
    ['method', 7, 'method must be a string'],
    ['task', 'x'.repeat(STRING_BYTES_MAX + 1), 'task must take at most 32768 bytes'],
    ['redactions', [{ rule: 'r', count: '1' }], 'redactions.count must be a whole number of 32 bits'],
    ['response_sealed', 'text', 'response_sealed must be bytes'],
  ])('names the field that does not fit: %s', (field, value, message) => {
    expect(() => encodeDatum({ ...plain, [field]: value })).toThrow(message);
  });

  test('counts the items of all lists together, as the walk does', () => {
    const half = Array.from({ length: ITEMS_MAX / 2 }, () => 'x');
    const full = { ...plain, data_classes: half, rules_matched: half };
    expect(hex(encoded(full))).toBe(hex(judged(full)!));
    expect(encoded({ ...full, policy_errors: ['x'] })).toBe('event.invalid');
  });

  test('writes a text alike however it is held: flat, joined, cut out, of one byte or two', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 90 }), fc.string({ maxLength: 700 }), (one, two) => {
        const flat = (text: string): string => JSON.parse(JSON.stringify(text)) as string;
        const joined = one + two;
        const cut = `\u{1f512}${joined}.`.slice(2, -1);
        const wanted = hex(encodeDatum({ ...plain, tool_name: flat(joined) }));
        for (const held of [joined, cut, Buffer.from(joined, 'utf16le').toString('utf16le')])
          expect(hex(encodeDatum({ ...plain, tool_name: held }))).toBe(wanted);
      }),
      { numRuns: 300 },
    );
  });

  test('writes a surrogate without its pair as U+FFFD, so that the event is recorded and can be read', () => {
    for (const broken of ['\ud800', 'a\udc00b', `${'x'.repeat(600)}\ud834`]) {
      expect(encoded({ ...plain, tool_name: broken })).toEqual(
        encodeDatum({ ...plain, tool_name: broken.toWellFormed() }),
      );
    }
  });

  test('takes a datum of exactly the largest size and refuses the next byte by its own code', () => {
    const room = DATUM_BYTES_MAX - encodeDatum({ ...plain, response_sealed: new Uint8Array(9_000) }).length;
    const sized = (more: number) => ({
      ...plain,
      response_sealed: new Uint8Array(9_000 + room + more),
    });
    expect((encoded(sized(0)) as Uint8Array).length).toBe(DATUM_BYTES_MAX);
    expect(encoded(sized(1))).toBe('event.too-large');
  });

  test('says event.too-large however far beyond the size an event is', () => {
    const long = 'x'.repeat(STRING_BYTES_MAX);
    expect(encoded({ ...plain, task: long, detail: long })).toBe('event.too-large');
    expect(encoded({ ...plain, data_classes: Array.from({ length: ITEMS_MAX }, () => long) })).toBe(
      'event.too-large',
    );
    expect(encoded({ ...plain, parameters_sealed: new Uint8Array(10_000_000) })).toBe('event.too-large');
    const many = Array.from({ length: ITEMS_MAX }, () => 'é'.repeat(400));
    expect(encoded({ ...plain, rules_matched: many })).toBe('event.too-large');
    // And what was written of them is not in the way of the next.
    expect(hex(encoded(plain))).toBe(hex(judged(plain)!));
  });

  test('gives each datum bytes of its own, which stay as they are', () => {
    fc.assert(
      fc.property(fc.array(events, { minLength: 2, maxLength: 30 }), (several) => {
        const datums = several.map(encodeDatum);
        const copies = datums.map(hex);
        for (const event of several) encodeDatum(event).fill(0xff);
        expect(datums.map(hex)).toEqual(copies);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a draft', () => {
  test('that does not fit is refused with every mistake named', () => {
    const wrong = {
      ...draft,
      org_id: '',
      kind: undefined,
      step: 0.5,
      redactions: [{ rule: 'r' }],
      stranger: 1,
    };
    expect(() => completeEvent(wrong as unknown as EventDraft, { event_id: new Uint8Array(15) })).toThrow(
      'event_id must be 16 bytes; kind is missing; step must be a whole number of 32 bits; ' +
        'redactions .count must be a whole number of 32 bits; stranger is no field of an event; org_id is empty',
    );
  });

  test('that is encoded before it has its place becomes the same datum there, whatever happens to it in between', () => {
    fc.assert(
      fc.property(events, fc.boolean(), (event, first) => {
        const { epoch, seq, prev_hash, key_id, signature, ...rest } = event;
        const place = { epoch, seq, prev_hash, key_id, signature };
        const wanted = encoded(event);
        // Only an event that has room for its place is one.
        fc.pre(typeof wanted !== 'string');
        const { body, event_id } = encodeDraft(rest, { event_id: new Uint8Array(16) });
        if (first) encodeDraft(draft, { event_id: new Uint8Array(16).fill(1) });
        expect(hex(event_id)).toBe(hex(event.event_id));
        const datum = datumAt(body, place);
        expect(hex(datum)).toBe(hex(wanted));
        // Its bytes are its own: another place of the same body is another datum.
        datum.fill(0xff);
        expect(hex(datumAt(body, place))).toBe(hex(wanted));
      }),
      { numRuns: 300 },
    );
  });

  test('whose datum would be too large only at its place is refused there', () => {
    const { event_id: _, ...rest } = plain;
    const large = { ...draft, response_sealed: new Uint8Array(DATUM_BYTES_MAX) };
    expect(() => encodeDraft(large, { event_id: new Uint8Array(16) })).toThrow('do not fit an entry');
    const used = encodeDraft(draft, { event_id: new Uint8Array(16) }).body.length;
    const full = { ...draft, response_sealed: new Uint8Array(DATUM_BYTES_MAX - used - 3) };
    const { body } = encodeDraft(full, { event_id: new Uint8Array(16) });
    expect(() => datumAt(body, rest)).toThrow('do not fit an entry');
  });

  test('is refused in the same words when it is encoded at once', () => {
    const wrong = { ...draft, kind: 'dance' } as unknown as EventDraft;
    const ids = { event_id: new Uint8Array(16) };
    expect(() => encodeDraft(wrong, ids)).toThrow('kind must be one of unknown, tool_call');
  });

  test('keeps its own id when it has one', () => {
    const event_id = new Uint8Array(16).fill(7);
    expect(completeEvent({ ...draft, event_id }, { event_id: new Uint8Array(16) }).event_id).toBe(event_id);
  });

  test('gets lists of its own for those it leaves out', () => {
    const [one, other] = [1, 2].map(() => completeEvent(draft, { event_id: new Uint8Array(16) }));
    expect(one).toEqual(other);
    expect(one?.data_classes).not.toBe(other?.data_classes);
  });
});
