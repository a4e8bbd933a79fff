"""nats-py's client where ours differs from it; everything here that starts with `_` is nats-py 2.16.0's own.

The version is pinned, and `tests/bus/test_nats_*` fails where another one behaves differently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from nats import errors
from nats.aio.client import Client

_log = logging.getLogger(__name__)


class Received(msgspec.Struct, gc=False):
    """A message as it came."""

    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None

    @property
    def status(self) -> str:
        """`503` where nobody is there, and other statuses of the server's own; empty for a real message."""
        return (self.headers or {}).get("Status", "")


Sink = Callable[[Received], bool]
"""Takes a message at once; true where a consumer lags and should get a turn before the next one is read."""


class NoTls(errors.Error):
    """The server offers no TLS, and we insist."""

    def __str__(self) -> str:
        return "the server offers no TLS"


class NatsClient(Client):
    """A client that gives up on nothing but `close`, and that hands messages over without a queue in between.

    What differs, and why:
      - A message goes straight from the reader to its sink: the library's queue in between has no turn-taking, so that
        a small queue of ours would overflow in a burst that its consumer could have served.
      - Any error that the server closes the connection for leads to a reconnect; the library would close for good.
      - TLS that we want is demanded: the library would go on in the clear where a server offers none.
      - Addresses that the server advertises are ignored: nobody checked how safely they are reached.
    """

    def __init__(self, *, insist_on_tls: bool, public_nkey: str) -> None:
        super().__init__()
        self._insist_on_tls = insist_on_tls
        self._sinks: dict[int, Sink] = {}
        self._denied: list[str] = []
        self._writing: set[asyncio.Future[Any]] = set()
        if public_nkey:
            self._public_nkey = public_nkey

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server said of itself."""
        return self._server_info

    async def listen(self, subject: str, queue: str, sink: Sink) -> Any:
        """Subscribe; what returns is passed to `unlisten`. The server knows of it once `settle` returned."""
        self._sinks[self._sid + 1] = sink
        library: Any = self
        return await library.subscribe(subject, queue)

    async def unlisten(self, handle: Any) -> None:
        """Take nothing more; what was on its way until now still reaches the sink."""
        try:
            await handle.unsubscribe()
            await self.settle()
        except errors.Error:
            _log.debug("NATS subscription ended with its connection")
        finally:
            self._sinks.pop(handle._id, None)

    async def settle(self, seconds: float = 5.0) -> None:
        """Return once the server has handled what was sent so far.

        Raises:
            TimeoutError, nats.errors.Error: it did not in time, or the connection broke meanwhile.
        """
        async with asyncio.timeout(seconds):
            await self.flushed()
            await self.flush()

    async def flushed(self) -> None:
        """Return once what was sent so far is with the system; unlike the library's own wait it can be cancelled."""
        if not self.is_connected or self._flush_queue is None:
            raise errors.StaleConnectionError
        written: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._writing.add(written)
        written.add_done_callback(self._writing.discard)
        await self._flush_queue.put(written)
        await written

    def give_up_waits(self) -> None:
        """The connection broke: no answer to what was sent on it will come."""
        library: Any = self
        for waiting in (*self._writing, *library._pongs):
            if not waiting.done():
                waiting.set_exception(errors.StaleConnectionError())
                waiting.exception()  # the library's own pings are waited for by nobody

    def was_denied(self, subject: str) -> bool:
        """Whether the server has denied a subscription to `subject`."""
        return any(f'subscription to "{subject.lower()}"' in text for text in self._denied)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        sink = self._sinks.get(sid)
        if sink is None:
            return
        library: Any = self
        parsed: dict[str, str] | None = await library._process_headers(headers) if headers else None
        if sink(Received(subject.decode(), reply.decode(), data, parsed)):
            await asyncio.sleep(0)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        info.pop("connect_urls", None)
        if initial_connection and self._insist_on_tls and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise NoTls
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        error = errors.Error(f"nats: {err_msg}")
        await self._error_cb(error)
        if "permissions violation" in err_msg:
            self._denied = [*self._denied[-15:], err_msg]
        else:
            await self._process_op_err(error)

    async def _process_pong(self) -> None:
        # Whoever waited may have given up; the library would break its reader on that.
        library: Any = self
        if library._pongs and library._pongs[0].done():
            library._pongs.pop(0)
            self._pings_outstanding = 0
        else:
            await super()._process_pong()

    async def _connect_to_server(self, s: Any) -> None:
        # A try that failed late leaves its connection open, which would then be read beside the new one.
        library: Any = self
        for task in (library._reading_task, library._ping_interval_task, library._flusher_task):
            if task is not None:
                task.cancel()
        if self._transport is not None:
            self._transport.close()
        await super()._connect_to_server(s)

    async def _process_connect_init(self) -> None:
        try:
            await super()._process_connect_init()
        except (OSError, errors.Error):
            raise
        except Exception as error:  # anything else, e.g. a key file that went away, would end the library's tries
            raise errors.Error(f"nats: {type(error).__name__} while connecting") from error
