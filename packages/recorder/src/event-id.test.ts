import { expect, test } from '@jest/globals';
import { newEventId } from './event-id.ts';

const textOf = (id: Uint8Array): string => Buffer.from(id).toString('hex');

test('an event id is a UUIDv7 that begins with its time', () => {
  // The time of the example in RFC 9562, appendix A.6: 2022-02-22T19:22:22Z.
  for (const ms of [1_645_557_742_000, 1_645_557_742_000.9]) {
    expect(textOf(newEventId(ms))).toMatch(/^017f22e279b07[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  }
});

test('ids of one moment are all different', () => {
  const ids = Array.from({ length: 5_000 }, () => textOf(newEventId(1)));
  expect(new Set(ids).size).toBe(ids.length);
});

test('every bit that is not fixed is drawn', () => {
  const ors = new Uint8Array(16);
  const ands = new Uint8Array(16).fill(0xff);
  for (let count = 0; count < 1_000; count += 1) {
    for (const [at, byte] of newEventId(0).entries()) {
      ors[at]! |= byte;
      ands[at]! &= byte;
    }
  }
  expect(textOf(ors)).toBe('0000000000007fffbfffffffffffffff');
  expect(textOf(ands)).toBe('00000000000070008000000000000000');
});
