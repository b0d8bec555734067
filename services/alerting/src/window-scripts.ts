/**
 * The scripts that Redis runs for its windows, each of them one step that happens whole or not at all. All keys of a deployment
 * begin with one hash tag, so that they share a slot of a cluster and a script may touch them together:
 *
 *     {cairn:<deployment>}:owner:<topic>/<partition>     who may count it: an arbitrary text
 *     {cairn:<deployment>}:whole:<topic>/<partition>     1 once episodes are known of all that is committed
 *     {cairn:<deployment>}:offset:<topic>/<partition>    the last offset that was counted
 *     {cairn:<deployment>}:streams:<topic>/<partition>   hash: stream -> "<epoch> <seq>"
 *     {cairn:<deployment>}:window:<key>                  hash: "<tick>:<label>" -> "<count>:<event id, hex>"
 *                                                              "#" -> "<sum of the counts> <cells> <newest tick> <the newest
 *                                                                     tick when it was trimmed last>"
 *     {cairn:<deployment>}:closing:<topic>/<partition>   sorted set: window's key by the end of its earliest unjudged part
 *     {cairn:<deployment>}:episodes:<key>                sorted set: since, of each episode of a window
 *     {cairn:<deployment>}:episode:<key>\n<since>        hash: window, since, until, peak, firings, told, facts, ends,
 *                                                              and over once it has ended
 *     {cairn:<deployment>}:ends:<topic>/<partition>      sorted set: "<key>\n<since>" by when it can go on no more
 *
 * Ticks and spans are microseconds, in decimal: they pass through Lua's numbers unharmed (below 2^53) and are never printed
 * from one, which would round them.
 */
import type { RedisScript } from '@cairn/adapters';

/** Values that a script hands to one command at most: Lua's stack holds some thousands. Even, for pairs. */
const AT_ONCE = 4_000;
/** How long a window outlives its span in Redis, by Redis's clock. One that is to be judged at its close stays until it was. */
export const GRACE_MS = 3_600_000;

/** Every script begins with prefix, partition and owner. */
const OWNER_LUA = `
local prefix, partition, owner = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', prefix .. 'owner:' .. partition) ~= owner then return { 'fenced' } end
`;

const TRIM_LUA = `
-- Cells from the tick "unjudged" on were not judged yet, and are kept however old they are.
local function trim(key, keep, cellsMax, oldest, newest, unjudged)
  local all = redis.call('HGETALL', key)
  local from = math.min(tonumber(newest), oldest) - keep
  if unjudged then from = math.min(from, unjudged) end
  local cells, gone, total, kept = {}, {}, 0, 0
  for i = 1, #all, 2 do
    local tick = string.match(all[i], '^(%-?%d+):')
    if tick then
      local count = tonumber(string.match(all[i + 1], '^%d+'))
      if tonumber(tick) < from then
        gone[#gone + 1] = all[i]
      else
        if tonumber(tick) < oldest then cells[#cells + 1] = { tonumber(tick), all[i], count } end
        total, kept = total + count, kept + 1
      end
    end
  end
  if #cells > cellsMax then
    table.sort(cells, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
    for i = 1, #cells - cellsMax do
      gone[#gone + 1] = cells[i][2]
      total, kept = total - cells[i][3], kept - 1
    end
  end
  for i = 1, #gone, ${AT_ONCE} do redis.call('HDEL', key, unpack(gone, i, math.min(#gone, i + ${AT_ONCE - 1}))) end
  redis.call('HSET', key, '#', total .. ' ' .. kept .. ' ' .. newest .. ' ' .. newest)
end
`;

/**
 * ARGV: …, mode, expected, last, oldest, streams, additions. Streams and additions are JSON, which costs a tenth of as many
 * arguments: `[stream, position, …]`, and for each correlation `[merge, floor, keep, cells max, time to live, timespan where
 * it is judged at its close and else 0, [window, …]]`, a window being `[key, closes, newest tick, field, value, count, field, …]`, with field and value of each cell as they stand in the
 * hash where the cell is new: texts that are put together here cost Redis nothing. Ticks are texts.
 */
