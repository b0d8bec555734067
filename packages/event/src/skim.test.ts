import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { events } from '../test/events.ts';
import { AUDIT_EVENT_SCHEMA_ID, type AuditEvent, encodeDatum } from './index.ts';
import { NOTING_SKIMS, SKIMS, WALKS } from './walk.gen.ts';
import { FIELDS_MAX } from './walk.ts';
import { type Cursor, emptyNotes, type WalkNotes } from './walk-steps.ts';

const plainly = SKIMS[AUDIT_EVENT_SCHEMA_ID]!;
const skim = NOTING_SKIMS[AUDIT_EVENT_SCHEMA_ID]!;
const walk = WALKS[AUDIT_EVENT_SCHEMA_ID]!;

/** The same event in ASCII, with numbers that count something. */
function plain(event: AuditEvent): AuditEvent {
  const ascii = (text: string) => text.replaceAll(/[^ -~]/g, '-').slice(0, 4_000);
  const count = (number: number | null) => number && Math.abs(number);
  return {
    ...event,
    tool_name: ascii(event.tool_name),
    error_message: ascii(event.error_message),
    data_classes: event.data_classes.map(ascii),
    redactions: event.redactions.map(({ rule, count }) => ({ rule: ascii(rule), count: count >> 5 })),
    delegation: event.delegation.map(({ principal, scope }) => ({
      principal: ascii(principal),
      scope: ascii(scope),
    })),
    step: event.step && Math.abs(event.step >> 5),
    parameters_size: count(event.parameters_size),
    epoch: Math.abs(event.epoch),
    seq: Math.abs(event.seq),
  };
}

interface Noted extends WalkNotes {
  /** Where each field begins. */
  readonly places: readonly number[];
}

/** What the walk alone notes of a datum, or undefined when it refuses it. */
function walked(bytes: Uint8Array, start: number, end: number): Noted | undefined {
  const cursor: Cursor = { at: start, end, value: 0, reason: 'datum.truncated', items: 0 };
  const notes = emptyNotes();
  const places = new Uint16Array(FIELDS_MAX + 1);
  const whole = walk(bytes, cursor, notes, places, 1) && cursor.at === end;
  return whole ? { ...notes, field: '', places: [...places] } : undefined;
}

/** What the skim notes of a datum, or undefined when it leaves it to the walk. */
function skimmed(bytes: Uint8Array, start: number, end: number): Noted | undefined {
  const notes = emptyNotes();
  const places = new Uint16Array(FIELDS_MAX + 1);
  const view = new DataView(bytes.buffer);
  const to = skim(bytes, view, bytes.byteOffset, start, end, notes, places, 1);
  const others = emptyNotes();
  expect([plainly(bytes, view, bytes.byteOffset, start, end, others), others]).toEqual([to, notes]);
  return to === end ? { ...notes, places: [...places] } : undefined;
}

describe('the skim', () => {
  test('passes nothing that the walk refuses, and notes the same', () => {
    const passed = { whole: 0, changed: 0 };
    const change = fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255));
    fc.assert(
      fc.property(events, fc.array(change, { maxLength: 2 }), (event, changes) => {
        const datum = encodeDatum(plain(event)).slice();
        for (const [where, byte] of changes) datum[Math.floor(where * datum.length)] = byte;
        const notes = skimmed(datum, 0, datum.length);
        if (notes === undefined) return;
        expect(notes).toEqual(walked(datum, 0, datum.length));
        passed[changes.length === 0 ? 'whole' : 'changed'] += 1;
      }),
      { numRuns: 5_000 },
    );
    expect(passed.whole).toBeGreaterThan(1_000);
    expect(passed.changed).toBeGreaterThan(1_000);
  });

  test('reads nothing outside the datum, wherever that is cut off', () => {
    fc.assert(
      fc.property(events, fc.nat(20), (event, before) => {
        const whole = encodeDatum(plain(event));
        for (let length = 0; length <= whole.length; length += 1 + (length >> 4)) {
          const outside: string[] = [];
          // Somewhere in a larger buffer, as datums lie.
          const base = 3 * before;
          const bytes = new Uint8Array(new ArrayBuffer(base + before + length + 64), base, before + length);
          bytes.set(whole.subarray(0, length), before);
          const watched = new Proxy(bytes, {
            get: (target, name) => {
              const at = typeof name === 'string' ? Number(name) : Number.NaN;
              if (at < before || at >= before + length) outside.push(String(name));
              return Reflect.get(target, name, target);
            },
          });
          const view = new DataView(bytes.buffer);
          const watchedAt = (at: number, size: number): number => {
            if (at < base + before || at + size > base + before + length) outside.push(`${at} of the view`);
            return at;
          };
          const watchedView = {
            getInt8: (at: number) => view.getInt8(watchedAt(at, 1)),
            getInt32: (at: number) => view.getInt32(watchedAt(at, 4)),
          };
          const places = new Uint16Array(FIELDS_MAX);
          skim(watched, watchedView, base, before, before + length, emptyNotes(), places, 0);
          expect(outside).toEqual([]);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('passes every event of plain texts and numbers', () => {
    fc.assert(
      fc.property(events, (event) => {
        const datum = encodeDatum(plain(event));
        expect(skimmed(datum, 0, datum.length)).toBeDefined();
      }),
    );
  });

  test('leaves every event to the walk whose texts are not ASCII, wherever the one byte stands', () => {
    const [event] = fc.sample(events, { numRuns: 1, seed: 7 });
    // Lengths about those at which reading goes by words, and lengths of one and of two bytes.
    for (const length of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200]) {
      const text = 'n'.repeat(length);
      const base = { ...plain(event!), tool_name: text, detail: text, org_id: text };
      const datum = encodeDatum(base);
      expect(skimmed(datum, 0, datum.length)).toBeDefined();
      const texts = [...datum.keys()].filter((at) => datum[at] === 0x6e && isInside(datum, at, text));
      expect(texts.length).toBeGreaterThanOrEqual(3 * length);
      for (const at of texts) {
        const changed = datum.slice();
        changed[at] = 0xee;
        expect(skimmed(changed, 0, changed.length)).toBeUndefined();
      }
    }
  });
});

/** Whether a byte stands in a run of its like that is as long as the text. */
function isInside(datum: Uint8Array, at: number, text: string): boolean {
  let [from, to] = [at, at];
  while (datum[from - 1] === 0x6e) from -= 1;
  while (datum[to] === 0x6e) to += 1;
  return to - from === text.length && (datum[from - 1] === 2 * text.length || text.length > 63);
}
