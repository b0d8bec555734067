import type { Question } from './question.ts';

/** A stretch of time that is looked through, microseconds, [from, to). Without an end it goes on as far as there are events. */
export interface Window {
  readonly from?: number;
  readonly to?: number;
}

/** Of the first window: of most agents it holds more than a page. */
const FIRST_MICROS = 86_400_000_000;
/** A window is at most so many times what was looked through before it. */
const GROWTH_MAX = 16;
/** Windows with two ends; the one behind them has all that is left. */
const BOUNDED_MAX = 2;
/** More is looked through than what was found promises, since events do not come evenly. */
const MARGIN = 1.5;

/**
 * The windows in which a question's first events are looked for, one behind the other in its order: together they are its whole
 * time, and no two overlap. The table is sorted by organisation and hour, so a question for the latest events that is asked of
 * a few hours reads those, and asked of everything it reads all events of the organisation to forget nearly all of them. The first is a
 * day; what it gives says how long the next one is to be.
 *
 * After each window `next` is called with the number of events that it gave. The walk ends when the limit is reached.
 *
 * A question that says neither where it begins nor what the time is has one window, its own.
 */
export function* windowsOf({
  order,
  limit,
  from,
  to,
  after,
  now,
}: Question): Generator<Window, void, number> {
  const whole: Window = { ...(from !== undefined && { from }), ...(to !== undefined && { to }) };
  const isNewest = order === 'newest';
  const near = isNewest ? least(to, after && after.timestamp + 1, now) : most(from, after?.timestamp);
  const far = isNewest ? from : to;
  if (now === undefined || near === undefined) return void (yield whole);

  let [found, looked, edge] = [0, 0, undefined as number | undefined];
  for (let turn = 0; turn < BOUNDED_MAX; turn += 1) {
    const width = looked === 0 ? FIRST_MICROS : widthOf(found, looked, limit);
    const at = (isNewest ? -1 : 1) * (looked + width) + near;
    if (isNewest ? at <= (far ?? 0) : at >= (far ?? Number.MAX_SAFE_INTEGER)) break;
    found += isNewest
      ? yield { from: at, ...ended('to', edge ?? to) }
      : yield { ...ended('from', edge ?? from), to: at };
    if (found >= limit) return;
    looked += width;
    edge = at;
  }
  yield isNewest ? { ...whole, ...ended('to', edge ?? to) } : { ...whole, ...ended('from', edge ?? from) };
}

function widthOf(found: number, looked: number, limit: number): number {
  const enough = found === 0 ? GROWTH_MAX : ((limit - found) / found) * MARGIN;
  return Math.ceil(looked * Math.min(Math.max(enough, 1), GROWTH_MAX));
}

const ended = (end: 'from' | 'to', at: number | undefined): Window => (at === undefined ? {} : { [end]: at });

const known = (of: readonly (number | undefined)[]): number[] => of.filter((one) => one !== undefined);
const least = (...of: readonly (number | undefined)[]): number | undefined =>
  known(of).length === 0 ? undefined : Math.min(...known(of));
const most = (...of: readonly (number | undefined)[]): number | undefined =>
  known(of).length === 0 ? undefined : Math.max(...known(of));
