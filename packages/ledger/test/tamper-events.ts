// One event of a log removed, repeated, swapped with another, or inserted, by one who holds every key of the archive and none
// of a gateway: the log is signed anew from its first leaf. Trial n is the same in every run.
import { Acceptance, type LogReport, type Reason } from '../src/index.ts';
import { Archive, audit, Gateway, Keys, recordOf } from './deployment.ts';

export const TAMPERINGS = ['removed', 'repeated', 'swapped', 'inserted'] as const;
export type Tampering = (typeof TAMPERINGS)[number];

/** What shows each of them. */
export const SHOWN_BY: Readonly<Record<Tampering, Reason>> = {
  removed: 'gap',
  repeated: 'repeated',
  swapped: 'order',
  inserted: 'fork',
};

export interface Trial {
  readonly tampering: Tampering;
  /** Leaf at which it was done. */
  readonly at: number;
  readonly verdict: 'broken' | 'intact' | 'not verifiable here';
  readonly reasons: readonly Reason[];
  readonly firstBadLeaf: number | undefined;
}

/** Two gateways in turn, each with an opening and two seals. */
export class TamperedLogs {
  readonly #keys: Keys;
  readonly #datums: readonly Uint8Array[];

  constructor(calls = 12) {
    const gateways = [new Gateway('acme', 'gw-1'), new Gateway('acme', 'gw-2')];
    const streams = gateways.map((gateway) => [
      ...gateway.stream(calls),
      ...Array.from({ length: calls }, () => gateway.record()),
      gateway.record('seal'),
    ]);
    this.#keys = new Keys(...gateways);
    this.#datums = streams[0]!.flatMap((datum, at) => [datum, streams[1]![at]!]);
  }

  untouched(): LogReport {
    return forged(this.#keys, this.#datums);
  }

  trial(number: number): Trial {
    const random = randomFrom(number);
    const tampering = TAMPERINGS[number % TAMPERINGS.length]!;
    const { at, datums } = tampered(this.#datums, tampering, random);
    const report = forged(this.#keys, datums);
    const isBroken =
      report.verdict === 'broken' || report.streams.some(({ verdict }) => verdict === 'broken');
    return {
      tampering,
      at,
      verdict: isBroken ? 'broken' : report.verdict,
      reasons: Object.keys(report.reasons) as Reason[],
      firstBadLeaf: report.firstBadLeaf,
    };
  }
}

function tampered(
  datums: readonly Uint8Array[],
  tampering: Tampering,
  below: (bound: number) => number,
): { readonly at: number; readonly datums: Uint8Array[] } {
  // Not an opening, and not the last two: a log that ends earlier is a log that ends earlier.
  const at = 2 + below(datums.length - 6);
  if (tampering === 'removed') return { at, datums: datums.toSpliced(at, 1) };
  if (tampering === 'repeated') {
    const to = at + 1 + below(datums.length - at);
    return { at: to, datums: datums.toSpliced(to, 0, datums[at]!) };
  }
  if (tampering === 'swapped') {
    const others = Math.floor((datums.length - 1 - at) / 2);
    const other = at + 2 * (1 + below(others));
    return { at, datums: datums.with(at, datums[other]!).with(other, datums[at]!) };
  }
  // Another event under a number that is taken, linked to the one before it, as one makes who knows the stream.
  const seq = 1 + below(Math.floor(datums.length / 2) - 3);
  const forger = new Gateway('acme', 'gw-1');
  for (let number = 0; number < seq; number += 1) forger.record(number === 0 ? 'stream_open' : 'tool_call');
  return {
    at: 2 * seq,
    datums: datums.toSpliced(2 * seq + below(2), 0, forger.record('tool_call', 'forged')),
  };
}

function forged(keys: Keys, datums: readonly Uint8Array[]): LogReport {
  const archive = new Archive(keys);
  for (const [offset, datum] of datums.entries()) {
    const accepted = new Acceptance({ partition: 0, partitions: 1 }).accept(recordOf(offset, datum, 5));
    if (accepted.outcome !== 'leaf') throw new Error(accepted.outcome);
    archive.appendLeaf(accepted.leaf);
    if (offset % 50 === 49) archive.cut();
  }
  if (datums.length % 50 !== 0) archive.cut();
  return audit(archive.bucket, keys.root.key);
}

/** Numbers below a bound, the same for a seed in every run (mulberry32). */
function randomFrom(seed: number): (bound: number) => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