export const ADD: RedisScript = {
  name: 'cairnAddToWindows',
  lua: `${OWNER_LUA}${TRIM_LUA}
local mode, expected, last, oldest = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
if mode == 'add' then
  local known = redis.call('GET', prefix .. 'offset:' .. partition) or ''
  if known ~= expected then return { 'moved', known } end
  local streams = cjson.decode(ARGV[8])
  for i = 1, #streams, ${AT_ONCE} do
    redis.call('HSET', prefix .. 'streams:' .. partition, unpack(streams, i, math.min(#streams, i + ${AT_ONCE - 1})))
  end
end

local function merged(key, window, merge)
  local wanted, places = { '#' }, 1
  for i = 4, #window, 3 do
    places = places + 1
    wanted[places] = window[i]
  end
  local had = places <= ${AT_ONCE} and redis.call('HMGET', key, unpack(wanted)) or nil
  if not had then
    had = {}
    for i = 1, places do had[i] = redis.call('HGET', key, wanted[i]) end
  end
  local total, count, newest, trimmed = 0, 0, nil, nil
  if had[1] then
    total, count, newest, trimmed = string.match(had[1], '^(%S+) (%S+) (%S+) (%S+)$')
    total, count = tonumber(total), tonumber(count)
  end
  local fresh, at = 0, 4
  local changed, last = {}, 0
  for place = 2, places do
    local old = had[place]
    if not old then
      changed[last + 1], changed[last + 2] = window[at], window[at + 1]
      last = last + 2
      total = total + window[at + 2]
      fresh = fresh + 1
    elseif merge == 'add' then
      local colon = string.find(old, ':', 1, true)
      changed[last + 1] = window[at]
      changed[last + 2] = (tonumber(string.sub(old, 1, colon - 1)) + window[at + 2]) .. string.sub(old, colon)
      last = last + 2
      total = total + window[at + 2]
    end
    at = at + 3
  end
  count = count + fresh
  -- A cell that was there is no newer than the newest.
  if not newest or tonumber(window[3]) > tonumber(newest) then newest = window[3] end
  trimmed = trimmed or newest
  if last > 0 then
    changed[last + 1], changed[last + 2] = '#', total .. ' ' .. count .. ' ' .. newest .. ' ' .. trimmed
    last = last + 2
    for i = 1, last, ${AT_ONCE} do redis.call('HSET', key, unpack(changed, i, math.min(last, i + ${AT_ONCE - 1}))) end
  end
  return total, count, newest, trimmed, fresh
end

local views = {}
local index = 0
local closing = prefix .. 'closing:' .. partition
for _, correlation in ipairs(cjson.decode(ARGV[9])) do
  local merge, floor, keep, cellsMax, ttl, span = unpack(correlation, 1, 6)
  for _, window in ipairs(correlation[7]) do
    local key = prefix .. 'window:' .. window[1]
    local total, count, newest, trimmed, fresh, unjudged
    if mode == 'look' then
      total = tonumber(string.match(redis.call('HGET', key, '#') or '0', '^%d+'))
    else
      total, count, newest, trimmed, fresh = merged(key, window, merge)
      if span > 0 then
        if window[2] ~= '' then redis.call('ZADD', closing, 'LT', window[2], window[1]) end
        local ends = redis.call('ZSCORE', closing, window[1])
        unjudged = ends and tonumber(ends) - span
      end
      if unjudged then redis.call('PERSIST', key) elseif fresh > 0 then redis.call('PEXPIRE', key, ttl) end
    end
    if total >= floor then
      views[#views + 1] = index
      views[#views + 1] = redis.call('HGETALL', key)
    end
    if mode ~= 'look' and (count > cellsMax + fresh or tonumber(newest) - tonumber(trimmed) > keep) then
      trim(key, keep, cellsMax, oldest, newest, unjudged)
    end
    index = index + 1
  end
end
if mode == 'add' and last ~= '' then redis.call('SET', prefix .. 'offset:' .. partition, last) end
return { 'done', views }
`,
};

/** Becomes the owner. ARGV: prefix, partition, owner. */
export const TAKE: RedisScript = {
  name: 'cairnTakeWindows',
  lua: `
local prefix, partition = ARGV[1], ARGV[2]
redis.call('SET', prefix .. 'owner:' .. partition, ARGV[3])
return { redis.call('GET', prefix .. 'offset:' .. partition) or '', redis.call('HGETALL', prefix .. 'streams:' .. partition),
  redis.call('GET', prefix .. 'whole:' .. partition) or '' }
`,
};

export const WHOLE: RedisScript = {
  name: 'cairnMarkWhole',
  lua: `${OWNER_LUA}
redis.call('SET', prefix .. 'whole:' .. partition, '1')
return { 'done' }
`,
};

