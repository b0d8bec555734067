import { setTimeout as sleep } from 'node:timers/promises';
import { visible } from '@cairn/session';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import { type LogPosition, readBehind, readPositions, type TailedEvent } from './read-session.ts';
import type { OpenTrail } from './trail.ts';

export interface TailOptions {
  /** Events from before the start to show first. */
  readonly last: number;
  /** Ends after what is there. */
  readonly follow: boolean;
  readonly pollMs: number;
  readonly signal: AbortSignal;
}

const PAGE = 1_000;

/** `cairn tail`: events as they become queryable. */
export async function tail(open: OpenTrail, output: Output, options: TailOptions): Promise<number> {
  await using trail = await open();
  const positions = new Map(
    (await readPositions(trail)).map((position) => [
      keyOf(position),
      { ...position, offset: position.offset - options.last },
    ]),
  );
  let first = true;
  while (!options.signal.aborted) {
    const events = await readBehind(trail, [...positions.values()], PAGE);
    const shown =
      first && events.length > options.last ? events.slice(-options.last || events.length) : events;
    for (const event of events) positions.set(keyOf(event), laterOf(positions.get(keyOf(event)), event));
    for (const event of options.last === 0 && first ? [] : shown) {
      output.value(event);
      output.line(lineOf(event, output));
    }
    first = false;
    if (events.length === PAGE) continue;
    if (!options.follow) break;
    await sleep(options.pollMs, undefined, { signal: options.signal }).catch(() => undefined);
  }
  return EXIT.ok;
}

const keyOf = (position: LogPosition): string => `${position.topic}/${position.partition}`;

const laterOf = (known: LogPosition | undefined, event: TailedEvent): LogPosition => ({
  topic: event.topic,
  partition: event.partition,
  offset: Math.max(known?.offset ?? -1, event.offset),
});

function lineOf(event: TailedEvent, output: Output): string {
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
