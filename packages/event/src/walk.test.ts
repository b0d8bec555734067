import { describe, expect, test } from '@jest/globals';
import avsc, { type Schema } from 'avsc';
import fc from 'fast-check';
import { events } from '../test/events.ts';
import {
  AUDIT_EVENT_SCHEMA_ID,
  completeEvent,
  DATUM_BYTES_MAX,
  decodeDatum,
  encodeDatum,
  releasedSchema,
  walkDatum,
  walkNextDatum,
} from './index.ts';

const type = avsc.Type.forSchema(releasedSchema(AUDIT_EVENT_SCHEMA_ID).schema as unknown as Schema, {
  wrapUnions: 'never',
});

describe('the walk', () => {
  test('passes over every event that is encoded, and decoding gives it back', () => {
    fc.assert(
      fc.property(events, (event) => {
        const datum = encodeDatum(event);
        expect(walkDatum(datum, AUDIT_EVENT_SCHEMA_ID).ok).toBe(true);
        expect(decodeDatum(datum)).toEqual(event);
      }),
    );
  });

  test('works inside a larger buffer as it does alone', () => {
    fc.assert(
      fc.property(
        events,
        fc.uint8Array({ maxLength: 50 }),
        fc.uint8Array({ maxLength: 50 }),
        (event, before, after) => {
          const datum = encodeDatum(event);
          const buffer = Buffer.concat([before, datum, after]);
          const inside = walkDatum(
            buffer,
            AUDIT_EVENT_SCHEMA_ID,
            before.length,
            before.length + datum.length,
          );
          const alone = walkDatum(datum, AUDIT_EVENT_SCHEMA_ID);
          if (!inside.ok || !alone.ok) throw new Error('refused');
          const at = before.length;
          expect({ ...inside, prevHashAt: inside.prevHashAt - at, end: inside.end - at }).toEqual(alone);
          expect(walkNextDatum(buffer, AUDIT_EVENT_SCHEMA_ID, at, buffer.length)).toEqual(inside);
          expect(walkNextDatum(buffer, AUDIT_EVENT_SCHEMA_ID, at, at + datum.length - 1).ok).toBe(false);
        },
      ),
    );
  });

  test('names the organisation that stands in a buffer now, whatever stood there before', () => {
    const datumOf = (org_id: string): Uint8Array =>
      encodeDatum({ ...fc.sample(events, { numRuns: 1, seed: 1 })[0]!, org_id });
    // Texts of the same length and edges; a Buffer, whose slice is a view.
    for (const [one, other] of [
      ['aXc', 'aYc'],
      ['aXcde', 'aYcde'],
      ['abcdXefgh', 'abcdYefgh'],
    ] as const) {
      const [first, second] = [datumOf(one), datumOf(other)];
      const buffer = Buffer.from(first);
      expect(walkDatum(buffer, AUDIT_EVENT_SCHEMA_ID)).toMatchObject({ ok: true, orgId: one });
      buffer.set(second);
      expect(walkDatum(buffer, AUDIT_EVENT_SCHEMA_ID)).toMatchObject({ ok: true, orgId: other });
      buffer.set(first);
      expect(walkDatum(buffer, AUDIT_EVENT_SCHEMA_ID)).toMatchObject({ ok: true, orgId: one });
    }
  });

  test("tells texts apart whose characters have the numbers of another one's bytes", () => {
    // U+00C3 U+00A9 as text, and the bytes C3 A9, which are U+00E9.
    const [base] = fc.sample(events, { numRuns: 1, seed: 1 });
    for (const org_id of ['\u00c3\u00a9', '\u00e9', '\u00c3\u00a9', 'ab', '\u00e9']) {
      expect(walkDatum(encodeDatum({ ...base!, org_id }), AUDIT_EVENT_SCHEMA_ID)).toMatchObject({
        orgId: org_id,
      });
    }
  });

  test('finds the end of a changed datum exactly where the walk of that length agrees', () => {
    fc.assert(
      fc.property(events, fc.nat(), fc.integer({ min: 1, max: 255 }), (event, place, flip) => {
        const datum = Uint8Array.from([...encodeDatum(event), ...new Uint8Array(40)]);
        const at = place % (datum.length - 40);
        datum[at] = (datum[at] ?? 0) ^ flip;
        const next = walkNextDatum(datum, AUDIT_EVENT_SCHEMA_ID, 0, datum.length);
        if (next.ok) expect(walkDatum(datum, AUDIT_EVENT_SCHEMA_ID, 0, next.end)).toEqual(next);
        else {
          // It may have become shorter or longer by the strings' lengths of one byte.
          for (let end = Math.max(0, datum.length - 300); end <= datum.length; end += 1) {
            if (walkDatum(datum, AUDIT_EVENT_SCHEMA_ID, 0, end).ok)
              throw new Error(`a datum of ${end} bytes`);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test('keeps a byte order mark: organisations that differ by one are two', () => {
    const base = {
      kind: 'tool_call',
      phase: 'single',
      capture: 'gateway',
      timestamp: 1_795_000_000_000_000,
    } as const;
    const datum = encodeDatum({
      ...completeEvent(
        { ...base, org_id: '\ufeffacme', gateway_id: 'gw-1' },
        { event_id: new Uint8Array(16) },
      ),
      epoch: 1,
      seq: 0,
      prev_hash: new Uint8Array(32),
      key_id: '00000000',
      signature: null,
    });
    expect(walkDatum(datum, AUDIT_EVENT_SCHEMA_ID)).toMatchObject({ ok: true, orgId: '\ufeffacme' });
  });

  test('accepts a mutated datum only when it is canonical: decoded and encoded again it is the same bytes', () => {
    const mutation = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      value: fc.nat(255),
      how: fc.nat(2),
    });
    let accepted = 0;
    fc.assert(
      fc.property(events, fc.array(mutation, { minLength: 1, maxLength: 4 }), (event, mutations) => {
        let datum = Buffer.from(encodeDatum(event));
        for (const { at, value, how } of mutations) {
          const index = Math.floor(at * datum.length);
          if (how === 0) datum[index] = value;
          else if (how === 1)
            datum = Buffer.concat([datum.subarray(0, index), Buffer.from([value]), datum.subarray(index)]);
          else datum = Buffer.concat([datum.subarray(0, index), datum.subarray(index + 1)]);
        }
        if (!walkDatum(datum, AUDIT_EVENT_SCHEMA_ID).ok) return;
        accepted += 1;
        expect(type.toBuffer(type.fromBuffer(datum)).equals(datum)).toBe(true);
      }),
      { numRuns: 3_000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  test('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        expect(walkDatum(noise, AUDIT_EVENT_SCHEMA_ID)).toHaveProperty('ok');
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the walk refuses by name', () => {
  const plain = encodeDatum({
    ...completeEvent(
      {
        org_id: 'acme',
        gateway_id: 'gw',
        kind: 'tool_call',
        phase: 'single',
        capture: 'gateway',
        timestamp: 1,
        data_classes: ['MARK'],
      },
      { event_id: new Uint8Array(16) },
    ),
    epoch: 1,
    seq: 0,
    prev_hash: new Uint8Array(32),
    key_id: '00000000',
    signature: null,
  });
  const with_ = (at: number, remove: number, insert: string): Uint8Array =>
    Buffer.concat([plain.subarray(0, at), Buffer.from(insert, 'hex'), plain.subarray(at + remove)]);
  const KIND_AT = 16 + 1 + 4;
  const LIST_AT = Buffer.from(plain).indexOf('MARK') - 2;

  test.each<[string, Uint8Array, string, number]>([
    ['datum.trailing', Buffer.concat([plain, plain]), '', plain.length],
    ['datum.truncated', plain.subarray(0, plain.length - 1), 'signature', plain.length - 1],
    ['varint.non-minimal', with_(16, 1, '8800'), 'org_id', 16],
    ['varint.overflow', with_(16, 1, 'ffffffffffffffffff01'), 'org_id', 16],
    ['enum.range', with_(KIND_AT, 1, '7e'), 'kind', KIND_AT],
    ['union.range', with_(KIND_AT + 2, 1, '04'), 'call_id', KIND_AT + 2],
    ['string.utf8', with_(17, 1, 'ff'), 'org_id', 17],
    [
      'string.too-long',
      Buffer.concat([plain.subarray(0, 16), Buffer.from('828004', 'hex'), new Uint8Array(40_000)]),
      'org_id',
      16,
    ],
    // A block with its size before it, which Avro allows and canonical form does not.
    ['array.form', with_(LIST_AT, 1, '010a'), 'data_classes', LIST_AT],
    // Two thousand million items in a hundred bytes.
    ['datum.truncated', with_(LIST_AT, 1, 'feffffff0f'), 'data_classes', LIST_AT],
    ['datum.too-long', new Uint8Array(DATUM_BYTES_MAX + 1), '', 0],
  ])('%s', (reason, datum, field, at) => {
    const refused = walkDatum(datum, AUDIT_EVENT_SCHEMA_ID);
    if (refused.ok) throw new Error('accepted');
    expect(refused.reason).toBe(reason);
    expect(refused.field).toBe(field);
    // Where it was noticed: at the value, or behind the length that claims too much.
    expect(refused.at).toBeGreaterThanOrEqual(at);
    expect(refused.at).toBeLessThanOrEqual(at + 40_000);
  });

  test('a number beyond 2^52, which a double would read as its neighbour', () => {
    const [largest, beyond] = [2 ** 52 - 1, 2 ** 52].map((value) => {
      const long = avsc.Type.forSchema('long').toBuffer(value);
      // epoch stands before seq 0, prev_hash, key_id and signature.
      const at = plain.length - (1 + 1 + 32 + 9 + 1);
      return walkDatum(
        Buffer.concat([plain.subarray(0, at), long, plain.subarray(at + 1)]),
        AUDIT_EVENT_SCHEMA_ID,
      );
    });
    expect(largest).toMatchObject({ ok: true, epoch: 2 ** 52 - 1 });
    expect(beyond).toMatchObject({ ok: false, reason: 'varint.overflow', field: 'epoch' });
  });

  test('schema.unknown', () => {
    expect(walkDatum(plain, 99)).toEqual({ ok: false, reason: 'schema.unknown', at: 0, field: '' });
  });
});
