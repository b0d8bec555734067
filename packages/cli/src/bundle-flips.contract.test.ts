import { describe, expect, test } from '@jest/globals';
import { flipEveryByte } from './testing/flip-bytes.ts';

// `npm run bench -- tampering` flips every byte, `--kib 1024 --whole 64` those of a larger one.
const EVERY = 16;
/** Of those, verified to the end and not only until the bundle is broken. */
const WHOLE = 8;

describe('an evidence bundle of 256 KiB', () => {
  test(`with a byte changed, every ${EVERY}th in turn, is never intact, and the first bad leaf or object is named`, async () => {
    const { bytes, flips, wholes, undetected, unnamed, disagreed, unverifiable, unexplained } =
      await flipEveryByte({ bytes: 256 * 1024, every: EVERY, whole: WHOLE });
    expect(bytes).toBeGreaterThanOrEqual(256 * 1024);
    expect(flips).toBe(Math.ceil(bytes / EVERY));
    expect(wholes).toBe(Math.ceil(flips / WHOLE));
    expect({ undetected, unnamed, disagreed }).toEqual({ undetected: [], unnamed: [], disagreed: [] });
    // The name and the id of the key in the one signature line of bundle.note, at most 100 bytes.
    expect(unverifiable.length).toBeLessThanOrEqual(Math.ceil(100 / EVERY));
    expect(unexplained).toEqual([]);
  }, 900_000);
});
