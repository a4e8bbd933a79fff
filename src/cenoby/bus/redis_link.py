"""Connections to Redis that stay: opened again when they break, written to in batches, shared by all who call.

A `Lane` is one connection with its reader and its writer; `Commands` is the lane on which many tasks call at once, in
the order of their calls and without waiting for each other's answers. A caller that is cancelled loses its answer and
nobody else's, which a pool of redis-py's clients pays for with the connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.bus.redis_address import RETRY_SECONDS, RedisAddress
from cenoby.bus.redis_protocol import Replies, pack_command
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError

BEAT_SECONDS = 1.0
"""How often something is sent on each connection, so that a silent one is known to be dead."""
_SILENCE_SECONDS = 8.0
_READ_BYTES = 256 * 1024
_BLIP_SECONDS = 1.0
_PAUSES = (0.02, 0.1, 0.3, 1.0)
_log = logging.getLogger(__name__)


class Script:
    """A Lua script by its hash."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def command(self, *arguments: Any) -> tuple[Any, ...]:
        """The command that runs it, whether the server knows it or not."""
        return ("EVAL", self.text, 0, *arguments)


class Lane:
    """One connection that is opened again whenever it breaks.

    Args:
        name: says in logs what the connection is for.
        opened: called when the connection stands, before anything else is sent; it may `post`.
        received: called with each response, errors of the server included, in order.
        lost: called when the connection broke or could not be opened.
    """

    def __init__(
        self,
        address: RedisAddress,
        clock: Clock,
        name: str,
        *,
        opened: Callable[[], None],
        received: Callable[[Any], Awaitable[None]],
        lost: Callable[[CenobyError], None],
    ) -> None:
        self.address = address
        self.up = asyncio.Event()
        self.down_ns = 0
        self.error: CenobyError | None = None
        self._clock = clock
        self._name = name
        self._opened, self._received, self._lost = opened, received, lost
        self._connection: Any = None
        self._outgoing: list[bytes] = []
        self._written = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection, and keep it open from then on.

        Raises:
            BusInvalid: bus_refused.
            BusUnavailable: bus_disconnected.
        """
        connection = self.address.connection()
        try:
            await connection.connect()
            # A server that wants a password or a certificate may say so only now.
            await connection.send_command("PING")
            await connection.read_response(timeout=_SILENCE_SECONDS)
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            raise self.address.hung_up(error) or self.address.failure(error, self._clock) from error
        self._task = asyncio.create_task(self._run(connection), name=f"redis:{self._name}")

    def post(self, *command: Any) -> None:
        """Send a command soon. Only while `up` is set."""
        self._outgoing.append(pack_command(*command))
        self._written.set()

    async def restart(self) -> None:
        """Give the connection up, and open another."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connection for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self, connection: Any) -> None:
        tries = 0
        while True:
            try:
                await connection.connect()
                tries = 0
                await self._serve(connection)
            except (RedisError, OSError, TimeoutError) as error:
                self._break(error)
            except Exception as error:  # noqa: BLE001 - a connection that stays lost would stop the whole bus
                _log.exception("redis connection failed", extra={"connection": self._name})
                self._break(error)
            finally:
                self.up.clear()
                self._connection = None
                await connection.disconnect(nowait=True)
            await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)] * random.uniform(0.5, 1.0))  # noqa: S311
            tries += 1
            connection = self.address.connection()

    async def _serve(self, connection: Any) -> None:
        self._connection, self._outgoing = connection, []
        if self.down_ns:
            _log.info("redis is back", extra={"redis": self.address.shown, "connection": self._name})
        self.down_ns, self.error = 0, None
        self.up.set()
        self._opened()
        writer = asyncio.create_task(self._write(connection))
        # What redis-py has read by now are the replies to its own greeting, and all of them.
        stream, replies = connection._reader, Replies(connection._parser.parse_error)
        try:
            while True:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    piece: bytes = await stream.read(_READ_BYTES)
                if not piece:
                    raise RedisConnectionError("Connection closed by server.")
                for reply in replies.feed(piece):
                    await self._received(reply)
        finally:
            writer.cancel()
            await asyncio.wait((writer,))

    async def _write(self, connection: Any) -> None:
        try:
            while True:
                await self._written.wait()
                self._written.clear()
                batch, self._outgoing = self._outgoing, []
                if batch:
                    await connection.send_packed_command(batch)
        except (RedisError, OSError):
            # The reader finds the same connection closed, and says so.
            await connection.disconnect(nowait=True)

    def _break(self, error: BaseException) -> None:
        first = not self.down_ns
        self.down_ns = self.down_ns or self._clock.now_ns()
        self.error = self.address.failure(error, self._clock, self.down_ns)
        if first:
            _log.warning("redis is lost: %s", self.error.message, extra={"connection": self._name})
        self._lost(self.error)


