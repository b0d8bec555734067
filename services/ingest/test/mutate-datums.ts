import { getHeapStatistics } from 'node:v8';
import { AUDIT_EVENT_SCHEMA_ID, decodeDatum, encodeDatum, walkDatum } from '@cairn/event';
import { Random, streamsOf } from '@cairn/traffic';

export interface FuzzResult {
  readonly datums: number;
  /** Mutated datums that are events all the same: a changed letter, another hash. */
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  /** What went wrong, with the datum in hex; empty when nothing did. */
  readonly wrong: readonly string[];
  readonly slowest_ms: number;
  /** That one walk took of the heap and beside it. */
  readonly most_bytes: number;
}

const BASES = 500;
const WALK_MS_MAX = 1;
const WALK_BYTES_MAX = 1024 ** 2;

/**
 * Mutates real datums and walks them. Whatever the walk accepts must be one event in canonical form: avsc decodes it, and
 * encoding it again gives the same bytes. No walk may take longer than a millisecond or more than a mebibyte of memory, throw, or
 * read beyond its datum.
 */
export function fuzz(seed: number, datums: number): FuzzResult {
  const random = new Random(seed);
  const bases = streamsOf({ seed: 5, gateways: 4 })
    .take(BASES)
    .map(({ datum }) => datum)
    .toArray();
  const refused: Record<string, number> = {};
  const wrong: string[] = [];
  let accepted = 0;
  let slowest_ms = 0;
  let most_bytes = 0;
  for (let count = 0; count < datums && wrong.length < 10; count += 1) {
    const datum = mutated(random, bases);
    // What lies behind the datum must not matter: it is made to look like more of it.
    const buffer = Buffer.concat([datum, datum.subarray(0, 32)]);
    try {
      const took = tookOf(buffer, datum.length);
      slowest_ms = Math.max(slowest_ms, took);
      if (took > WALK_MS_MAX) wrong.push(`${took.toFixed(1)} ms: ${datum.toString('hex')}`);
      const held = heldBytes();
      const walked = walkDatum(buffer, AUDIT_EVENT_SCHEMA_ID, 0, datum.length);
      // A collection in between makes it less.
      const bytes = heldBytes() - held;
      most_bytes = Math.max(most_bytes, bytes);
      if (bytes > WALK_BYTES_MAX) wrong.push(`${bytes} bytes: ${datum.toString('hex')}`);
      if (!walked.ok) {
        refused[walked.reason] = (refused[walked.reason] ?? 0) + 1;
        continue;
      }
      accepted += 1;
      const again = encodeDatum(decodeDatum(datum));
      if (!datum.equals(again)) wrong.push(`encoded again it differs: ${datum.toString('hex')}`);
    } catch (error) {
      wrong.push(`${String(error).slice(0, 200)}: ${datum.toString('hex')}`);
    }
  }
  return { datums, accepted, refused, wrong, slowest_ms, most_bytes };
}

function heldBytes(): number {
  const { used_heap_size: heap, external_memory: outside } = getHeapStatistics();
  return heap + outside;
}

/** The time of a walk, without the collector: the best of several when the first was slow. */
function tookOf(buffer: Uint8Array, end: number): number {
  const once = (): number => {
    const began = performance.now();
    walkDatum(buffer, AUDIT_EVENT_SCHEMA_ID, 0, end);
    return performance.now() - began;
  };
  const first = once();
  return first <= WALK_MS_MAX ? first : Math.min(once(), once(), once(), once());
}

function mutated(random: Random, bases: readonly Uint8Array[]): Buffer {
  let datum = Buffer.from(random.pick(bases));
  for (let times = 1 + random.below(3); times > 0; times -= 1) {
    const at = random.below(datum.length + 1);
    const before = datum.subarray(0, at);
    const after = datum.subarray(at);
    switch (random.below(7)) {
      case 0:
        if (at < datum.length) datum[at] = random.below(256);
        break;
      case 1:
        if (at < datum.length) datum[at] = datum[at]! ^ (1 << random.below(8));
        break;
      case 2:
        datum = Buffer.concat([before, random.bytes(1 + random.below(4)), after]);
        break;
      case 3:
        datum = Buffer.concat([before, after.subarray(1 + random.below(8))]);
        break;
      case 4:
        datum = Buffer.from(before);
        break;
      case 5:
        datum = Buffer.concat([before, random.pick(bases).subarray(random.below(200))]);
        break;
      default:
        // A length or a count of two thousand million.
        datum = Buffer.concat([before, Buffer.from('feffffff0f', 'hex'), after.subarray(1)]);
    }
    if (datum.length === 0) return Buffer.alloc(1);
  }
  return datum;
}
