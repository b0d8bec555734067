import { isFailure } from '@cairn/failure';

/**
 * What processes of this service know together: names that somebody has claimed, and counts. In Redis it is shared by all; in
 * memory each process has its own, and ends with it.
 */
export interface SharedClaims {
  /**
   * Puts a value under a name that nobody has, for at most so long.
   *
   * @returns undefined when it is there now, else the value that stands there. @throws Failure (later): nobody knows whether it is.
   */
  claim(name: string, value: string, msMax: number): Promise<string | undefined>;
  /** Another value in the place of what was claimed. */
  settle(name: string, value: string, msMax: number): Promise<void>;
  release(name: string): Promise<void>;
  /** Counts one more in a window that its first one opened. */
  count(name: string, windowMs: number): Promise<Counted>;
  /** One less, where the window is still open. */
  uncount(name: string): Promise<void>;
}

export interface Counted {
  readonly count: number;
  /** Until the window ends. */
  readonly leftMs: number;
}

/** Runs Lua as one step. packages/adapters/src/redis.ts is it. */
interface ScriptRunner {
  run(
    script: { readonly name: string; readonly lua: string },
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown>;
}

const CLAIM = {
  name: 'cairnClaim',
  lua: `local held = redis.call('GET', KEYS[1])
if held then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false`,
};
const SETTLE = { name: 'cairnSettle', lua: `redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])` };
const RELEASE = { name: 'cairnRelease', lua: `redis.call('DEL', KEYS[1])` };
const COUNT = {
  name: 'cairnCount',
  lua: `local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}`,
};
const UNCOUNT = {
  name: 'cairnUncount',
  lua: `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECR', KEYS[1]) end`,
};

/** @param deployment stands before every name: several installations may share a server. */
export function claimsIn(redis: ScriptRunner, deployment: string): SharedClaims {
  const keyOf = (name: string): string => `cairn:${deployment}:query:${name}`;
  return {
    async claim(name, value, msMax) {
      const held = await redis.run(CLAIM, [keyOf(name)], [value, msMax]);
      return held === null ? undefined : String(held);
    },
    settle: async (name, value, msMax) => void (await redis.run(SETTLE, [keyOf(name)], [value, msMax])),
    release: async (name) => void (await redis.run(RELEASE, [keyOf(name)], [])),
    async count(name, windowMs) {
      const [count, leftMs] = (await redis.run(COUNT, [keyOf(name)], [windowMs])) as [number, number];
      return { count: Number(count), leftMs: Number(leftMs) };
    },
    uncount: async (name) => void (await redis.run(UNCOUNT, [keyOf(name)], [])),
  };
}

/** Names that are over are swept when there are so many. */
const SWEEP_AT = 10_000;

/** Of one process alone. */
export function claimsInMemory(nowMs: () => number): SharedClaims {
  const held = new Map<string, { readonly value: string; readonly untilMs: number }>();
  const counts = new Map<string, { count: number; readonly untilMs: number }>();
  const sweep = (map: Map<string, { readonly untilMs: number }>): void => {
    if (map.size < SWEEP_AT) return;
    for (const [name, { untilMs }] of map) if (untilMs <= nowMs()) map.delete(name);
  };
  return {
    async claim(name, value, msMax) {
      const there = held.get(name);
      if (there !== undefined && there.untilMs > nowMs()) return there.value;
      sweep(held);
      held.set(name, { value, untilMs: nowMs() + msMax });
      return undefined;
    },
    settle: async (name, value, msMax) => void held.set(name, { value, untilMs: nowMs() + msMax }),
    release: async (name) => void held.delete(name),
    async count(name, windowMs) {
      sweep(counts);
      const there = counts.get(name);
      const open =
        there !== undefined && there.untilMs > nowMs() ? there : { count: 0, untilMs: nowMs() + windowMs };
      open.count += 1;
      counts.set(name, open);
      return { count: open.count, leftMs: open.untilMs - nowMs() };
    },
    async uncount(name) {
      const there = counts.get(name);
      if (there !== undefined) there.count -= 1;
    },
  };
}

/**
 * Counts that go on when what shares them is away: then each process counts for itself, as if it were alone, so that a limit
 * holds for each process and nobody is refused for want of Redis. Claims do not: what nobody can promise is refused.
 */
export function countingAlone(
  shared: SharedClaims,
  alone: SharedClaims,
  onAlone: (error: unknown) => void,
): SharedClaims {
  return {
    ...shared,
    async count(name, windowMs) {
      try {
        return await shared.count(name, windowMs);
      } catch (error) {
        if (!isFailure(error)) throw error;
        onAlone(error);
        return alone.count(name, windowMs);
      }
    },
    uncount: (name) => shared.uncount(name).catch(() => alone.uncount(name)),
  };
}
