"""Fiedler's tools against a scripted provider, with the real ledger of budgets."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.budgets.ledger import Ledger
from cenoby.access.principals import Principal
from cenoby.cli.demo_servers import Mishap, ScriptedModelServer
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.tool import Tool, tools_of
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.codec import to_json
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import BudgetSettings, EgressSettings, ModelSettings, RedactionSettings
from cenoby.kernel.settings_content import AnswerSettings
from cenoby.mads.fiedler import Answer, Fiedler, ModelList, UsageReport
from cenoby.models.catalogue import Catalogue, ModelInputError
from cenoby.models.client import ModelClient
from cenoby.models.refusal import ModelUnavailable
from cenoby.models.token_counts import TokenCounter
from cenoby.models.usage import UsageBook
from cenoby.protection.content.answers import AnswerPolicy
from cenoby.protection.egress import EgressGuard
from cenoby.protection.redact import Redactor
from cenoby.store.database import Database
from cenoby.store.journal import Entry, RecordRef

KEY = "sk-of-the-orchestra"
ADA = Principal(agent="ada", tenant="default", roles=("developer",), kind="agent")


class Listener:
    """A client that keeps the progress it is told of."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, str | None]] = []

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        self.heard.append((done, message))

    async def log(self, level: str, text: str) -> None: ...

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("Fiedler asks nobody")

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("Fiedler does not borrow models")


async def read_key(name: str, url: str) -> str:
    return {"orchestra-key": KEY}[name]


class Stage:
    """Fiedler with one model, and calls to it as the pipeline makes them: parse, reserve, run, settle."""

    def __init__(self, server: ScriptedModelServer, database: Database) -> None:
        self.clock = ManualClock()
        self.egress = EgressGuard(EgressSettings(allow=[server.address]))
        self.ledger = Ledger(database, BudgetSettings(usd_per_day=0.01), self.clock)
        self.listener = Listener()
        self.invocation: Invocation | None = None
        self.noted: list[Entry] = []
        counter = TokenCounter()
        entry = ModelSettings(
            name="small",
            model="scripted",
            url=server.url,
            key="orchestra-key",
            input_usd_per_million=2,
            output_usd_per_million=10,
            max_output_tokens=200,
            context_tokens=2000,
        )
        fiedler = Fiedler(
            catalogue=Catalogue([entry], counter),
            client=ModelClient(self.egress, read_key, counter, self.clock, sleep=self.sleep),
            usage=UsageBook(database, self.clock),
            ledger=self.ledger,
            answers=AnswerPolicy(AnswerSettings()),
        )
        self.tools: dict[str, Tool] = {tool.name: tool for tool in tools_of(fiedler, "fiedler")}

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def note(self, entry: Entry) -> RecordRef:
        self.noted.append(entry)
        return RecordRef(1, "record", "")

    async def call(self, name: str, **arguments: Any) -> Any:
        tool = self.tools[f"mads.fiedler.{name}"]
        invocation = self.invocation = Invocation(tool.name, arguments, ADA, client=self.listener)
        invocation.principal, invocation.tool = ADA, tool
        parsed = tool.parse(to_json(arguments))
        reservation = ""
        if tool.estimate is not None:
            bound = await tool.bound(parsed)
            reservation = await self.ledger.reserve(ADA.agent, ADA.tenant, bound.micro_usd, tokens=bound.tokens)
        deadline_ns = self.clock.now_ns() + round(tool.says.timeout * 1e9)
        try:
            return await tool.run(Call(invocation, self.note, Redactor(RedactionSettings()), deadline_ns), **parsed)
        finally:
            if reservation and invocation.spent is not None:
                await self.ledger.settle(reservation, invocation.spent, invocation.spent_tokens)

    async def spent(self) -> int:
        """What the ledger counts against Ada today, micro-US-dollars."""
        return sum(one.held + one.spent for one in await self.ledger.usage("default", agent="ada"))


