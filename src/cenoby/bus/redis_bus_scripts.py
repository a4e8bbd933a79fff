"""What the bus has Redis do in one step, in Lua.

Names, where `root` is e.g. `cenoby:0`:

    {root}:bus:s:<subject>           channel of plain envelopes
    {root}:bus:cancel                channel: ids of requests that nobody waits for any more
    {root}:bus:live:<pattern>        sorted set of `<connection> <group>`, by when the registration expires (ms)
    {root}:bus:wild                  sorted set of the patterns among them that hold a wildcard
    {root}:bus:group:<pattern> <group>   stream of what a group shares: published envelopes, and requests
    {root}:bus:inbox:<connection>    stream of replies to one connection

Every key expires by itself soon after its last owner stopped beating. The names are made here and not handed over as
keys, so this is for one Redis (with replicas) and not for a Redis Cluster.
"""

from __future__ import annotations

from cenoby.bus.redis_link import Script

LEASE_MS = 4_000
"""A registration that was not renewed for so long is nobody's."""
STREAM_LENGTH = 10_000
"""About so many envelopes wait in one group's stream; the oldest make room."""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local root = ARGV[1] .. ':bus:'
"""

# `*` is one name and a last `>` is one or more, as in `contract.matches`.
_LIVE = """
local function covers(pattern, subject)
  local rest = subject .. '.'
  for name in string.gmatch(pattern, '[^.]+') do
    if name == '>' then return rest ~= '' end
    local stop = string.find(rest, '.', 1, true)
    if not stop then return false end
    if name ~= '*' and name ~= string.sub(rest, 1, stop - 1) then return false end
    rest = string.sub(rest, stop + 1)
  end
  return rest == ''
end

local function live(subject)
  local patterns, found = {subject}, {}
  for _, pattern in ipairs(redis.call('ZRANGEBYSCORE', root .. 'wild', '(' .. now, '+inf')) do
    if covers(pattern, subject) then patterns[#patterns + 1] = pattern end
  end
  for _, pattern in ipairs(patterns) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', root .. 'live:' .. pattern, '(' .. now, '+inf')) do
      local group = string.sub(member, string.find(member, ' ', 1, true) + 1)
      found[#found + 1] = root .. 'group:' .. pattern .. ' ' .. group
    end
  end
  return found
end
"""

PUBLISH = Script(
    _NOW
    + _LIVE
    + f"""
redis.call('PUBLISH', root .. 's:' .. ARGV[2], ARGV[3])
local told = {{}}
for _, stream in ipairs(live(ARGV[2])) do
  if not told[stream] then
    told[stream] = true
    redis.call('XADD', stream, 'NOMKSTREAM', 'MAXLEN', '~', {STREAM_LENGTH}, '*', 'd', ARGV[3])
  end
end
return 1
"""
)
"""root, subject, data: to who listens, and once to each group that lives."""

REQUEST = Script(
    _NOW
    + _LIVE
    + f"""
local streams = live(ARGV[2])
if #streams == 0 then return false end
local stream = streams[tonumber(ARGV[4]) % #streams + 1]
local entry = redis.call('XADD', stream, 'NOMKSTREAM', 'MAXLEN', '~', {STREAM_LENGTH}, '*',
  'd', ARGV[3], 'r', ARGV[5], 'i', ARGV[6])
return entry and {{stream, entry}}
"""
)
"""root, subject, data, turn, inbox, id: to one group, in turn by its members; where it waits, or nil without any."""

CANCEL = Script(
    """
if ARGV[2] ~= '' then redis.call('XDEL', ARGV[2], ARGV[3]) end
return redis.call('PUBLISH', ARGV[1] .. ':bus:cancel', ARGV[4])
"""
)
"""root, stream, entry, id: whoever has not begun with the request never will, and whoever has is told."""

REGISTER = Script(
    _NOW
    + f"""
local me, lease = ARGV[2], {LEASE_MS}
local inbox = root .. 'inbox:' .. me
local fresh = redis.call('EXISTS', inbox) == 0
if fresh then redis.call('XGROUP', 'CREATE', inbox, 'm', '$', 'MKSTREAM') end
redis.call('PEXPIRE', inbox, lease * 4)
for i = 4, #ARGV, 2 do
  local pattern, group = ARGV[i], ARGV[i + 1]
  local members, stream = root .. 'live:' .. pattern, root .. 'group:' .. pattern .. ' ' .. group
  local kept = redis.call('ZSCORE', members, me .. ' ' .. group)
  for _, member in ipairs(redis.call('ZRANGE', members, 0, -1)) do
    local space = string.find(member, ' ', 1, true)
    if string.sub(member, 1, space - 1) ~= me and tonumber(redis.call('ZSCORE', members, member)) <= now then
      redis.call('ZREM', members, member)
      redis.pcall('XGROUP', 'DELCONSUMER', root .. 'group:' .. pattern .. string.sub(member, space), 'm',
        string.sub(member, 1, space - 1))
    elseif string.sub(member, space + 1) == group then
      kept = true
    end
  end
  -- What was sent to members that are all gone is not for whoever comes later.
  if not kept then redis.call('DEL', stream) end
  if redis.call('EXISTS', stream) == 0 then redis.call('XGROUP', 'CREATE', stream, 'm', '$', 'MKSTREAM') end
  redis.call('XTRIM', stream, 'MINID', '~', now - 60000)
  redis.call('PEXPIRE', stream, lease * 4)
  redis.call('ZADD', members, now + lease, me .. ' ' .. group)
  redis.call('PEXPIRE', members, lease * 4)
  if string.find(pattern, '[*>]') then
    redis.call('ZADD', root .. 'wild', now + lease, pattern)
    redis.call('PEXPIRE', root .. 'wild', lease * 4)
  end
end
if ARGV[3] == '1' then redis.call('XADD', inbox, 'MAXLEN', '~', 10000, '*', 'w', '1') end
return fresh and 1 or 0
"""
)
"""root, connection, wake, then pattern and group of each: register or renew; 1 where the inbox was not there before.

`wake` 1 has the connection's reader look again at which streams it reads.
"""

LEAVE = Script(
    _NOW
    + """
local me = ARGV[2]
for i = 4, #ARGV, 2 do
  local pattern, group = ARGV[i], ARGV[i + 1]
  local members, stream = root .. 'live:' .. pattern, root .. 'group:' .. pattern .. ' ' .. group
  redis.call('ZREM', members, me .. ' ' .. group)
  redis.pcall('XGROUP', 'DELCONSUMER', stream, 'm', me)
  local others = false
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', members, '(' .. now, '+inf')) do
    others = others or string.sub(member, string.find(member, ' ', 1, true) + 1) == group
  end
  if not others then redis.call('DEL', stream) end
  if redis.call('EXISTS', members) == 0 then redis.call('ZREM', root .. 'wild', pattern) end
end
if ARGV[3] == '1' then
  redis.call('DEL', root .. 'inbox:' .. me)
else
  redis.call('XADD', root .. 'inbox:' .. me, 'NOMKSTREAM', 'MAXLEN', '~', 10000, '*', 'w', '1')
end
return 1
"""
)
"""root, connection, last, then pattern and group of each: leave these groups; with `last` 1 the bus too."""
