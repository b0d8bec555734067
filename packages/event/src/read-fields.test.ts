import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { events } from '../test/events.ts';
import { decodeDatum, encodeDatum } from './codec.ts';
import { type AuditEvent, SCHEMAS } from './event.gen.ts';
import { fieldReader } from './read-fields.ts';
import { FIELDS_MAX, walkDatum } from './walk.ts';

describe('single fields of a datum', () => {
  test('are what decoding all of it gives, whichever are read, wherever the datum lies', () => {
    const names = SCHEMAS.at(-1)!.schema.fields.map(({ name }) => name as keyof AuditEvent);
    const places = new Uint16Array(FIELDS_MAX + 3);
    fc.assert(
      fc.property(events, fc.subarray(names), fc.nat(40), (event, fields, before) => {
        const datum = encodeDatum(event);
        const bytes = new Uint8Array(before + datum.length + 5).fill(0xff);
        bytes.set(datum, before);
        expect(walkDatum(bytes, SCHEMAS.at(-1)!.id, before, before + datum.length, places, 3).ok).toBe(true);
        const whole = decodeDatum(datum) as unknown as Record<string, unknown>;
        const read = fieldReader(new Set(fields))(bytes, before, places, 3);
        expect(read).toEqual(Object.fromEntries(fields.map((name) => [name, whole[name]])));
      }),
    );
  });
});
