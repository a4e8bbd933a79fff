"""A real gateway on a real colony inside the test's own process, and raw HTTP to speak to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from pydantic import Field

from cenoby.access.approvals.approvals import Approvals
from cenoby.access.autonomy.levels import AutonomyLevels
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.flags import Flags
from cenoby.access.flows.flows import Flows
from cenoby.access.kills import Kills
from cenoby.access.limits import RateLimits
from cenoby.access.roles import RoleTable
from cenoby.access.sealing import Seal
from cenoby.access.tokens import Identities
from cenoby.app.readiness import Readiness
from cenoby.bus.memory import MemoryBus
from cenoby.colony.apis.published import Publications
from cenoby.colony.breaker import Breakers
from cenoby.colony.events import ListName, ResourceUpdated, ToolsChanged
from cenoby.colony.host import Host
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.pipeline import Pipeline
from cenoby.colony.stages import Ports
from cenoby.colony.tool import tool
from cenoby.gateway.app import Gateway, GatewayPorts
from cenoby.gateway.server import serve
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.events import BusEvent, tag_of
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import Settings
from cenoby.protection.redact import Redactor
from cenoby.store.database import Database
from cenoby.store.journal import Entry, Journal, RecordRef
from cenoby.telemetry.metrics import Metrics
from cenoby.telemetry.recorder import Recorder
from tests.conformance.fixture_mad import Conformance
from tests.stores import cache_of

STATELESS = "2026-07-28"
HANDSHAKE = "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True, slots=True)
class Said:
    text: str


class Probe(Mad):
    """Tools that show what the gateway does with them."""

    name = "probe"

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()

    @tool("test:run", effect="reads")
    async def say(self, call: Call, text: Annotated[str, Field(max_length=1000)]) -> Said:
        """Say the text."""
        return Said(text)

    @tool("test:run", effect="writes")
    async def write(self, call: Call, text: str) -> Said:
        """Say the text, as a call with side effects."""
        return Said(text)

    @tool("test:run", effect="reads")
    async def wait(self, call: Call) -> Said:
        """Wait until the test lets go."""
        self.waiting.set()
        await self.release.wait()
        return Said("released")

    @tool("test:run", effect="reads")
    async def crash(self, call: Call) -> Said:
        """Raise what no tool should raise."""
        raise RuntimeError("a secret of the inside")

    @tool("test:run", effect="reads")
    async def large(self, call: Call, size: int) -> Said:
        """Answer with much text."""
        return Said("x" * size)

    @tool("colony:admin", effect="outside")
    async def hidden(self, call: Call) -> Said:
        """Only for operators."""
        return Said("done")


class KeptJournal:
    """A journal in memory, so that tests of the gateway wait for no disk."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def append(self, *entries: Entry) -> RecordRef:
        self.entries += entries
        return RecordRef(len(self.entries), new_id(), "")


@dataclass
class Stand:
    """The running gateway of a test."""

    port: int
    host: Host
    bus: MemoryBus
    journal: KeptJournal
    gateway: Gateway
    probe: Probe
    tokens: dict[str, str]
    metrics: Metrics
    ports: Ports = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def records(self, tool_name: str) -> list[Entry]:
        """Journal entries about a tool, oldest first."""
        return [entry for entry in self.journal.entries if entry.tool == tool_name]

    async def changed(self, *lists: ListName) -> None:
        """Publish that what is hosted changed."""
        await self.bus.publish(_envelope("", "main.tools", ToolsChanged(mad="probe", lists=lists)))

    async def updated(self, uri: str, tenant: str = "default") -> None:
        """Publish that a resource changed."""
        await self.bus.publish(_envelope(tenant, f"main.{tenant}.resource", ResourceUpdated(uri=uri)))


def _envelope(tenant: str, recipient: str, payload: BusEvent) -> Envelope:
    return Envelope(
        id=new_id(),
        tenant=tenant,
        correlation="",
        sender="t",
        recipient=recipient,
        event=tag_of(payload),
        payload=payload,
    )


