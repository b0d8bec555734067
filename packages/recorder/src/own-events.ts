import type { EventDraft } from '@cairn/event';
import type { Standing } from './heads.ts';
import type { Stream } from './stream.ts';

/** Events that the recorder writes about its own streams. All are signed. */
export type OwnKind = 'stream_open' | 'seal' | 'gap' | 'stream_close';

/** The part of an own event that differs from any other event of the gateway. */
export type OwnEvent = Pick<EventDraft, 'kind' | 'phase'> & { readonly detail: string };

/** First event of a stream: names the one before it. `prev_unknown` says that its end was lost, which is a finding. */
export function streamOpen(previous: Standing): OwnEvent {
  const { head, unknown } = previous;
  return own('stream_open', {
    prev_unknown: unknown,
    ...(head === undefined
      ? {}
      : { prev_epoch: head.epoch, prev_seq: head.seq, prev_hash: Buffer.from(head.hash).toString('hex') }),
  });
}

/** Authenticates everything before it; in silence it is the heartbeat. */
export function seal(stream: Stream, clockShiftMs: number): OwnEvent {
  return own('seal', { ...countersOf(stream), clock_shift_ms: clockShiftMs });
}

/** Says how many calls found no room since the last gap event, and between when. */
export function gap(stream: Stream, clockShiftMs: number): OwnEvent {
  const untold = stream.untold ?? { count: 0, fromMicros: 0, toMicros: 0 };
  return own('gap', {
    ...countersOf(stream),
    clock_shift_ms: clockShiftMs,
    gap_count: untold.count,
    gap_from: untold.fromMicros,
    gap_to: untold.toMicros,
    reason: 'spool',
  });
}

/** Last event of a stream that was closed in order. */
export function streamClose(stream: Stream, clockShiftMs: number): OwnEvent {
  return own('stream_close', { ...countersOf(stream), clock_shift_ms: clockShiftMs });
}

/** Counts at this event, of this organisation only: another's load is none of its business. */
function countersOf(stream: Stream): Record<string, number> {
  const { recorded, refused, placed, shipped } = stream.counts;
  return { recorded, refused, shipped, unshipped: placed - shipped };
}

function own(kind: OwnKind, facts: Record<string, string | number | boolean>): OwnEvent {
  const sorted = Object.entries(facts).sort(([a], [b]) => (a < b ? -1 : 1));
  return { kind, phase: 'single', detail: JSON.stringify(Object.fromEntries(sorted)) };
}