/** ARGV: …, lateness, (window, ends, timespan, measure, facts, told)*; ends are joined by spaces, ascending. */
export const EPISODES: RedisScript = {
  name: 'cairnContinueEpisodes',
  lua: `${OWNER_LUA}
local lateness = tonumber(ARGV[4])
local due = prefix .. 'ends:' .. partition
local function find(window, last, span)
  local index = prefix .. 'episodes:' .. window
  local to = string.format('%.0f', last + span)
  for _, since in ipairs(redis.call('ZREVRANGEBYSCORE', index, to, '-inf', 'LIMIT', 0, 1)) do
    local untilTick = redis.call('HGET', prefix .. 'episode:' .. window .. '\\n' .. since, 'until')
    if not untilTick then
      redis.call('ZREM', index, since)
    elseif last >= tonumber(since) - span and last <= tonumber(untilTick) + span then
      return since
    end
  end
end
-- How many different instants come after this one.
local function later(ends, after)
  local count = 0
  for text in string.gmatch(ends, '%S+') do
    local instant = tonumber(text)
    if instant > after then count, after = count + 1, instant end
  end
  return count
end
local states = {}
for at = 5, #ARGV, 6 do
  local window, ends, span, measure, facts, told = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local first, last = string.match(ends, '^%S+'), string.match(ends, '%S+$')
  local since = find(window, tonumber(first), span)
  local member = window .. '\\n' .. (since or first)
  local key = prefix .. 'episode:' .. member
  if since then
    local had = redis.call('HMGET', key, 'until', 'peak', 'firings')
    local untilTick, firings = tonumber(had[1]), tonumber(had[3])
    if tonumber(last) > untilTick then
      redis.call('HSET', key, 'until', last, 'firings', firings + later(ends, untilTick))
    end
    if tonumber(measure) > tonumber(had[2]) then redis.call('HSET', key, 'peak', measure) end
  else
    redis.call('HSET', key, 'window', window, 'since', first, 'until', last, 'peak', measure, 'firings', 1 + later(ends, tonumber(first)), 'told', told, 'facts', facts)
    redis.call('ZADD', prefix .. 'episodes:' .. window, first, first)
  end
  local state = redis.call('HMGET', key, 'window', 'since', 'until', 'peak', 'firings', 'told', 'facts', 'over')
  if not state[8] then
    redis.call('PERSIST', prefix .. 'episodes:' .. window)
    local ends = string.format('%.0f', tonumber(state[3]) + span + lateness)
    redis.call('HSET', key, 'ends', ends)
    redis.call('ZADD', due, ends, member)
  end
  states[#states + 1] = state
end
return { 'done', states }
`,
};

/** ARGV: …, (window, since)*. */
export const TOLD: RedisScript = {
  name: 'cairnMarkTold',
  lua: `${OWNER_LUA}
for at = 4, #ARGV, 2 do
  local key = prefix .. 'episode:' .. ARGV[at] .. '\\n' .. ARGV[at + 1]
  if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'told', '1') end
end
return { 'done' }
`,
};

/** ARGV: …, up to, most. */
export const ENDING: RedisScript = {
  name: 'cairnEndingEpisodes',
  lua: `${OWNER_LUA}
local due = prefix .. 'ends:' .. partition
local states = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[4], 'LIMIT', 0, ARGV[5])) do
  local key = prefix .. 'episode:' .. member
  local ends = redis.call('HGET', key, 'ends')
  if not ends then
    redis.call('ZREM', due, member)
  elseif tonumber(ends) > tonumber(ARGV[4]) then
    redis.call('ZADD', due, ends, member)
  else
    states[#states + 1] = redis.call('HMGET', key, 'window', 'since', 'until', 'peak', 'firings', 'told', 'facts')
  end
end
return { 'done', states }
`,
};

/** An episode that ended stays for a while, so that a firing which is found again begins no other. ARGV: …, (window, since, until)*. */
export const CLOSE: RedisScript = {
  name: 'cairnCloseEpisodes',
  lua: `${OWNER_LUA}
for at = 4, #ARGV, 3 do
  local member = ARGV[at] .. '\\n' .. ARGV[at + 1]
  local key = prefix .. 'episode:' .. member
  if redis.call('HGET', key, 'until') == ARGV[at + 2] then
    redis.call('HSET', key, 'over', '1')
    redis.call('PEXPIRE', key, ${GRACE_MS})
    redis.call('PEXPIRE', prefix .. 'episodes:' .. ARGV[at], ${GRACE_MS})
    redis.call('ZREM', prefix .. 'ends:' .. partition, member)
  end
end
return { 'done' }
`,
};

/** ARGV: …, up to, most. */
export const CLOSING: RedisScript = {
  name: 'cairnClosingWindows',
  lua: `${OWNER_LUA}
local found = {}
local due = redis.call('ZRANGEBYSCORE', prefix .. 'closing:' .. partition, '-inf', ARGV[4], 'WITHSCORES', 'LIMIT', 0, ARGV[5])
for i = 1, #due, 2 do
  found[#found + 1] = { due[i], due[i + 1], redis.call('HGETALL', prefix .. 'window:' .. due[i]) }
end
return { 'done', found }
`,
};

/** ARGV: …, up to, (window, next or '', time to live)*. */
export const CLOSED: RedisScript = {
  name: 'cairnClosedWindows',
  lua: `${OWNER_LUA}
local key, upTo = prefix .. 'closing:' .. partition, tonumber(ARGV[4])
for at = 5, #ARGV, 3 do
  local window, next = ARGV[at], ARGV[at + 1]
  local score = redis.call('ZSCORE', key, window)
  if score and tonumber(score) <= upTo then
    if next == '' then
      redis.call('ZREM', key, window)
      redis.call('PEXPIRE', prefix .. 'window:' .. window, ARGV[at + 2])
    else
      redis.call('ZADD', key, next, window)
    end
  end
end
return { 'done' }
`,
};