class Commands:
    """Commands of many tasks over one connection."""

    def __init__(self, address: RedisAddress, clock: Clock, opened: Callable[[], None] = lambda: None) -> None:
        self.lane = Lane(address, clock, "commands", opened=opened, received=self._receive, lost=self._lose_connection)
        self._clock = clock
        self._answers: deque[asyncio.Future[Any]] = deque()
        self._closed = False

    async def call(self, *command: Any) -> Any:
        """The server's answer to a command.

        A broken connection costs a moment; one that stays broken, an error.

        Raises:
            BusUnavailable: bus_disconnected (it may be done or not), bus_closed.
            BusInvalid: bus_refused: a right is missing.
        """
        try:
            return await self._call(*command)
        except ResponseError as error:
            raise self._no(error) from error

    async def run(self, script: Script, *arguments: Any) -> Any:
        """What a script returns; raises as `call`."""
        try:
            return await self._call("EVALSHA", script.sha, 0, *arguments)
        except NoScriptError:
            return await self.call(*script.command(*arguments))
        except ResponseError as error:
            raise self._no(error) from error

    async def _call(self, *command: Any) -> Any:
        await self._wait_up()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self.lane.post(*command)
        return await answer

    def _no(self, error: ResponseError) -> CenobyError:
        # What is no refusal passes: no memory left, no disk, a replica that takes no writes.
        return self.lane.address.refusal(error) or BusUnavailable(
            "bus_disconnected", f"{self.lane.address.shown} does not take it now ({error}).", retry_after=RETRY_SECONDS
        )

    def tell(self, *command: Any) -> None:
        """Send a command whose answer nobody needs; nothing is sent while the connection is broken."""
        if self.lane.up.is_set():
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._answers.append(answer)
            self.lane.post(*command)

    async def close(self) -> None:
        """Close the connection; calls under way and later ones raise `bus_closed`."""
        self._closed = True
        await self.lane.close()
        self._lose_connection(_closed())

    async def _wait_up(self) -> None:
        lane = self.lane
        if self._closed:
            raise _closed()
        if not lane.up.is_set():
            left = _BLIP_SECONDS - (self._clock.now_ns() - (lane.down_ns or self._clock.now_ns())) / 1e9
            grace = asyncio.timeout(max(left, 0))
            try:
                async with grace:
                    await lane.up.wait()
            except TimeoutError:
                if not grace.expired():
                    raise
                raise self._unreachable() from None

    def _unreachable(self) -> CenobyError:
        error = self.lane.error
        if isinstance(error, BusInvalid):
            return BusInvalid(error.code, error.message)
        text = error.message if error else f"{self.lane.address.shown} cannot be reached; try again."
        return BusUnavailable("bus_disconnected", text, retry_after=RETRY_SECONDS)

    async def _receive(self, response: Any) -> None:
        if not self._answers:
            raise RedisConnectionError("an answer to no question")
        answer = self._answers.popleft()
        if answer.done():
            return
        if isinstance(response, Exception):
            answer.set_exception(response)
        else:
            answer.set_result(response)

    def _lose_connection(self, error: CenobyError) -> None:
        answers, self._answers = self._answers, deque()
        for answer in answers:
            if not answer.done():
                answer.set_exception(error if self._closed else self._unreachable())


def _closed() -> BusUnavailable:
    return BusUnavailable("bus_closed", "The bus is closed; the colony is stopping.")
