"""Choosing a transport by its URL."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from cenoby.bus.contract import BusInvalid, MessageBus
from cenoby.bus.memory import MemoryBus
from cenoby.bus.work import WorkQueue
from cenoby.kernel.clock import Clock, SystemClock
from cenoby.kernel.settings import BusSecuritySettings
from cenoby.telemetry.recorder import CallTrace

_OPEN = BusSecuritySettings()


async def connect_bus(
    url: str,
    *,
    clock: Clock | None = None,
    trace: Callable[[CallTrace], None] | None = None,
    security: BusSecuritySettings = _OPEN,
) -> MessageBus:
    """The bus that `url` names: `memory://`, or `memory://?codec=msgpack` to pass every value through its bytes.

    `redis://host:6379/0`, or `rediss://` with TLS, is a bus between processes: see `redis_bus`.
    `nats://host:4222`, or `tls://`, is one too: see `nats_bus` and `nats_address`.

    Args:
        url: the setting `bus`.
        clock: tells the wall time that deadlines are compared with.
        trace: told of each delivery, e.g. `Recorder.record`.
        security: who we are at a broker, and how the way there is encrypted.

    Raises:
        BusInvalid: bus_url_invalid, bus_insecure, bus_refused.
        BusUnavailable: bus_disconnected.
    """
    parts = urlsplit(url)
    if parts.scheme in ("redis", "rediss"):
        # Imported here: a colony without Redis does not pay for loading its client.
        from cenoby.bus.redis_address import redis_address
        from cenoby.bus.redis_bus import RedisBus

        return await RedisBus.connect(redis_address(url, security), clock=clock, trace=trace)
    if parts.scheme in ("nats", "tls"):
        from cenoby.bus.nats_address import nats_address
        from cenoby.bus.nats_bus import NatsBus
        from cenoby.bus.nats_link import open_link

        address = nats_address(url, security)
        return NatsBus(await open_link(address, clock or SystemClock()), clock=clock, trace=trace)
    if parts.scheme != "memory" or parts.netloc or parts.path:
        raise BusInvalid(
            "bus_url_invalid",
            f"No bus transport for {parts.scheme or '(no scheme)'}://; use memory://, redis:// or nats://.",
        )
    options = parse_qs(parts.query, keep_blank_values=True)
    codec = options.pop("codec", [])
    if options or codec not in ([], ["msgpack"]):
        raise BusInvalid("bus_url_invalid", f"{url}: the one option of memory:// is codec=msgpack.")
    return MemoryBus(clock=clock, codec=bool(codec), trace=trace)


async def connect_work(
    url: str, *, clock: Clock | None = None, security: BusSecuritySettings = _OPEN
) -> WorkQueue | None:
    """The queues of durable work at the broker that `url` names; None where that transport keeps none.

    Args:
        url: the setting `bus`.
        clock: tells the wall time.
        security: who we are at a broker, and how the way there is encrypted.

    Raises:
        BusInvalid: bus_url_invalid, bus_insecure, bus_refused.
        BusUnavailable: bus_disconnected.
    """
    if urlsplit(url).scheme in ("redis", "rediss"):
        from cenoby.bus.redis_address import redis_address
        from cenoby.bus.redis_work import RedisWork

        return await RedisWork.connect(redis_address(url, security), clock=clock)
    if urlsplit(url).scheme in ("nats", "tls"):
        from cenoby.bus.nats_address import nats_address
        from cenoby.bus.nats_link import open_link
        from cenoby.bus.nats_work import open_work

        time = clock or SystemClock()
        return await open_work(await open_link(nats_address(url, security), time), time)
    return None
