import { ByStream } from './by-stream.ts';
import type { KeyHistory } from './key-history.ts';
import type { Leaf } from './leaf.ts';
import type { LogFindings } from './log-findings.ts';
import type { Manifest, StreamRange } from './manifest.ts';
import { type Reason, verdictOf } from './reasons.ts';
import { type StreamReport, StreamWatch } from './watch-stream.ts';

/** Events of an organisation on a gateway that the broker received on one day. */
export interface Population {
  readonly orgId: string;
  readonly gatewayId: string;
  /** UTC, such as 2026-11-25; empty for events that were deleted under policy. */
  readonly day: string;
  readonly events: number;
}

export interface LogStreamsOptions {
  readonly keys: KeyHistory;
  readonly findings: LogFindings;
  /** Whether it is not known what the log had before the next leaf. */
  readonly isHistoryUnknown: () => boolean;
  /** What the log had before its first leaf here is not asked for: a stream may begin in its middle. Default false. */
  readonly mayBeginMidway?: boolean;
}

/** The streams of one log, leaf by leaf as they stand in it, and how many events each gateway had on each day. */
export class LogStreams {
  readonly #options: LogStreamsOptions;
  readonly #watched = new ByStream<Watched>();
  readonly #population = new Map<string, Population>();

  constructor(options: LogStreamsOptions) {
    this.#options = options;
  }

  add(leaf: Leaf, index: number): void {
    const { orgId, gatewayId } = leaf.walked;
    const watched = this.#watchedOf(orgId, gatewayId);
    const day = Math.floor(leaf.receivedAtMs / DAY_MS);
    if (day !== watched.day) this.#turnDay(watched, day);
    watched.events += 1;
    watched.watch.add(leaf, index);
    watched.isBegun = true;
  }

  /** Goes on behind a segment that was deleted under policy, as its manifest counts it. */
  addDeleted({ streams, first }: Manifest): void {
    for (const range of streams) {
      this.#watchOf(range).addDeleted(range, first);
      this.#count(range.org, range.gateway, '', range.events);
    }
  }

  /** Goes on behind a segment that cannot be read, as its manifest says that it ends. */
  resume({ streams, first, end }: Manifest): void {
    for (const range of streams) this.#watchOf(range).resume(range, first, end - 1);
  }

  /** What comes before the next leaf is accounted for by nothing. */
  interrupt(): void {
    for (const { watch } of this.#watched.values()) watch.interrupt();
  }

  /** Once every leaf was added. */
  end(): { readonly streams: readonly StreamReport[]; readonly population: readonly Population[] } {
    const all = [...this.#watched.values()];
    for (const watched of all) this.#turnDay(watched, -1);
    const streams = all.flatMap((watched) =>
      watched.watch.end().map((stream) => withoutBlame(stream, watched.begunMidway)),
    );
    return { streams, population: [...this.#population.values()] };
  }

  #watchOf({ org, gateway }: StreamRange): StreamWatch {
    return this.#watchedOf(org, gateway).watch;
  }

  #watchedOf(orgId: string, gatewayId: string): Watched {
    const known = this.#watched.get(orgId, gatewayId);
    if (known !== undefined) return known;
    const { keys, findings, isHistoryUnknown, mayBeginMidway = false } = this.#options;
    const note = (reason: Reason, leaf: number, epoch: number, seq: number, detail: string): void => {
      if (mayBeginMidway && !watched.isBegun && reason === 'history-missing') watched.begunMidway = epoch;
      else findings.add({ reason, leaf, detail, stream: { orgId, gatewayId, epoch }, seq });
    };
    const watch = new StreamWatch(orgId, gatewayId, keys, isHistoryUnknown(), note);
    const watched: Watched = { watch, day: -1, events: 0, isBegun: false, begunMidway: undefined };
    this.#watched.set(orgId, gatewayId, watched);
    return watched;
  }

  /** Counts what the day before had. */
  #turnDay(watched: Watched, day: number): void {
    const { watch, day: before, events } = watched;
    if (events > 0)
      this.#count(watch.orgId, watch.gatewayId, new Date(before * DAY_MS).toISOString().slice(0, 10), events);
    watched.day = day;
    watched.events = 0;
  }

  #count(orgId: string, gatewayId: string, day: string, events: number): void {
    const key = `${orgId}\u0000${gatewayId}\u0000${day}`;
    const before = this.#population.get(key)?.events ?? 0;
    this.#population.set(key, { orgId, gatewayId, day, events: before + events });
  }
}

/** The streams of one gateway, and how many of its events a day had so far. */
interface Watched {
  readonly watch: StreamWatch;
  /** Since 1970. */
  day: number;
  events: number;
  /** Whether its first leaf was read. */
  isBegun: boolean;
  /** The epoch that begins in its middle where that is allowed. */
  begunMidway: number | undefined;
}

const DAY_MS = 86_400_000;

/** A stream that begins in its middle because what is verified does is not to be blamed for it. */
function withoutBlame(stream: StreamReport, begunMidway: number | undefined): StreamReport {
  if (stream.epoch !== begunMidway) return stream;
  const reasons = stream.reasons.filter((reason) => reason !== 'history-missing');
  return { ...stream, reasons, verdict: verdictOf(reasons) };
}
