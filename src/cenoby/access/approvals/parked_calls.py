"""A parked call as it is kept: its whole context while it waits, and what came of it until its caller has that.

Both are sealed, bound to the approval they belong to: arguments may be secrets, and whoever can write to the database
must not be able to change what was approved.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from cenoby.access.approvals.sql import Approval
from cenoby.access.principals import Principal
from cenoby.access.sealing import Seal
from cenoby.kernel.codec import pack, unpack
from cenoby.store.outbox import Item

Outcome = Literal["ok", "error", "refused", "denied", "expired", "cancelled", "repeated", "unknown"]
"""How a parked call ended; `repeated`: its caller ran it by calling again; `unknown`: cut off in the midst."""


class ParkedCall(msgspec.Struct, frozen=True):
    """Everything that is needed to run a call later as if it came now.

    Attributes:
        tool: canonical name.
        arguments: exactly those, plain JSON types.
        principal: who called.
        invocation, correlation, causation: of the call that was parked.
        published: the published name by which the tool was called, where it was.
        conversation: the one that the caller named; empty for none.
        messages: that conversation word for word, newest last, as its caller could read it then; None for none.
        metadata: what else the caller's client said.
    """

    tool: str
    arguments: dict[str, Any]
    principal: Principal
    invocation: str
    correlation: str
    causation: str = ""
    published: str = ""
    conversation: str = ""
    messages: Any = None
    metadata: dict[str, Any] = {}


class KeptResult(msgspec.Struct, frozen=True):
    """What a call gave back.

    Attributes:
        outcome: how it ended.
        value: of a tool that returned one.
        blocks: content blocks of a tool that returned these.
        error: on the wire form of errors, where it failed.
        record: the journal's record of it.
    """

    outcome: Outcome
    value: Any = None
    blocks: list[dict[str, Any]] | None = None
    error: dict[str, Any] | None = None
    record: str = ""


class Ended(msgspec.Struct, frozen=True):
    """What came of one run of a parked call.

    Attributes:
        result: for its caller.
        run: the invocation.
        again_seconds: where it did not begin and may a little later: after how long.
    """

    result: KeptResult
    run: str
    again_seconds: float | None = None


Announce = Callable[[str], Awaitable[None]]
"""Told the id of the invocation before it goes in."""
Runner = Callable[[ParkedCall, Approval, Announce], Awaitable[Ended]]
"""Takes a parked call through the pipeline, as of now."""
History = Callable[[Principal, str], Awaitable[Any]]
"""A conversation word for word as the principal may read it, plain JSON types; None where there is none for it."""
News = Callable[[str, Approval], Item | None]
"""What the outbox is given when something happened to a request (`parked`, `seconded`, `approved`, `denied`,
`cancelled`, `escalated`, `ended:<outcome>`); None where nobody wants to know."""
PersonOf = Callable[[Principal], str]
"""A name for the person behind a principal: one and the same for all agents that work for one person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPorts:
    """What `app` gives to approvals.

    Attributes:
        person_of: who is behind a principal.
        history: conversations word for word.
        news: what the outbox is given when something happens to a request.
        clean: takes secrets and personal data out of what people write.
    """

    person_of: PersonOf = lambda principal: principal.agent
    history: History | None = None
    news: News = lambda kind, approval: None
    clean: Callable[[str], str] = str


class CallSeal:
    """Seals contexts and results of parked calls.

    Args:
        seal: with the colony's key.
    """

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    async def close_call(self, approval_id: str, call: ParkedCall) -> bytes:
        """A call, sealed for its request."""
        return await self._seal.seal(pack(call), f"parked call {approval_id}")

    async def open_call(self, approval_id: str, sealed: bytes) -> ParkedCall:
        """The call again.

        Raises:
            AccessRefused: `seal_broken`: it was changed, or is another request's.
        """
        return unpack(await self._seal.open(sealed, f"parked call {approval_id}"), ParkedCall)

    async def close_result(self, approval_id: str, result: KeptResult) -> bytes:
        """A result, sealed for its request."""
        return await self._seal.seal(pack(result), f"parked result {approval_id}")

    async def open_result(self, approval_id: str, sealed: bytes) -> KeptResult:
        """The result again.

        Raises:
            AccessRefused: `seal_broken`: it was changed, or is another request's.
        """
        return unpack(await self._seal.open(sealed, f"parked result {approval_id}"), KeptResult)
