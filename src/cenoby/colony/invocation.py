"""One tool call on its way through the pipeline, and what the tool sees of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from cenoby.access.actions import RiskTier
from cenoby.access.budgets.accounts import Payer
from cenoby.access.flows.flows import Step
from cenoby.access.principals import Credential, Principal
from cenoby.access.verdicts import Ask
from cenoby.colony.errors import CallInvalid
from cenoby.colony.tool import Tool
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event, name_of, plain_event, read_event, tag_of
from cenoby.kernel.ids import new_id
from cenoby.protection.dlp.tokens import Cleared
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.redact import Redactor
from cenoby.protection.streaming import REACH, Eye, Eyes, RedactedStream
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
        conversation: id of the conversation that the caller says it belongs to; empty for none.
        resumes: the approval under which the engine runs a call that was parked; empty for all others.
    """

    __slots__ = (
        "action", "allowed", "approval", "arguments", "asks", "began", "canonical", "causation", "client",
        "conversation", "correlation", "credential", "ends_seen", "flow", "id", "intended", "last_look", "marks",
        "metadata", "outcome", "parsed", "policy", "policy_set", "principal", "published", "removed", "reservation",
        "restored", "resumes", "risk", "rules", "spends", "spent", "spent_tokens", "started_ns", "tokens", "tool",
        "tool_name",
    )  # fmt: skip

    def __init__(
        self,
        tool_name: str,
        arguments: dict[str, Any],
        credential: Credential | Principal,
        *,
        client: ClientChannel | None = None,
        correlation: str = "",
        causation: str = "",
        conversation: str = "",
        resumes: str = "",
    ) -> None:
        self.id = new_id()
        self.tool_name = tool_name
        self.arguments = arguments
        self.credential = credential
        self.client = client
        self.correlation = correlation or self.id
        self.causation = causation
        self.conversation = conversation
        self.resumes = resumes
        self.metadata: dict[str, Any] = {}
        """What else the caller's client said of the call, kept with it where it is parked; plain JSON types."""
        self.principal: Principal | None = None
        self.ends_seen = 0
        """How many tokens had been ended when the caller was identified; more of them by now may be the caller's."""
        self.tool: Tool | None = None
        self.published = ""
        """The published name by which the tool was called, where it was."""
        self.canonical = b""
        self.action = ""
        self.risk = RiskTier.HIGH
        self.allowed = False
        self.asks: tuple[Ask, ...] = ()
        """Why a person must decide it, from whatever check found a reason."""
        self.rules: tuple[str, ...] = ()
        """What security rules found in arguments and result, as `rule:level`; never what was found."""
        self.policy: tuple[str, ...] = ()
        """Ids of the policies that decided it."""
        self.policy_set = ""
        """First digits of the digest of the set that was in force."""
        self.flow: Step | None = None
        """Where it is on its way through the flows of data; None where it has no part in them."""
        self.parsed: dict[str, Any] = {}
        self.removed = 0
        self.tokens: dict[str, str] = {}
        """What tokens stand for that were put into the arguments."""
        self.restored = 0
        """How many tokens the tool got the values for."""
        self.approval = ""
        """The approval, or the grant, under which it goes through."""
        self.spends = False
        """Whether this very call has used that approval up."""
        self.reservation = ""
        self.spent: int | None = None
        self.spent_tokens: int | None = None
        self.intended = False
        self.last_look: Callable[[Invocation], None] | None = None
        """Asked in the moment before the tool begins, and raises where it may not any more."""
        self.began = False
        self.outcome: Outcome | None = None
        self.started_ns = 0
        self.marks: list[tuple[str, int]] = []

    def ask(self, ask: Ask) -> None:
        """A person must decide this call; more than one check may say so."""
        self.asks = (*self.asks, ask)

    @property
    def caller(self) -> Principal:
        """Who calls; only after `identify`."""
        assert self.principal is not None, "identify has not run"
        return self.principal

    @property
    def payer(self) -> Payer:
        """Who and what it is charged to; only after `admit`. Its task is its conversation, else its correlation."""
        caller = self.caller
        return Payer(caller.agent, caller.tenant, self.target.mad, self.conversation or self.correlation)

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
        # Frames of both hold the invocation, and that will hold this outcome: a cycle for the garbage collector.
        error.__traceback__, error.__context__ = None, error.__cause__
        if error.code in ("approval_pending", "approval_running"):
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
    def sender(self) -> Sender:
        """On whose behalf, and by which tool, a request of this call leaves."""
        caller = self._invocation.caller
        return Sender(caller.agent, caller.tenant, caller.roles, self._invocation.target.name)

    @property
    def tool(self) -> str:
        """Canonical name of the tool that is called."""
        return self._invocation.target.name

    @property
    def client(self) -> ClientChannel | None:
        """The caller's client, where the call came from one."""
        return self._invocation.client

    async def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the client how far the call is; nothing happens where nobody listens."""
        if self._invocation.client is not None:
            clear = isinstance(message, Cleared)
            shown = message if clear or not message else self._redactor.text(message)
            await self._invocation.client.progress(done, total, shown and str(shown))

    def stream(self, *eyes: Eye, reach: int = REACH) -> RedactedStream:
        """Redacts one text whose pieces go out as progress before its end is known.

        Args:
            eyes: what they see is blacked out, too.
            reach: characters that they need to be certain.
        """
        eye = Eyes(*eyes, self._redactor) if eyes else self._redactor
        return RedactedStream(eye, max(reach, REACH), self._invocation.tokens)

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

    async def note(self, event: Event | str, payload: Mapping[str, Any] | None = None) -> RecordRef:
        """Journal an event that belongs to this call; durable when it returns.

        Args:
            event: a struct that the MAD declares in its `events`, or the code of an event that it declares there.
            payload: goes with a code: plain JSON types, which must fit the struct where one is declared.

        Raises:
            ValueError: the MAD does not declare it.
            CodecError: the payload does not fit the struct.
            StoreUnavailable: it could not be recorded.
        """
        invocation = self._invocation
        code = event if isinstance(event, str) else name_of(event)
        plain = _plain(invocation.target, event, code, payload or {})
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
                payload=self._redactor.value(plain)[0],
            )
        )

    def spend(self, micro_usd: int, tokens: int | None = None) -> None:
        """Say what the call really cost; what is said more than once adds up.

        Without it the whole reservation counts as spent. A tool that declares no `cost` may say it, too: nothing was
        reserved then, and its caller's budgets are charged afterwards.

        Args:
            micro_usd: micro-US-dollars.
            tokens: tokens of language models; if that is never said, as many as were reserved.
        """
        invocation = self._invocation
        invocation.spent = (invocation.spent or 0) + micro_usd
        if tokens is not None:
            invocation.spent_tokens = (invocation.spent_tokens or 0) + tokens

    def _require_client(self) -> ClientChannel:
        if self._invocation.client is None:
            raise CallInvalid("client_feature_missing", "This call came from no client that could be asked.")
        return self._invocation.client


def _plain(tool: Tool, event: Event | str, code: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    declared = tool.events.get(code)
    if isinstance(declared, str) and isinstance(event, str):
        return dict(payload)
    if isinstance(declared, type) and isinstance(event, str):
        return plain_event(read_event(declared, payload, tag_of(declared)))
    if isinstance(event, str) or type(event) is not declared:
        raise ValueError(f"the MAD {tool.mad!r} declares no event {code!r}; add it to `events` of its class")
    return plain_event(event)