async def _key() -> bytes:
    return bytes(32)


@asynccontextmanager
async def _standing(data: Path, settings: Settings) -> AsyncIterator[Stand]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        database = await Database.open(data / "colony.db", clock=clock)
        stack.push_async_callback(database.close)
        journal = KeptJournal()
        # What is recorded with a row, in one transaction, needs a journal that has a database.
        approvals_journal = Journal(database, node="approvals", clock=clock)
        bus = MemoryBus()
        stack.push_async_callback(bus.close)
        host = Host(bus, settings.colony, settings.mailbox, clock)
        stack.push_async_callback(host.stop)
        roles = RoleTable(settings.roles)
        identities = Identities(cache := cache_of(database), clock, roles)
        flags, kills = Flags(cache, clock), Kills(cache, clock)
        flows = Flows(cache, clock, settings.flows)
        autonomy = AutonomyLevels(cache, clock, settings.autonomy)
        await cache.warm()
        tokens = {
            agent: (await identities.create_token(agent, [role])).text
            for agent, role in (("ada", "developer"), ("bob", "developer"), ("olga", "observer"), ("root", "operator"))
        }
        ports = Ports(
            clock=clock,
            host=host,
            journal=cast(Journal, journal),
            identities=identities,
            limits=RateLimits(settings.limits, clock),
            flags=flags,
            kills=kills,
            flows=flows,
            autonomy=autonomy,
            limit_settings=settings.limits,
            roles=roles,
            approvals=Approvals(database, approvals_journal, clock, settings.approvals, Seal(_key)),
            ledger=Ledger(database, settings.budgets, clock),
            breakers=Breakers(settings.breaker, clock, lambda view: None),
            redactor=Redactor(settings.redaction),
            metrics=Metrics(),
            recorder=Recorder(1000),
            publications=Publications([], host, clock, lambda name: None),
        )
        probe = Probe()
        gateway = Gateway(
            GatewayPorts(
                host=host,
                publications=ports.publications,
                pipeline=Pipeline(ports),
                identities=identities,
                roles=roles,
                bus=bus,
                metrics=ports.metrics,
                settings=settings.gateway,
                colony=settings.colony,
                listen_host="127.0.0.1",
                clock=clock,
                ready=Readiness(database).problem,
                oauth=settings.oauth,
                proof_nonces=settings.tokens.proof_nonces,
            )
        )
        stand = Stand(0, host, bus, journal, gateway, probe, tokens, ports.metrics, ports)

        await host.add(probe)
        await host.add(Conformance(stand.changed))
        await stack.enter_async_context(gateway.running())
        bound = await stack.enter_async_context(serve(gateway, "127.0.0.1", 0, settings.gateway, drain=gateway.drain))
        stand.port = bound.port
        yield stand


StartStand = Callable[..., AbstractAsyncContextManager[Stand]]


@pytest.fixture
def start_stand(tmp_path: Path) -> StartStand:
    """Starts a gateway with other settings: `async with start_stand(gateway={...}) as stand`."""

    def start(**sections: Any) -> AbstractAsyncContextManager[Stand]:
        return _standing(tmp_path, Settings.model_validate({"data": tmp_path, **sections}))

    return start


@pytest.fixture
async def stand(start_stand: StartStand) -> AsyncIterator[Stand]:
    """A gateway with the shipped settings."""
    async with start_stand() as running:
        yield running


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The JSON of each server-sent event."""
        lines = self.body.decode().replace("\r\n", "\n").split("\n")
        return [json.loads(line[5:]) for line in lines if line.startswith("data:") and line[5:].strip()]

    @property
    def message(self) -> Any:
        """The JSON-RPC answer, whether it came as JSON or as the last event."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return self.events[-1]
        return self.json