@pytest.fixture
async def server() -> AsyncIterator[ScriptedModelServer]:
    async with ScriptedModelServer(key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with empty tables, migrated once; every test works on a copy."""
    path = tmp_path_factory.mktemp("fiedler") / "template.db"

    async def migrate() -> None:
        await (await Database.open(path, clock=ManualClock())).close()

    asyncio.run(migrate())
    return path


@pytest.fixture
async def stage(server: ScriptedModelServer, migrated: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    path = Path(shutil.copy(migrated, tmp_path / "cenoby.db"))
    database = await Database.open(path, clock=ManualClock())
    made = Stage(server, database)
    yield made
    await made.egress.aclose()
    await database.close()


async def test_models_are_listed_with_prices_and_without_keys(stage: Stage) -> None:
    """A caller can choose by price and size; neither the key nor the name of its secret is in the list."""
    found = await stage.call("list_models")
    assert isinstance(found, ModelList)
    assert found.default == "small"
    card = asdict(found.models[0])
    assert (card["input_usd_per_million"], card["context_tokens"]) == (2.0, 2000)
    assert "key" not in str(card)


async def test_an_answer_costs_what_the_provider_reports(stage: Stage) -> None:
    """The ledger ends at the real cost, not at the reservation."""
    answer = await stage.call("complete", prompt="one two three")
    assert answer == Answer(
        model="small",
        text="You said: one two three",
        finish_reason="stop",
        input_tokens=4,
        output_tokens=5,
        cost_usd=0.000058,
        estimated=False,
    )
    assert await stage.spent() == 58
    assert stage.listener.heard == []


async def test_a_streamed_answer_is_heard_while_it_grows(stage: Stage) -> None:
    """The pieces go out as progress that never steps back, and add up to the result."""
    answer = await stage.call("complete", prompt="one two three " * 50, stream=True)
    assert "".join(message or "" for _, message in stage.listener.heard) == answer.text
    counts = [done for done, _ in stage.listener.heard]
    assert counts == sorted(set(counts))
    assert len(counts) > 5


async def test_a_streamed_answer_shows_no_secret_that_comes_in_pieces(stage: Stage) -> None:
    """No piece holds a whole card number, key or password, and what was heard is the redacted result."""
    secrets = "card 4111 1111 1111 1111, Authorization: Basic dXNlcjpwYXNz, -----BEGIN PRIVATE KEY----- MIIEvQ IBADAN"
    answer = await stage.call("complete", prompt="a word " * 40 + secrets, stream=True)
    heard = "".join(message or "" for _, message in stage.listener.heard)
    assert len(stage.listener.heard) > 5
    assert heard == Redactor(RedactionSettings()).text(answer.text)
    assert [(one.code, one.payload["categories"]) for one in stage.noted] == [("content_flagged", ["secret"])]
    assert not [secret for secret in ("1111", "dXNlcjpwYXNz", "MIIEvQ", "IBADAN") if secret in heard]


async def test_options_reach_the_provider(stage: Stage, server: ScriptedModelServer) -> None:
    """Directive, cap and temperature are sent, and an answer cut at the cap says so."""
    answer = await stage.call("complete", prompt="x", system="be brief", max_output_tokens=2, temperature=0)
    assert (answer.text, answer.finish_reason) == ("You said:", "length")
    assert b'"role":"system","content":"be brief"' in server.requests[0].body
    assert b'"temperature":0' in server.requests[0].body


async def test_a_call_beyond_the_budget_is_never_sent(stage: Stage, server: ScriptedModelServer) -> None:
    """The bound is reserved first: after four times 2,000 of 10,000 micro-dollars, 200 tokens of answer do not fit."""
    for _ in range(4):
        await stage.ledger.reserve("ada", "default", 2000)
    with pytest.raises(CenobyError) as caught:
        await stage.call("complete", prompt="hello")
    assert caught.value.code == "budget_exhausted"
    assert server.requests == []


async def test_a_prompt_that_cannot_fit_reserves_nothing(stage: Stage) -> None:
    """The error comes out of the estimate, before the ledger is asked."""
    with pytest.raises(ModelInputError):
        await stage.call("complete", prompt="x" * 20_000)
    with pytest.raises(ModelInputError):
        await stage.call("complete", prompt="x", model="large")
    assert await stage.spent() == 0


async def test_a_refusal_gives_everything_back(stage: Stage, server: ScriptedModelServer) -> None:
    """A provider that does no work is paid nothing, and usage does not list the call."""
    server.fail(*[Mishap(status=503)] * 4)
    with pytest.raises(ModelUnavailable):
        await stage.call("complete", prompt="hello")
    assert await stage.spent() == 0
    assert (await stage.call("usage")).rows == []


async def test_a_lost_answer_costs_the_bound(stage: Stage, server: ScriptedModelServer) -> None:
    """What may have been billed stays spent, in the ledger and in the usage, marked as an estimate."""
    server.fail(Mishap(kind="cut"))
    with pytest.raises(ModelUnavailable):
        await stage.call("complete", prompt="hello", stream=True)
    bound = stage.tools["mads.fiedler.complete"].estimate
    assert bound is not None
    assert await stage.spent() == bound({"prompt": "hello"}).micro_usd
    row = (await stage.call("usage")).rows[0]
    assert (row.estimated_calls, row.cost_usd) == (1, await stage.spent() / 1e6)


async def test_a_cancelled_call_costs_the_bound(stage: Stage, server: ScriptedModelServer) -> None:
    """A caller that walks away does not get the answer for nothing."""
    server.fail(Mishap(kind="hang"))
    call = asyncio.create_task(stage.call("complete", prompt="hello"))
    await server.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await stage.spent() > 2000
    assert (await stage.call("usage")).rows[0].estimated_calls == 1


async def test_callers_at_once_never_exceed_the_budget(stage: Stage, server: ScriptedModelServer) -> None:
    """Twenty at once, each of which might cost a fifth of the budget: those that were let through fit together."""
    results = await asyncio.gather(
        *(stage.call("complete", prompt="hello", max_output_tokens=180) for _ in range(20)), return_exceptions=True
    )
    refused = [one for one in results if isinstance(one, CenobyError)]
    assert {one.code for one in refused} <= {"budget_exhausted"}
    assert len(server.requests) == 20 - len(refused)
    assert await stage.spent() == sum(round(one.cost_usd * 1e6) for one in results if isinstance(one, Answer))


async def test_usage_by_month_and_by_days(stage: Stage) -> None:
    """`ManualClock` starts on 1 January 2026; yesterday's call is in January and not in February."""
    await stage.call("complete", prompt="one two three")
    january = await stage.call("usage", month="2026-01")
    assert isinstance(january, UsageReport)
    assert (january.first_day, january.last_day) == ("2026-01-01", "2026-01-31")
    assert [(row.model, row.agent, row.calls, row.cost_usd) for row in january.rows] == [("small", "ada", 1, 0.000058)]
    assert january.total_usd == 0.000058
    assert (january.budget_usd, january.budget_left_usd) == (0.01, 0.009942)
    assert (await stage.call("usage", month="2026-02")).rows == []
    assert (await stage.call("usage", agent="bob")).rows == []
    stage.clock.advance(86_400)
    assert (await stage.call("usage", days=1)).rows == []
    assert (await stage.call("usage", days=2)).rows != []


@pytest.mark.parametrize("arguments", [{"month": "2026-13"}, {"month": "0000-01"}, {"days": 0}, {"nonsense": 1}])
async def test_arguments_that_do_not_fit_are_refused(stage: Stage, arguments: dict[str, Any]) -> None:
    """Months that do not exist, no days at all, and unknown names never reach the tool."""
    with pytest.raises(CenobyError, match="input schema"):
        await stage.call("usage", **arguments)


async def test_tools_are_published_with_schemas(stage: Stage) -> None:
    """Three tools under their canonical names, each with an output schema; only `complete` acts outside."""
    assert sorted(stage.tools) == ["mads.fiedler.complete", "mads.fiedler.list_models", "mads.fiedler.usage"]
    assert all(tool.output_schema and tool.output_schema["type"] == "object" for tool in stage.tools.values())
    assert stage.tools["mads.fiedler.complete"].input_schema["required"] == ["prompt"]
    assert [tool.says.effect for tool in stage.tools.values()].count("outside") == 1
