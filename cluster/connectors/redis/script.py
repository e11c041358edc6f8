"""The script that writes a batch and moves its lane's position: all of it, or nothing. Pure text.

Redis runs a script as one, and puts what it wrote into its log and to its replicas as one; but it does not undo what a
script did before it failed. So what could fail in the middle (a key of another kind, a missing right) is looked at
first; memory, disk and role are looked at by Redis itself before the first write of a script, and not after.
"""

POSITION_PREFIX = b"riverrun:position:"

WRITE = """
-- KEYS: the lane's position, then the key of each record.
-- ARGV: the position that has to be there ('' for none), the one after it, 'set', 'hash', 'list' or 'stream', a limit
-- (0: none): of milliseconds that a value or a hash stays, of entries that a list or a stream has. Then for each record
-- how many arguments it has, and those: a value; fields and their values; none: the key is deleted.
local mode, limit = ARGV[3], tonumber(ARGV[4])
local at = redis.call('GET', KEYS[1]) or ''
if at ~= ARGV[1] then return {'position', at} end

local function may(...) return not redis.acl_check_cmd or redis.acl_check_cmd(...) end
local function may_write(key)
    if mode == 'list' then return may('RPUSH', key, '') and (limit == 0 or may('LTRIM', key, '0', '1')) end
    if mode == 'stream' then return may('XADD', key, '*', '', '') end
    local last = limit == 0 or mode == 'set' or may('PEXPIRE', key, '1')
    return may('DEL', key) and last and (mode == 'set' and may('SET', key, '') or may('HSET', key, '', ''))
end
if not (may('SET', KEYS[1], '0') and may('SETRANGE', KEYS[1], '0', '')) then return {'right', 0} end
for i = 2, #KEYS do
    if mode == 'list' or mode == 'stream' then
        local found = redis.call('TYPE', KEYS[i]).ok
        if found ~= 'none' and found ~= mode then return {'kind', i - 2, found} end
    end
    if not may_write(KEYS[i]) then return {'right', i - 2} end
end

redis.call('SETRANGE', KEYS[1], 0, '')  -- changes nothing, and is refused as what needs memory: a deletion would not be
local function write_hash(key, first, last)
    redis.call('DEL', key)
    for n = first, last, 1000 do redis.call('HSET', key, unpack(ARGV, n, math.min(n + 999, last))) end
    if limit > 0 then redis.call('PEXPIRE', key, limit) end
end
local place = 5
for i = 2, #KEYS do
    local key, first, last = KEYS[i], place + 1, place + tonumber(ARGV[place])
    if mode == 'list' then
        redis.call('RPUSH', key, ARGV[first])
        if limit > 0 then redis.call('LTRIM', key, -limit, -1) end
    elseif mode == 'stream' then
        if limit > 0 then redis.call('XADD', key, 'MAXLEN', '~', limit, '*', unpack(ARGV, first, last))
        else redis.call('XADD', key, '*', unpack(ARGV, first, last)) end
    elseif last < first then
        redis.call('DEL', key)
    elseif mode == 'hash' then
        write_hash(key, first, last)
    elseif limit > 0 then
        redis.call('SET', key, ARGV[first], 'PX', limit)
    else
        redis.call('SET', key, ARGV[first])
    end
    place = last + 1
end
redis.call('SET', KEYS[1], ARGV[2])
return {'written'}
"""
