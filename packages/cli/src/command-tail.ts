import { setTimeout as sleep } from 'node:timers/promises';
import { visible } from '@cairn/session';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { type LoggedEvent, type LogPosition, readBehind, readHeads, readUpTo } from './read-log.ts';
import type { OpenTrail } from './trail.ts';

export interface TailOptions {
  /** Events from before the start to show first. */
  readonly last: number;
  /** Goes on with what comes. */
  readonly follow: boolean;
  readonly pollMs: number;
  readonly signal: AbortSignal;
}

/** Of each partition in one reading. */
const EVENTS_MAX = 1_000;

/** `cairn tail`: events as they become queryable. */
export async function tail(open: OpenTrail, output: Output, options: TailOptions): Promise<number> {
  await using trail = open();
  let positions = await readHeads(trail);
  show(output, await readUpTo(trail, positions, options.last));
  while (options.follow && !options.signal.aborted) {
    const events = await readBehind(trail, positions, EVENTS_MAX);
    show(
      output,
      events.toSorted((left, right) => left.timestamp - right.timestamp),
    );
    positions = advanced(positions, events);
    if (events.length === 0)
      await sleep(options.pollMs, undefined, { signal: options.signal }).catch(() => {});
  }
  return EXIT.ok;
}

function show(output: Output, events: readonly LoggedEvent[]): void {
  for (const event of events) {
    output.value(event);
    output.line(lineOf(event, output));
  }
}

/** @param events in the order of each partition, so that the last one stands. */
function advanced(positions: readonly LogPosition[], events: readonly LoggedEvent[]): LogPosition[] {
  const all = [...positions, ...events].map(
    ({ topic, partition, offset }) => [`${topic}/${partition}`, { topic, partition, offset }] as const,
  );
  return [...new Map(all).values()];
}

function lineOf(event: LoggedEvent, output: Output): string {
  const time = new Date(event.timestamp / 1_000).toISOString().slice(11, 23);
  const what = [event.service, event.tool_name].filter((name) => name !== '').join('/');
  const result =
    event.phase === 'decision'
      ? output.paint(event.decision === 'deny' ? 'red' : 'dim', event.decision)
      : output.paint(event.result_status === 'success' ? 'green' : 'yellow', event.result_status);
  const latency = event.latency_ms === null ? '' : `${event.latency_ms} ms`;
  return [
    time,
    visible(event.agent_id),
    event.kind,
    event.phase,
    visible(what || event.method),
    result,
    latency,
  ]
    .filter((part) => part !== '')
    .join('  ');
}
