"""`./dev bench bus`: the bus in memory, and its adapters for NATS and Redis beside the raw clients.

In memory: messages a second from one sender to one subscription, and what a request through a MAD's mailbox waits for.
NATS (127.0.0.1:4222) and Redis (127.0.0.1:6379): each pattern by our adapter and by nats-py or redis-py itself, in
turns; see `bus_nats` and `bus_redis` for what the raw side does. The rates of the outbox stand for themselves.
Reach: 200,000 messages/s, p99 at most 50 µs, and at each broker at least 60 % of the raw client in every pattern.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import uvloop

from bench.bus_memory import outbox_rates, published_per_s, request_us
from bench.bus_nats import nats_patterns
from bench.bus_redis import redis_patterns
from bench.bus_rounds import ROUNDS, Compared, Seen, take_turns
from bench.figures import Figure
from cenoby.app.process import settle_garbage_collector
from cenoby.bus.contract import BusUnavailable

NATS, REDIS = "127.0.0.1:4222", "127.0.0.1:6379"
MESSAGES_PER_S = 200_000
REQUEST_P99_US = 50
RATIO = 0.6


async def in_memory() -> tuple[list[Figure], dict[str, float]]:
    published = [await published_per_s() for _ in range(ROUNDS)]
    p50s, p99s = zip(*[await request_us() for _ in range(ROUNDS)], strict=True)
    figures = [
        Figure("memory_messages_per_s", statistics.median(published), MESSAGES_PER_S, "/s", at_least=True),
        Figure("memory_request_p99_us", statistics.median(p99s), REQUEST_P99_US, "µs"),
    ]
    return figures, {"memory_request_p50_us": statistics.median(p50s)}


async def at_broker(
    name: str, patterns: Callable[[str], AbstractAsyncContextManager[list[Compared]]], place: str
) -> tuple[list[Figure], list[Seen]]:
    """The lowest ratio of all patterns, and each of them."""
    seen: list[Seen] = []
    try:
        async with patterns(place) as found:
            for one in found:
                seen += await take_turns(one)
    except (BusUnavailable, OSError) as error:
        print(f"bench: {name} was not measured: {error}", file=sys.stderr)
        return [Figure(f"{name}_ratio_to_raw", None, RATIO, "", at_least=True)], []
    return [Figure(f"{name}_ratio_to_raw", min(one.ratio for one in seen), RATIO, "", at_least=True)], seen


async def outbox() -> dict[str, float]:
    put, done = zip(*[await outbox_rates() for _ in range(ROUNDS)], strict=True)
    return {"outbox_put_per_s": statistics.median(put), "outbox_work_per_s": statistics.median(done)}


async def measure() -> tuple[list[Figure], dict[str, float], dict[str, list[Seen]]]:
    memory, beside = await in_memory()
    nats, nats_seen = await at_broker("nats", nats_patterns, NATS)
    redis, redis_seen = await at_broker("redis", redis_patterns, REDIS)
    beside |= await outbox()
    return [*memory, *nats, *redis], beside, {"nats": nats_seen, "redis": redis_seen}


def main(as_json: bool) -> int:
    settle_garbage_collector()
    figures, beside, seen = uvloop.run(measure())
    if as_json:
        rates = {
            f"{broker}_{one.name}": {"ours_per_s": one.ours, "raw_per_s": one.raw, "ratio": one.ratio}
            for broker, found in seen.items()
            for one in found
        }
        print(json.dumps({one.name: one.value for one in figures} | beside | rates))
    else:
        print(*figures, sep="\n")
        for name, value in beside.items():
            print(f"{name:26}{value:12.2f}")
        print(f"\n{'':26}{'ours/s':>12}{'raw/s':>12}{'ratio':>8}")
        for broker, found in seen.items():
            for one in found:
                print(f"{f'{broker} {one.name}':26}{one.ours:12.0f}{one.raw:12.0f}{one.ratio:8.2f}")
    return 0 if all(one.reached for one in figures) else 1
