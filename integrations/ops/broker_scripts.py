"""The scripts by which messages are moved at the broker. Redis runs each whole, alone.

Each first sees whether the message still is where the operator saw it. The first thing written is a
removal, so that a Redis that is full refuses no second half.
"""

from __future__ import annotations

from typing import Final

# take_out(list, wanted): removes these ids from a list; returns those that were in it. For many the
# list is written anew: looking for each would take as long as the list is, each time.
_TAKE_OUT: Final = """
local function take_out(list, wanted)
    local taken = {}
    if #wanted <= 20 then
        for _, id in ipairs(wanted) do
            if redis.call('lrem', list, 0, id) > 0 then taken[id] = true end
        end
        return taken
    end
    local is_wanted, kept, is_changed = {}, {}, false
    for _, id in ipairs(wanted) do is_wanted[id] = true end
    for _, id in ipairs(redis.call('lrange', list, 0, -1)) do
        if is_wanted[id] then
            taken[id] = true
            is_changed = true
        else
            kept[#kept + 1] = id
        end
    end
    if is_changed then
        redis.call('del', list)
        for i = 1, #kept, 1000 do
            redis.call('rpush', list, unpack(kept, i, math.min(i + 999, #kept)))
        end
    end
    return taken
end
-- Whoever holds it will find nothing to acknowledge, and nobody gives it back for him.
local function take_from_holders(id, heartbeats, acks, queue)
    for _, process in ipairs(redis.call('zrange', heartbeats, 0, -1)) do
        redis.call('srem', acks .. process .. '.' .. queue, id)
    end
end
"""

# KEYS: dead, dead payloads, ready, ready payloads. ARGV: the prefix of what is to be skipped; then
# of each letter its id, its new id, its new payload and the message's id.
REQUEUE: Final = """
local done = 0
for i = 2, #ARGV, 4 do
    if redis.call('zrem', KEYS[1], ARGV[i]) == 1 then
        redis.call('hdel', KEYS[2], ARGV[i])
        redis.call('hset', KEYS[4], ARGV[i + 1], ARGV[i + 2])
        redis.call('rpush', KEYS[3], ARGV[i + 1])
        redis.call('del', ARGV[1] .. ARGV[i + 3])
        done = done + 1
    end
end
return done
"""

# KEYS: dead, dead payloads. ARGV: ids.
DELETE_DEAD: Final = """
local done = 0
for _, id in ipairs(ARGV) do
    done = done + redis.call('zrem', KEYS[1], id)
    redis.call('hdel', KEYS[2], id)
end
return done
"""

# KEYS: list, payloads, heartbeats. ARGV: prefix of acks, queue, prefix of what is to be skipped and
# for how long, how many message ids are being worked on, these, then ids.
DELETE_WAITING: Final = (
    _TAKE_OUT
    + """
local acks, queue, skip, kept_s, running_count = unpack(ARGV, 1, 5)
local running, wanted, done = {}, {}, 0
for i = 6, 5 + running_count do running[ARGV[i]] = true end
for i = 6 + running_count, #ARGV do wanted[#wanted + 1] = ARGV[i] end
local listed = take_out(KEYS[1], wanted)
for _, id in ipairs(wanted) do
    local payload = redis.call('hget', KEYS[2], id)
    if listed[id] then
        redis.call('hdel', KEYS[2], id)
        done = done + 1
    elseif payload then
        local is_sound, message = pcall(cjson.decode, payload)
        local message_id = is_sound and type(message) == 'table' and message['message_id']
        if not (message_id and running[message_id]) then
            redis.call('hdel', KEYS[2], id)
            take_from_holders(id, KEYS[3], acks, queue)
            if type(message_id) == 'string' then
                redis.call('set', skip .. message_id, 1, 'EX', kept_s)
            end
            done = done + 1
        end
    end
end
return done
"""
)

# KEYS: delayed, delayed payloads, ready, ready payloads, heartbeats. ARGV: prefix of acks, queue,
# prefix of what is to be skipped and for how long; then of each message its id, its new id, whether
# a worker that holds it is about to move it itself, its payload, its payload as a copy with a new
# message id, and the old message id. From the last to the first: each goes to the head.
RUN_NOW: Final = (
    _TAKE_OUT
    + """
local acks, queue, skip, kept_s = unpack(ARGV, 1, 4)
local wanted, done = {}, 0
for i = 5, #ARGV, 6 do wanted[#wanted + 1] = ARGV[i] end
local listed = take_out(KEYS[1], wanted)
for i = #ARGV - 5, 5, -6 do
    local id, new_id, is_due, payload, copy, message_id = unpack(ARGV, i, i + 5)
    local is_there = redis.call('hexists', KEYS[2], id) == 1
    if is_there and (listed[id] or is_due == '0') then
        redis.call('hdel', KEYS[2], id)
        if not listed[id] then
            take_from_holders(id, KEYS[5], acks, queue)
            redis.call('set', skip .. message_id, 1, 'EX', kept_s)
            payload = copy
        end
        redis.call('hset', KEYS[4], new_id, payload)
        redis.call('lpush', KEYS[3], new_id)
        done = done + 1
    end
end
return done
"""
)
