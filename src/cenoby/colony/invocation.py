"""One tool call on its way through the pipeline, and what the tool sees of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from cenoby.access.actions import RiskTier
from cenoby.access.principals import Principal
from cenoby.colony.errors import CallInvalid
from cenoby.colony.tool import Tool
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.ids import new_id
from cenoby.protection.redact import Redactor
from cenoby.protection.streaming import RedactedStream
from cenoby.store.journal import Entry, RecordRef

Status = Literal["ok", "error", "refused", "parked", "cancelled"]


class ClientChannel(Protocol):
    """The way back to the client of one call while it is under way; the gateway provides it."""

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Tell how far the call is; dropped where the client asked for no progress."""
        ...

    async def log(self, level: str, text: str) -> None:
        """Send a log line to the client; dropped where it asked for none."""
        ...

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the person at the client; returns MCP's `{"action": ..., "content": ...}`.

        Raises:
            CallInvalid: the client cannot ask.
        """
        ...

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the client's model; returns MCP's sampling result.

        Raises:
            CallInvalid: the client has no model to lend.
        """
        ...


class Invocation:
    """One call. Stages read what earlier ones filled in; only the pipeline makes it move.

    Args:
        tool_name: canonical name as the caller gave it.
        arguments: plain JSON types from the caller.
        credential: a bearer token, or the principal itself for a call from inside.
        client: the way back to the caller's client, where there is one.
        causation: what led to it: id of a record or message, a trace parent (W3C), or the part that called by itself.
    """

    __slots__ = (
        "action", "allowed", "approval", "arguments", "began", "call", "canonical", "causation", "client",
        "correlation", "credential", "id", "intended", "marks", "outcome", "parsed", "principal", "removed",
        "reservation", "risk", "spent", "started_ns", "tool", "tool_name",
    )  # fmt: skip

    def __init__(
        self,
        tool_name: str,
        arguments: dict[str, Any],
        credential: str | Principal,
        *,
        client: ClientChannel | None = None,
        correlation: str = "",
        causation: str = "",
    ) -> None:
        self.id = new_id()
        self.tool_name = tool_name
        self.arguments = arguments
        self.credential = credential
        self.client = client
        self.correlation = correlation or self.id
        self.causation = causation
        self.principal: Principal | None = None
        self.tool: Tool | None = None
        self.canonical = b""
        self.action = ""
        self.risk = RiskTier.HIGH
        self.allowed = False
        self.parsed: dict[str, Any] = {}
        self.removed = 0
        self.approval = ""
        self.reservation = ""
        self.spent: int | None = None
        self.intended = False
        self.began = False
        self.call: Call | None = None
        self.outcome: Outcome | None = None
        self.started_ns = 0
        self.marks: list[tuple[str, int]] = []

    @property
    def caller(self) -> Principal:
        """Who calls; only after `identify`."""
        assert self.principal is not None, "identify has not run"
        return self.principal

    @property
    def target(self) -> Tool:
        """What is called; only after `admit`."""
        assert self.tool is not None, "admit has not run"
        return self.tool


class Outcome:
    """How a call ended: a value or content blocks, or an error; and its journal record once there is one."""

    __slots__ = ("blocks", "error", "json", "record", "redacted", "status", "value")

    def __init__(
        self,
        status: Status,
        *,
        value: Any = None,
        blocks: list[dict[str, Any]] | None = None,
        error: CenobyError | None = None,
    ) -> None:
        self.status = status
        self.value = value
        self.blocks = blocks
        self.error = error
        self.json = b""
        self.redacted = 0
        self.record: RecordRef | None = None

    @property
    def content(self) -> Any:
        """What the tool gave back: its value, or its content blocks."""
        return self.value if self.blocks is None else self.blocks

    def unwrap(self) -> Any:
        """What the tool gave back.

        Raises:
            CenobyError: the call was refused, or failed.
        """
        if self.error is not None:
            raise self.error
        return self.content

    @classmethod
    def failed(cls, error: CenobyError, *, began: bool) -> Outcome:
        """The outcome of a call that a stage or the tool ended with `error`; `began` says whether the tool ran."""
        if error.code == "approval_pending":
            return cls("parked", error=error)
        broke = error.family == "fault" or (began and error.family == "unavailable")
        return cls("error" if broke else "refused", error=error)


class Call:
    """What a tool sees of the call it serves."""

    __slots__ = ("_invocation", "_record", "_redactor", "deadline_ns")

    def __init__(
        self,
        invocation: Invocation,
        record: Callable[[Entry], Awaitable[RecordRef]],
        redactor: Redactor,
        deadline_ns: int,
    ) -> None:
        self._invocation = invocation
        self._record = record
        self._redactor = redactor
        self.deadline_ns = deadline_ns

    @property
    def principal(self) -> Principal:
        """Who calls."""
        return self._invocation.caller

    @property
    def correlation(self) -> str:
        """Id shared by everything this call belongs to."""
        return self._invocation.correlation

    @property
    def invocation(self) -> str:
        """Id of this call."""
        return self._invocation.id

    @property
    def client(self) -> ClientChannel | None:
        """The caller's client, where the call came from one."""
        return self._invocation.client

    async def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the client how far the call is; nothing happens where nobody listens."""
        if self._invocation.client is not None:
            await self._invocation.client.progress(done, total, message and self._redactor.text(message))

    def stream(self) -> RedactedStream:
        """Redacts one text whose pieces go out as progress before its end is known."""
        return RedactedStream(self._redactor)

    async def log(self, level: str, text: str) -> None:
        """Send a log line to the client; nothing happens where nobody listens."""
        if self._invocation.client is not None:
            await self._invocation.client.log(level, self._redactor.text(text))

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the person at the client. The answer informs; it is never an approval.

        Raises:
            CallInvalid: there is no client, or it cannot ask.
        """
        client, redactor = self._require_client(), self._redactor
        return await client.elicit(redactor.text(message), redactor.value(schema)[0])

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the client's model.

        Raises:
            CallInvalid: there is no client, or it lends no model.
        """
        return await self._require_client().sample(self._redactor.value(request)[0])

    async def note(self, code: str, payload: dict[str, Any]) -> RecordRef:
        """Journal an event that belongs to this call; durable when it returns.

        Raises:
            ValueError: the MAD does not declare `code` in its `events`.
            StoreUnavailable: it could not be recorded.
        """
        invocation = self._invocation
        if code not in invocation.target.events:
            mad = invocation.target.mad
            raise ValueError(f"the MAD {mad!r} declares no event {code!r}; add it to `events` of its class")
        return await self._record(
            Entry(
                kind="event",
                tenant=invocation.caller.tenant,
                agent=invocation.caller.agent,
                correlation=invocation.correlation,
                mad=invocation.target.mad,
                tool=invocation.target.name,
                action=invocation.target.says.action,
                code=code,
                causation=invocation.causation,
                invocation=invocation.id,
                payload=self._redactor.value(payload)[0],
            )
        )

    def spend(self, micro_usd: int) -> None:
        """Say what the call really cost, in micro-US-dollars; without it the whole reservation counts as spent."""
        self._invocation.spent = (self._invocation.spent or 0) + micro_usd

    def _require_client(self) -> ClientChannel:
        if self._invocation.client is None:
            raise CallInvalid("client_feature_missing", "This call came from no client that could be asked.")
        return self._invocation.client
