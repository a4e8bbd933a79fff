"""Choosing a transport by its URL."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from cenoby.bus.contract import BusInvalid, MessageBus
from cenoby.bus.memory import MemoryBus
from cenoby.kernel.clock import Clock
from cenoby.telemetry.recorder import CallTrace


async def connect_bus(
    url: str, *, clock: Clock | None = None, record: Callable[[CallTrace], None] | None = None
) -> MessageBus:
    """The bus that `url` names: `memory://`, or `memory://?codec=msgpack` to pass every value through its bytes.

    Args:
        url: the setting `bus`.
        clock: tells the wall time that deadlines are compared with.
        record: told of each delivery, e.g. `Recorder.record`.

    Raises:
        BusInvalid: bus_url_invalid.
    """
    parts = urlsplit(url)
    if parts.scheme != "memory" or parts.netloc or parts.path:
        raise BusInvalid("bus_url_invalid", f"No bus transport for {parts.scheme or url!r}://; use memory://.")
    options = parse_qs(parts.query, keep_blank_values=True)
    codec = options.pop("codec", [])
    if options or codec not in ([], ["msgpack"]):
        raise BusInvalid("bus_url_invalid", f"{url}: the one option of memory:// is codec=msgpack.")
    return MemoryBus(clock=clock, codec=bool(codec), record=record)