class RawClient:
    """HTTP/1.1 by hand, so that a test can say anything."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def send(self, payload: bytes, *, patience: float = 10) -> bytes:
        """Send bytes and return all that comes back until the server closes or stays silent for a moment."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(payload)
            return await _read_answer(reader, patience)
        finally:
            writer.close()

    async def request(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        lines = {"host": f"127.0.0.1:{self.port}", "connection": "close", **(headers or {})}
        if body or method == "POST":
            lines.setdefault("content-length", str(len(body)))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return parse_answer(await self.send(head.encode("latin-1") + b"\r\n" + body))


async def _read_answer(reader: asyncio.StreamReader, patience: float) -> bytes:
    received = b""
    try:
        async with asyncio.timeout(patience):
            while piece := await reader.read(65536):
                received += piece
    except (TimeoutError, ConnectionResetError):
        pass
    return received


def parse_answer(raw: bytes) -> Answer:
    """Status, headers and body of a whole answer, chunks joined."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = _joined(body)
    return Answer(int(lines[0].split()[1]) if lines[0] else 0, headers, body)


def _joined(chunked: bytes) -> bytes:
    whole = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size or b"0", 16)
        whole, chunked = whole + rest[:length], rest[length + 2 :]
        if not length:
            break
    return whole


@dataclass
class McpHttp:
    """MCP requests as raw HTTP, in both eras."""

    stand: Stand
    agent: str = "ada"
    number: int = 0
    session: str = ""

    @property
    def raw(self) -> RawClient:
        return RawClient(self.stand.port)

    def headers(self, method: str, params: dict[str, Any]) -> dict[str, str]:
        """The headers that revision 2026-07-28 asks for."""
        named = params.get("name") or params.get("uri")
        return {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {self.stand.tokens[self.agent]}",
            "mcp-protocol-version": STATELESS,
            "mcp-method": method,
            **({"mcp-name": named} if named and method in ("tools/call", "prompts/get", "resources/read") else {}),
        }

    async def stateless(
        self, method: str, params: dict[str, Any] | None = None, *, meta: dict[str, Any] | None = None, **other: str
    ) -> Answer:
        """One request of revision 2026-07-28; `other` headers replace or add."""
        self.number += 1
        given = params or {}
        whole = {**given, "_meta": {**META, **(meta or {})}}
        body = json.dumps({"jsonrpc": "2.0", "id": self.number, "method": method, "params": whole}).encode()
        headers = self.headers(method, given) | {name.replace("_", "-"): value for name, value in other.items()}
        return await self.raw.request("POST", "/mcp", headers, body)

    async def call(self, tool_name: str, **arguments: Any) -> Any:
        """The result of a stateless tool call."""
        answer = await self.stateless("tools/call", {"name": tool_name, "arguments": arguments})
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json["result"]

    async def open(self, capabilities: dict[str, Any] | None = None) -> None:
        """Shake hands."""
        client = {"name": "test", "version": "1"}
        params = {"protocolVersion": HANDSHAKE, "capabilities": capabilities or {}, "clientInfo": client}
        answer = await self.handshake("initialize", params)
        assert answer.status == 200, answer.body
        self.session = answer.headers["mcp-session-id"]
        await self.handshake("notifications/initialized", {}, notification=True)

    async def handshake(self, method: str, params: dict[str, Any], *, notification: bool = False) -> Answer:
        """One request of revision 2025-11-25."""
        self.number += 1
        document = {"jsonrpc": "2.0", "method": method, "params": params}
        if not notification:
            document["id"] = self.number
        return await self.raw.request("POST", "/mcp", self.session_headers(), json.dumps(document).encode())

    def session_headers(self) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {self.stand.tokens[self.agent]}",
            **({"mcp-session-id": self.session, "mcp-protocol-version": HANDSHAKE} if self.session else {}),
        }


@pytest.fixture
def mcp(stand: Stand) -> McpHttp:
    """Requests of the agent `ada` (developer) to the gateway."""
    return McpHttp(stand)
