/**
 * Windows in Redis. All keys of a deployment begin with one hash tag, so that they share a slot of a cluster and a script may
 * touch them together:
 *
 *     {cairn:<deployment>}:offset:<topic>/<partition>    the last offset that was counted
 *     {cairn:<deployment>}:streams:<topic>/<partition>   hash: stream -> "<epoch> <seq>"
 *     {cairn:<deployment>}:window:<key>                  hash: "<tick>:<label>" -> "<count>:<event id, hex>"
 *                                                              "#" -> sum of the counts
 *                                                              "^" -> the newest tick
 *                                                              "~" -> the newest tick when it was trimmed last
 *     {cairn:<deployment>}:closing:<topic>/<partition>   sorted set: window's key by the end of its earliest unjudged part
 *     {cairn:<deployment>}:episode:<member>              hash: window, since, until, peak, firings, told, facts
 *     {cairn:<deployment>}:ends                          sorted set: member by the instant at which it can go on no more
 *
 * The member of an episode is its window's key; once another has taken its place, the key, a line feed and its `since`.
 * Ticks and spans are microseconds, in decimal: they pass through Lua's numbers unharmed (below 2^53) and are never printed
 * from one, which would round them.
 */
import type { Redis, RedisScript } from '@cairn/adapters';
import { bytesOfHex, hexOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import {
  type Cell,
  type Correlation,
  HOUR,
  type Micros,
  WEEK,
  type WindowAddition,
  type WindowView,
} from '@cairn/rules';
import type { ClosingWindow, EpisodeState, Windows } from './windows.ts';

export interface WindowsInRedisOptions {
  readonly redis: Pick<Redis, 'run'>;
  readonly deployment: string;
  /** How far behind the newest event of its window an event may come and still be counted as on time. */
  readonly lateness: Micros;
  /** The correlation of this id, among the rules that run now. */
  readonly correlationOf: (id: string) => Correlation | undefined;
}

/** Windows in one call at most; more go in several, of which the last moves the offset. */
const CELLS_AT_ONCE = 20_000;
/** How long a window outlives its span in Redis, by Redis's clock. */
const GRACE_MS = 3_600_000;

const SHARED_LUA = `
local function trim(key, keep, cellsMax)
  local all = redis.call('HGETALL', key)
  local newest = tonumber(redis.call('HGET', key, '^'))
  local cells = {}
  local total = 0
  for i = 1, #all, 2 do
    local tick = string.match(all[i], '^(%-?%d+):')
    if tick then
      local count = tonumber(string.match(all[i + 1], '^%d+'))
      if tonumber(tick) < newest - keep then
        redis.call('HDEL', key, all[i])
      else
        cells[#cells + 1] = { tonumber(tick), all[i], count }
        total = total + count
      end
    end
  end
  if #cells > cellsMax then
    table.sort(cells, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
    for i = 1, #cells - cellsMax do
      redis.call('HDEL', key, cells[i][2])
      total = total - cells[i][3]
    end
  end
  redis.call('HSET', key, '#', total, '~', redis.call('HGET', key, '^'))
end
`;

/** ARGV: mode, prefix, partition, expected, last, streams, (stream, position)*, additions. See `argumentsOf`. */
const ADD: RedisScript = {
  name: 'cairnAddToWindows',
  lua: `${SHARED_LUA}
local mode, prefix, partition, expected, last = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if mode == 'add' then
  local known = redis.call('GET', prefix .. 'offset:' .. partition) or ''
  if known ~= expected then return { 'moved', known } end
end
local at = 6
local streams = tonumber(ARGV[at])
at = at + 1
for _ = 1, streams do
  if mode == 'add' then redis.call('HSET', prefix .. 'streams:' .. partition, ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
local views = {}
local index = 0
while at <= #ARGV do
  local key = prefix .. 'window:' .. ARGV[at]
  local merge, floor, keep, cellsMax, ttl, closes, cells = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]),
    tonumber(ARGV[at + 4]), ARGV[at + 5], ARGV[at + 6], tonumber(ARGV[at + 7])
  local window = ARGV[at]
  at = at + 8
  local total = tonumber(redis.call('HGET', key, '#') or '0')
  if mode ~= 'look' then
    local newest = redis.call('HGET', key, '^')
    for _ = 1, cells do
      local tick, field, count, id = ARGV[at], ARGV[at] .. ':' .. ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
      at = at + 4
      local old = redis.call('HGET', key, field)
      if not old then
        redis.call('HSET', key, field, count .. ':' .. id)
        total = total + count
      elseif merge == 'add' then
        local had, first = string.match(old, '^(%d+):(.*)$')
        redis.call('HSET', key, field, (tonumber(had) + count) .. ':' .. first)
        total = total + count
      end
      if not newest or tonumber(tick) > tonumber(newest) then newest = tick end
    end
    redis.call('HSET', key, '#', total, '^', newest)
    redis.call('PEXPIRE', key, ttl)
    if closes ~= '' then redis.call('ZADD', prefix .. 'closing:' .. partition, 'LT', closes, window) end
  else
    at = at + 4 * cells
  end
  if total >= floor then
    views[#views + 1] = index
    views[#views + 1] = redis.call('HGETALL', key)
  end
  if mode ~= 'look' then
    local newest = redis.call('HGET', key, '^')
    local trimmed = redis.call('HGET', key, '~')
    if not trimmed then
      redis.call('HSET', key, '~', newest)
      trimmed = newest
    end
    if redis.call('HLEN', key) > cellsMax + 3 or tonumber(newest) - tonumber(trimmed) > keep then
      trim(key, keep, cellsMax)
    end
  end
  index = index + 1
end
if mode == 'add' and last ~= '' then redis.call('SET', prefix .. 'offset:' .. partition, last) end
return { 'done', views }
`,
};

const POSITION: RedisScript = {
  name: 'cairnPositionOfWindows',
  lua: `return { redis.call('GET', ARGV[1] .. 'offset:' .. ARGV[2]) or '', redis.call('HGETALL', ARGV[1] .. 'streams:' .. ARGV[2]) }`,
};

/** ARGV: prefix, lateness, (window, end, timespan, measure, facts, told)*. */
const EPISODES: RedisScript = {
  name: 'cairnContinueEpisodes',
  lua: `
local prefix, lateness = ARGV[1], tonumber(ARGV[2])
local ends = prefix .. 'ends'
local states = {}
for at = 3, #ARGV, 6 do
  local window, last, span, measure, facts, told = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local key = prefix .. 'episode:' .. window
  local had = redis.call('HMGET', key, 'since', 'until', 'peak', 'firings')
  local since, untilTick = had[1], had[2]
  if since and tonumber(last) >= tonumber(since) - span and tonumber(last) <= tonumber(untilTick) + span then
    if tonumber(last) > tonumber(untilTick) then
      redis.call('HSET', key, 'until', last, 'firings', tonumber(had[4]) + 1)
      untilTick = last
    end
    if tonumber(measure) > tonumber(had[3]) then redis.call('HSET', key, 'peak', measure) end
  else
    if since then
      local member = window .. '\\n' .. since
      redis.call('RENAME', key, prefix .. 'episode:' .. member)
      redis.call('ZADD', ends, redis.call('ZSCORE', ends, window), member)
    end
    redis.call('HSET', key, 'window', window, 'since', last, 'until', last, 'peak', measure, 'firings', 1, 'told', told, 'facts', facts)
    untilTick = last
  end
  redis.call('ZADD', ends, string.format('%.0f', tonumber(untilTick) + span + lateness), window)
  states[#states + 1] = redis.call('HMGET', key, 'window', 'since', 'until', 'peak', 'firings', 'told', 'facts')
end
return states
`,
};

/** Finds where an episode stands: under its window, or set aside. */
const PLACE_LUA = `
local function placeOf(prefix, window, since)
  if redis.call('HGET', prefix .. 'episode:' .. window, 'since') == since then return window end
  return window .. '\\n' .. since
end
`;

/** ARGV: prefix, (window, since)*. */
const TOLD: RedisScript = {
  name: 'cairnMarkTold',
  lua: `${PLACE_LUA}
for at = 2, #ARGV, 2 do
  local key = ARGV[1] .. 'episode:' .. placeOf(ARGV[1], ARGV[at], ARGV[at + 1])
  if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'told', '1') end
end
return 1
`,
};

/** ARGV: prefix, up to, most. */
const ENDING: RedisScript = {
  name: 'cairnEndingEpisodes',
  lua: `
local states = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', ARGV[1] .. 'ends', '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local state = redis.call('HMGET', ARGV[1] .. 'episode:' .. member, 'window', 'since', 'until', 'peak', 'firings', 'told', 'facts')
  if state[1] then states[#states + 1] = state else redis.call('ZREM', ARGV[1] .. 'ends', member) end
end
return states
`,
};

/** ARGV: prefix, window, since, until. */
const FORGET: RedisScript = {
  name: 'cairnForgetEpisode',
  lua: `${PLACE_LUA}
local member = placeOf(ARGV[1], ARGV[2], ARGV[3])
local key = ARGV[1] .. 'episode:' .. member
if redis.call('HGET', key, 'until') == ARGV[4] then
  redis.call('DEL', key)
  redis.call('ZREM', ARGV[1] .. 'ends', member)
end
return 1
`,
};

/** ARGV: prefix, partition, up to, most. */
const CLOSING: RedisScript = {
  name: 'cairnClosingWindows',
  lua: `
local found = {}
local due = redis.call('ZRANGEBYSCORE', ARGV[1] .. 'closing:' .. ARGV[2], '-inf', ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
for i = 1, #due, 2 do
  found[#found + 1] = { due[i], due[i + 1], redis.call('HGETALL', ARGV[1] .. 'window:' .. due[i]) }
end
return found
`,
};

/** ARGV: prefix, partition, window, up to, next or ''. */
const CLOSED: RedisScript = {
  name: 'cairnClosedWindow',
  lua: `
local key = ARGV[1] .. 'closing:' .. ARGV[2]
local score = redis.call('ZSCORE', key, ARGV[3])
if score and tonumber(score) <= tonumber(ARGV[4]) then
  if ARGV[5] == '' then redis.call('ZREM', key, ARGV[3]) else redis.call('ZADD', key, ARGV[5], ARGV[3]) end
end
return 1
`,
};

/** Fits Redis to what alerting asks of a store of windows. */
export function windowsInRedis(options: WindowsInRedisOptions): Windows {
  const { redis, lateness } = options;
  const prefix = `{cairn:${options.deployment}}:`;

  const merge = async (
    mode: 'add' | 'set' | 'look',
    additions: readonly WindowAddition[],
    head: readonly (string | number)[],
  ): Promise<WindowView[]> => {
    const args = [mode, prefix, ...head, ...additions.flatMap((addition) => argumentsOf(addition, lateness))];
    const [outcome, found] = (await redis.run(ADD, [`${prefix}offset:`], args)) as [string, unknown];
    if (outcome === 'moved') throw moved(String(found), String(head[1]));
    return viewsOf(additions, found as readonly (number | readonly string[])[]);
  };
  /** Parts of a batch that may be large; each is one step. */
  const inParts = async (
    mode: 'set' | 'look',
    additions: readonly WindowAddition[],
    partition: string,
  ): Promise<WindowView[]> => {
    const views: WindowView[] = [];
    for (const part of partsOf(additions)) views.push(...(await merge(mode, part, [partition, '', '', 0])));
    return views;
  };

  return {
    async position(partition) {
      const answer = (await redis.run(POSITION, [`${prefix}offset:`], [prefix, partition])) as [
        string,
        string[],
      ];
      return { offset: answer[0] === '' ? undefined : Number(answer[0]), streams: mapOf(answer[1]) };
    },
    // However large, a batch is one step: its offset and all of its counts.
    add: ({ partition, expected, last, streams, additions }) =>
      merge('add', additions, [partition, expected ?? '', last, streams.size, ...[...streams].flat()]),
    look: (additions) => inParts('look', additions, ''),
    set: (partition, additions) => inParts('set', additions, partition),
    async continueEpisodes(firings) {
      if (firings.length === 0) return [];
      const args = firings.flatMap(({ window, end, timespan, measure, facts, told }) => [
        window,
        end,
        timespan,
        measure,
        facts,
        told ? '1' : '0',
      ]);
      const states = await redis.run(EPISODES, [`${prefix}ends`], [prefix, lateness, ...args]);
      return (states as string[][]).map(episodeOf);
    },
    async markTold(episodes) {
      if (episodes.length === 0) return;
      const args = episodes.flatMap(({ window, since }) => [window, since]);
      await redis.run(TOLD, [`${prefix}ends`], [prefix, ...args]);
    },
    async ending(upTo, most) {
      const states = await redis.run(ENDING, [`${prefix}ends`], [prefix, upTo, most]);
      return (states as string[][]).map(episodeOf);
    },
    async forget({ window, since, until }) {
      await redis.run(FORGET, [`${prefix}ends`], [prefix, window, since, until]);
    },
    async closing(partition, upTo, most) {
      const found = (await redis.run(CLOSING, [`${prefix}closing`], [prefix, partition, upTo, most])) as [
        string,
        string,
        string[],
      ][];
      const windows: ClosingWindow[] = [];
      for (const [window, endedAt, fields] of found) {
        const [id = '', ...group] = JSON.parse(window) as string[];
        const correlation = options.correlationOf(id);
        // Its rule was taken out meanwhile.
        if (correlation === undefined)
          await redis.run(CLOSED, [`${prefix}closing`], [prefix, partition, window, upTo, '']);
        else
          windows.push({
            view: { window, correlation, group, cells: cellsOf(fields) },
            endedAt: Number(endedAt),
          });
      }
      return windows;
    },
    async closed(partition, window, upTo, next) {
      await redis.run(CLOSED, [`${prefix}closing`], [prefix, partition, window, upTo, next ?? '']);
    },
  };
}

/** How long cells matter: a span and the lateness, and for a baseline all the weeks it looks back on. */
export function keptSpan({ timespan, baseline }: Correlation, lateness: Micros): Micros {
  return (baseline === undefined ? timespan : baseline.weeks * WEEK + HOUR) + lateness;
}

/** Window, merge, floor, span that is kept, most cells, time to live, end of its earliest part, cells, (tick, label, count, id)*. */
function argumentsOf(addition: WindowAddition, lateness: Micros): (string | number)[] {
  const { window, correlation, merge, cells } = addition;
  const keep = keptSpan(correlation, lateness);
  const anchor = cells.find(({ label }) => correlation.anchors.has(Number(label)));
  return [
    window,
    merge,
    correlation.floor,
    keep,
    correlation.cellsMax,
    Math.ceil(keep / 1_000) + GRACE_MS,
    correlation.judgedAt === 'close' && anchor !== undefined ? anchor.tick + correlation.timespan : '',
    cells.length,
    ...cells.flatMap(({ tick, label, count, eventId }) => [tick, label, count, hexOf(eventId)]),
  ];
}

function* partsOf(additions: readonly WindowAddition[]): Generator<WindowAddition[]> {
  let part: WindowAddition[] = [];
  let cells = 0;
  for (const addition of additions) {
    part.push(addition);
    cells += addition.cells.length;
    if (cells < CELLS_AT_ONCE) continue;
    yield part;
    part = [];
    cells = 0;
  }
  if (part.length > 0) yield part;
}

function viewsOf(
  additions: readonly WindowAddition[],
  found: readonly (number | readonly string[])[],
): WindowView[] {
  const views: WindowView[] = [];
  for (let at = 0; at < found.length; at += 2) {
    const { window, correlation, group } = additions[found[at] as number]!;
    views.push({ window, correlation, group, cells: cellsOf(found[at + 1] as readonly string[]) });
  }
  return views;
}

function cellsOf(fields: readonly string[]): Cell[] {
  const cells: Cell[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const [, tick, label] = /^(-?\d+):(.*)$/s.exec(fields[at]!) ?? [];
    if (tick === undefined || label === undefined) continue;
    const [count = '', id = ''] = fields[at + 1]!.split(':');
    cells.push({ tick: Number(tick), label, count: Number(count), eventId: bytesOfHex(id) });
  }
  return cells.sort((a, b) => a.tick - b.tick || (a.label < b.label ? -1 : 1));
}

function mapOf(pairs: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (let at = 0; at < pairs.length; at += 2) map.set(pairs[at]!, pairs[at + 1]!);
  return map;
}

function episodeOf([window, since, until, peak, firings, told, facts]: readonly string[]): EpisodeState {
  return {
    window: window!,
    since: Number(since),
    until: Number(until),
    peak: Number(peak),
    firings: Number(firings),
    told: told === '1',
    facts: facts!,
  };
}

/** Another instance counted further, or Redis has lost what it knew. */
export function moved(found: string, expected: string): Failure {
  return new Failure({
    code: 'windows.moved',
    retry: 'yes',
    message: `the windows stand at offset ${found || 'none'}, and ${expected || 'none'} was expected`,
    mend: 'They are taken up from where they stand.',
  });
}
