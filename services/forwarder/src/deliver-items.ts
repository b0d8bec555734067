import { Failure } from '@cairn/failure';
import type { Clock } from '@cairn/runtime';
import type { Destination, Item, Verdict } from './destination.ts';

/** An item that the destination will not take, and what it said. */
export interface Refusal {
  readonly item: Item;
  readonly reason: string;
}

/** How a destination stands: it takes what it gets, it is tried again, or a person has to do something first. */
export type LaneState = 'active' | 'retrying' | 'stopped';

export interface Lane {
  /**
   * Brings every item to its outcome: the destination has acknowledged it, or refuses it for what is in it. Resolves only then, however
   * long that takes; one call at a time is under way.
   *
   * @returns what was refused. @throws Failure `forward.called-off` when the signal is aborted first: nobody knows how much was taken.
   */
  deliver(items: readonly Item[], over: AbortSignal): Promise<readonly Refusal[]>;
  readonly state: LaneState;
}

export interface LaneOptions {
  readonly destination: Destination;
  readonly clock: Clock;
  /** How long a destination that fails is left alone: doubled each time, up to the most. */
  readonly rest: { readonly firstMs: number; readonly mostMs: number };
  /** After each batch that was sent. */
  readonly onVerdict: (verdict: Verdict, items: readonly Item[]) => void;
}

/** The one way to a destination. Whatever happens to another one does not show here. */
export function openLane({ destination, clock, rest, onVerdict }: LaneOptions): Lane {
  let state: LaneState = 'active';
  /** In a row. */
  let failures = 0;
  let turn: Promise<unknown> = Promise.resolve();

  const wait = async (verdict: Verdict, over: AbortSignal): Promise<void> => {
    failures += 1;
    const isStopped = verdict.kind === 'unavailable' && verdict.stopped === true;
    state = isStopped ? 'stopped' : 'retrying';
    const doubled = Math.min(rest.mostMs, rest.firstMs * 2 ** Math.min(failures - 1, 16));
    const asked = verdict.kind === 'unavailable' ? (verdict.retryAfterMs ?? 0) : 0;
    const ms = (isStopped ? rest.mostMs : doubled) * (0.5 + clock.random() / 2);
    await clock.pause(Math.max(ms, asked), over);
  };

  const walk = async (items: readonly Item[], over: AbortSignal): Promise<readonly Refusal[]> => {
    const refusals: Refusal[] = [];
    const waiting: (readonly Item[])[] = [items];
    for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) {
      if (over.aborted) throw calledOff();
      const verdict = await orCalledOff(destination.send(batch, over), over);
      onVerdict(verdict, batch);
      switch (verdict.kind) {
        case 'taken':
          break;
        case 'refused':
          // In halves, until what it does not like stands alone.
          if (batch.length === 1) refusals.push({ item: batch[0]!, reason: verdict.reason });
          else {
            const half = batch.length >>> 1;
            waiting.unshift(batch.slice(0, half), batch.slice(half));
          }
          break;
        case 'sorted':
          for (const { index, reason } of verdict.refused) refusals.push({ item: batch[index]!, reason });
          if (verdict.again.length === 0) break;
          waiting.unshift(verdict.again.map((index) => batch![index]!));
          await wait(verdict, over);
          continue;
        case 'unavailable':
          waiting.unshift(batch);
          await wait(verdict, over);
          continue;
      }
      failures = 0;
      state = 'active';
    }
    return refusals;
  };

  return {
    get state() {
      return state;
    },
    deliver(items, over) {
      const mine = turn.then(() => walk(items, over));
      turn = mine.catch(() => {});
      return mine;
    },
  };
}

/** A receiver that hangs holds up no drain: what it does with the batch after this, nobody knows, and it is sent again. */
async function orCalledOff<T>(work: Promise<T>, over: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const off = (): void => reject(calledOff());
  over.addEventListener('abort', off, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    over.removeEventListener('abort', off);
  }
}

function calledOff(): Failure {
  return new Failure({
    code: 'forward.called-off',
    retry: 'later',
    message: 'the delivery was called off before the destination had acknowledged it',
  });
}
