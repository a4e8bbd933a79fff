"""The client of a caller on another node: progress and log lines go there, questions are asked there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from cenoby.bus.contract import MessageBus
from cenoby.colony.nodes.answers import Answer, Leave
from cenoby.colony.nodes.events import CallNews, CallQuestion, CallWaits, LeaveWanted
from cenoby.colony.nodes.questions import ask
from cenoby.colony.nodes.seals import Seals
from cenoby.kernel.errors import CenobyError, error_from_wire
from cenoby.kernel.events import tag_of
from cenoby.telemetry.logs import get_logger

_LEAVE_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
_log = get_logger("colony.relayed_client")


class RelayedClient:
    """A `ClientChannel` over the bus.

    Args:
        bus, seals: how it is spoken to.
        subject: where the caller's node listens.
        invocation: id of the call.
        deadline_ns: when the call ends at the latest; no question waits longer.
    """

    def __init__(self, bus: MessageBus, seals: Seals, subject: str, invocation: str, deadline_ns: int) -> None:
        self._bus = bus
        self._seals = seals
        self._subject = subject
        self._invocation = invocation
        self._deadline_ns = deadline_ns

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Tell how far the call is."""
        await self.tell(CallNews(invocation=self._invocation, kind="progress", done=done, total=total, text=message))

    async def log(self, level: str, text: str) -> None:
        """Send a log line."""
        await self.tell(CallNews(invocation=self._invocation, kind="log", level=level, text=text))

    async def tell(self, news: CallNews | CallWaits) -> None:
        """Send what becomes of the call to the caller's node; the call goes on where that does not arrive."""
        try:
            await self._bus.publish(self._seals.seal(self._subject, news))
        except CenobyError as error:
            _log.info("news_untold", invocation=news.invocation, news=tag_of(news), reason=error.message)

    async def may_begin(self, work: str) -> bool:
        """Whether the caller's node lets this piece of work begin; asked until it answers, or the call is cut off."""
        while True:
            try:
                wanted = LeaveWanted(self._invocation, work)
                return (await ask(self._bus, self._seals, self._subject, wanted, Leave, _LEAVE_SECONDS)).given
            except CenobyError as error:
                if error.code == "bus_closed":
                    raise
                _log.info("leave_unheard", invocation=self._invocation, reason=error.message)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the person at the client.

        Raises:
            CenobyError: the client cannot ask, or its node cannot be reached.
        """
        return await self._ask("elicit", message, schema)

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the client's model.

        Raises:
            CenobyError: the client has none, or its node cannot be reached.
        """
        return await self._ask("sample", "", request)

    async def _ask(self, kind: Literal["elicit", "sample"], message: str, content: Mapping[str, Any]) -> dict[str, Any]:
        question = CallQuestion(invocation=self._invocation, kind=kind, message=message, content=dict(content))
        request = self._seals.seal(self._subject, question, deadline_ns=self._deadline_ns)
        answer = (await self._seals.open_answer(request, await self._bus.request(request), Answer))[1]
        if answer.error is not None:
            raise error_from_wire(answer.error)
        return answer.content or {}
