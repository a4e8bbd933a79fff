"""One connection to NATS: it comes back by itself, and says so as latency or as `BusUnavailable`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable
from itertools import count
from typing import Any

from nats import errors
from nats.nuid import NUID

from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.bus.nats_address import NatsAddress
from cenoby.bus.nats_client import NatsClient, NoTls, Received, Sink
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.errors import CenobyError

RETRY_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
_PATIENCE_SECONDS = 2.0
_CLOSE_SECONDS = 5.0
_SETTLE_TRIES = 3
# Above the first, a sender waits until the socket took something; nats-py itself would only act at the second.
_UNSENT_BYTES = 1024 * 1024
_UNSENT_BYTES_NEVER = 512 * 1024 * 1024
_log = logging.getLogger(__name__)


class NatsLink:
    """A connection, and the answers that are waited for on it. Made by `open_link`."""

    def __init__(self, address: NatsAddress, clock: Clock) -> None:
        self.address = address
        self._clock = clock
        identity = address.identity
        self._client = NatsClient(insist_on_tls=address.tls is not None, public_nkey=identity.public_nkey())
        self._up = asyncio.Event()
        self._closed = False
        self._opened = False
        self._down_since_ns = clock.now_ns()
        self._last_error: BaseException | None = None
        self._refused: asyncio.Future[BusInvalid] = asyncio.get_running_loop().create_future()
        self._inbox = f"_INBOX.{NUID().next().decode()}"
        self._tokens = count()
        self._answers: dict[str, tuple[asyncio.Future[Received], bool]] = {}
        self.losses: set[Callable[[], None]] = set()
        """Told when the connection breaks."""

    @property
    def max_payload(self) -> int:
        """Most bytes of one message, as the server says."""
        return self._client.max_payload

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server says of itself: `version`, `server_id`, and `cluster` where it is one of several."""
        return self._client.server_info

    def new_inbox(self) -> str:
        """A subject that nobody else listens to."""
        return f"{self._inbox}_{next(self._tokens)}"

    async def open(self) -> None:
        """Connect, or say why not.

        Raises:
            BusInvalid: bus_refused, bus_insecure.
            BusUnavailable: bus_disconnected.
        """
        connecting = asyncio.create_task(self._client.connect(**self._options()))
        done, _ = await asyncio.wait(
            (connecting, self._refused), timeout=_CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if connecting not in done or connecting.exception():
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await connecting
            error = self._refused.result() if self._refused.done() else self.disconnected()
            await self.close()
            raise error
        self._opened = True
        self._up.set()
        await self.listen(f"{self._inbox}.*", "", self._answered)

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: dict[str, str] | None = None,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        """Send; while there is no connection, wait for one, but no longer than `patience` seconds.

        Raises:
            BusInvalid: bus_payload_invalid, where the server takes no message of that size.
            BusUnavailable: bus_closed, bus_disconnected.
        """
        client = self._client
        if len(data) > client.max_payload:
            text = f"{len(data)} bytes are more than {self.address.shown} takes ({self.max_payload}, its max_payload)."
            raise BusInvalid("bus_payload_invalid", text)
        if not self._takes_more():
            await self._ready(patience)
        try:
            await client.publish(subject, data, reply, headers)
        except errors.Error as error:
            self._last_error = error
            raise self.disconnected() from error

    async def request(
        self,
        subject: str,
        data: bytes,
        *,
        seconds: float | None,
        headers: dict[str, str] | None = None,
        of_broker: bool = False,
    ) -> Received:
        """The one answer to a message.

        The wait ends with the connection where the answer is the broker's own (`of_broker`), and without `seconds`:
        what is answered meanwhile is not heard.

        Raises:
            TimeoutError: no answer in time.
            BusInvalid: bus_payload_invalid.
            BusUnavailable: bus_no_responder, bus_closed, bus_disconnected.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Received] = loop.create_future()
        token = str(next(self._tokens))
        self._answers[token] = (answer, seconds is not None and not of_broker)
        timer = loop.call_later(seconds, _time_out, answer) if seconds is not None else None
        try:
            patience = _PATIENCE_SECONDS if seconds is None else min(seconds, _PATIENCE_SECONDS)
            await self.publish(subject, data, reply=f"{self._inbox}.{token}", headers=headers, patience=patience)
            received = await answer
        finally:
            if timer:
                timer.cancel()
            self._answers.pop(token, None)
            answer.cancel()
        if received.status == "503":
            text = f"Nobody answers on {subject} now; try again shortly."
            raise BusUnavailable("bus_no_responder", text, retry_after=RETRY_SECONDS)
        return received

    async def listen(self, subject: str, queue: str, sink: Sink) -> Any:
        """Have `sink` called for what is sent to `subject`; the server knows of it when this returns.

        Raises:
            BusInvalid: bus_refused, where the server denies it.
            BusUnavailable: bus_closed, bus_disconnected.
        """
        await self._ready()
        handle: Any = await self._client.listen(subject, queue, sink)
        try:
            await self._settle()
        except BaseException:
            await self._client.unlisten(handle)
            raise
        if self._client.was_denied(subject):
            await self._client.unlisten(handle)
            raise BusInvalid("bus_refused", f"{self.address.shown} does not let us subscribe to {subject}.")
        return handle

    async def _settle(self) -> None:
        """Have the server know what we listen to, if need be after a reconnect, which tells it by itself."""
        for _ in range(_SETTLE_TRIES):
            await self._ready()
            try:
                return await self._client.settle()
            except (TimeoutError, errors.Error) as error:
                self._last_error = error
        raise self.disconnected()

    async def unlisten(self, handle: Any) -> None:
        """End what `listen` began; the sink is not called after this returned."""
        with contextlib.suppress(TimeoutError):
            await self._client.unlisten(handle)

    async def close(self) -> None:
        """Send what is unsent, and end; whoever waits is told."""
        self._closed = True
        self._up.set()
        for answer, _ in tuple(self._answers.values()):
            _fail(answer, _closed())
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()
        except Exception as error:  # noqa: BLE001 - it is over, however it ended
            _log.debug("NATS connection ended badly", extra={"reason": str(error)})
        self._refused.cancel()

    def check_open(self) -> None:
        """Raise `bus_closed` after `close`."""
        if self._closed:
            raise _closed()

    def disconnected(self) -> BusUnavailable:
        """That there is no connection, since when, and why."""
        reason = str(self._last_error or "") or type(self._last_error).__name__
        return BusUnavailable(
            "bus_disconnected",
            f"{self.address.shown} cannot be reached since {iso_time(self._down_since_ns)} ({reason}); try again.",
            retry_after=RETRY_SECONDS,
        )

    def _options(self) -> dict[str, Any]:
        return {
            "servers": list(self.address.servers),
            "name": "cenoby",
            "tls": self.address.tls,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "max_reconnect_attempts": -1,
            # Processes that lost the same server do not all come back in the same instant.
            "reconnect_time_wait": random.uniform(0.2, 0.6),  # noqa: S311 - spreads load, guards nothing
            "connect_timeout": 3,
            "ping_interval": 5,
            "max_outstanding_pings": 2,
            "pending_size": _UNSENT_BYTES_NEVER,
            **self.address.identity.options(),
        }

    def _takes_more(self) -> bool:
        client = self._client
        return client.is_connected and client.pending_data_size <= _UNSENT_BYTES and not self._closed

    async def _ready(self, patience: float = _PATIENCE_SECONDS) -> None:
        self.check_open()
        if self._takes_more():
            return
        try:
            async with asyncio.timeout(patience):
                while not self._client.is_connected:
                    self._up.clear()
                    await self._up.wait()
                    self.check_open()
                if self._client.pending_data_size > _UNSENT_BYTES:
                    await self._client.flushed()
        except (TimeoutError, errors.Error):
            raise self.disconnected() from None

    def _answered(self, received: Received) -> bool:
        answer, _ = self._answers.pop(received.subject.rpartition(".")[2], (None, False))
        if answer is not None and not answer.done():
            answer.set_result(received)
        return False

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        refusal = None if self._opened else self._refusal(error)
        if refusal and not self._refused.done():
            self._refused.set_result(refusal)
        if self._opened and "permissions violation" in str(error):
            _log.warning("NATS denied something", extra={"reason": str(error)})

    async def _on_disconnected(self) -> None:
        self._client.give_up_waits()
        for lost in tuple(self.losses):
            lost()
        if self._closed:
            return
        self._up.clear()
        self._down_since_ns = self._clock.now_ns()
        _log.warning("NATS connection lost", extra={"broker": self.address.shown, "reason": str(self._last_error)})
        for answer, lasting in tuple(self._answers.values()):
            if not lasting:
                _fail(answer, self.disconnected())

    async def _on_reconnected(self) -> None:
        self._up.set()
        _log.info("NATS connection is back", extra={"broker": self.address.shown})

    def _refusal(self, error: BaseException) -> BusInvalid | None:
        """What makes trying again pointless."""
        shown = self.address.shown
        if isinstance(error, NoTls):
            return BusInvalid("bus_insecure", f"{shown} offers no TLS, and we were told to use it.")
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
            return BusInvalid("bus_refused", f"{shown}: no TLS between us ({reason}); see bus_security.")
        if "authorization violation" in str(error).lower() or "authentication" in str(error).lower():
            known = self.address.identity.shown or "nobody"
            return BusInvalid("bus_refused", f"{shown} refused us as {known}; see bus_security.")
        return None


async def open_link(address: NatsAddress, clock: Clock) -> NatsLink:
    """A connection that stands.

    Raises:
        BusInvalid: bus_refused, bus_insecure.
        BusUnavailable: bus_disconnected.
    """
    link = NatsLink(address, clock)
    await link.open()
    return link


def _closed() -> BusUnavailable:
    return BusUnavailable("bus_closed", "The bus is closed; the colony is stopping.")


def _time_out(answer: asyncio.Future[Received]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _fail(answer: asyncio.Future[Received], error: CenobyError) -> None:
    if not answer.done():
        answer.set_exception(error)
