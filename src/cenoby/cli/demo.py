"""`cenoby demo`: a conversation, a secret, a page, a model and the journal, in one go, on a colony of its own.

The page and the model are local servers that the demo starts; the model follows a script and is no language model.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from cenoby.cli.colony_client import ColonyClient
from cenoby.cli.demo_servers import PageServer, ScriptedModelServer
from cenoby.cli.failures import CommandFailed
from cenoby.cli.options import Json
from cenoby.cli.output import print_json, print_line
from cenoby.kernel.errors import CenobyError, error_from_wire
from cenoby.kernel.settings import BudgetSettings, EgressSettings, ModelSettings, Settings, TelemetrySettings

_PAGE = b"""<!doctype html><html><head><title>Harbour notes</title></head><body><h1>Harbour notes</h1>
<p>The ferry leaves at nine. See the <a href="/timetable">timetable</a>.</p><script>alert(1)</script></body></html>"""
_KEY = "demo-key-of-the-scripted-model"


def demo(*, json: Json = False) -> None:
    """Play conversations, secrets, the web, a (scripted) model and the journal against a colony of its own."""
    steps = asyncio.run(_play(quiet=json))
    if json:
        print_json({"model": "scripted", "steps": steps})


class _Stage:
    """Calls tools as one agent or another, prints what happened, and remembers it."""

    def __init__(self, url: str, *, quiet: bool) -> None:
        self._url = url
        self._quiet = quiet
        self.steps: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        if not self._quiet:
            print_line(text)

    async def does(self, who: str, token: str, tool: str, what: str, **arguments: Any) -> dict[str, Any]:
        """A call that must succeed; returns its structured result."""
        result = await self._call(token, tool, arguments)
        if result.get("isError"):
            raise error_from_wire(result["_meta"]["cenoby/error"])
        self._note(who, tool, what, result, "")
        return result["structuredContent"]

    async def is_refused(self, who: str, token: str, tool: str, what: str, **arguments: Any) -> None:
        """A call that must be refused."""
        result = await self._call(token, tool, arguments)
        if not result.get("isError"):
            raise CommandFailed("demo_failed", f"{tool} as {who} should have been refused: {what}.")
        self._note(who, tool, what, result, result["_meta"]["cenoby/error"]["code"])

    async def _call(self, token: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        client = ColonyClient(self._url, token)
        return await asyncio.to_thread(client.request, "tools/call", {"name": tool, "arguments": arguments})

    def _note(self, who: str, tool: str, what: str, result: dict[str, Any], refused: str) -> None:
        record = result.get("_meta", {}).get("cenoby/record", "")
        self.steps.append({"agent": who, "tool": tool, "what": what, "refused": refused, "record": record})
        self.say(f"  {who:<9}{tool:<34}{f'refused ({refused}): ' if refused else ''}{what}")
        self.say(f"  {'':<9}journal {record}")


async def _play(*, quiet: bool) -> list[dict[str, Any]]:
    from cenoby.app.composition import open_colony
    from cenoby.app.faces import serve_gateway
    from cenoby.kernel.clock import SystemClock

    pages = {"/": ("text/html; charset=utf-8", _PAGE)}
    with tempfile.TemporaryDirectory(prefix="cenoby-demo-") as folder:
        async with PageServer(pages) as page, ScriptedModelServer(key=_KEY) as model:
            settings = _settings(Path(folder), page.address, model)
            async with open_colony(settings, SystemClock()) as colony, serve_gateway(colony.parts) as url:
                stage = _Stage(url, quiet=quiet)
                await _story(stage, (Path(folder) / "admin.token").read_text(), page.url("/"))
                return stage.steps


def _settings(data: Path, page: str, model: ScriptedModelServer) -> Settings:
    scripted = ModelSettings(
        name="scripted",
        url=f"http://{model.address}/v1",
        key="models/scripted",
        input_usd_per_million=1.0,
        output_usd_per_million=2.0,
        max_output_tokens=200,
    )
    return Settings(
        data=data,
        listen="127.0.0.1:0",
        egress=EgressSettings(allow=[page, model.address]),
        models=[scripted],
        budgets=BudgetSettings(usd_per_day=0.01),
        telemetry=TelemetrySettings(log_level="error"),
    )


async def _story(stage: _Stage, operator: str, page: str) -> None:
    stage.say(
        "A colony of its own, in a temporary directory. The model is SCRIPTED: a local server, no language model."
    )
    tokens: dict[str, str] = {}
    for agent, role in (("ada", "developer"), ("ben", "developer"), ("eve", "observer")):
        made = await stage.does(
            "operator", operator, "mads.grace.create_token", f"a token for {agent}, {role}", agent=agent, roles=[role]
        )
        tokens[agent] = made["token"]
    await _conversation(stage, tokens)
    await _secret(stage, tokens)
    await _page(stage, tokens, page)
    await _model(stage, tokens, operator)
    await _journal(stage, operator)


async def _conversation(stage: _Stage, tokens: dict[str, str]) -> None:
    stage.say("\nA conversation, watched live")
    made = await stage.does(
        "ada", tokens["ada"], "mads.rogers.create_conversation", "opens a conversation", name="release"
    )
    conversation = made["id"]
    await stage.does("ben", tokens["ben"], "mads.rogers.join", "joins it", conversation=conversation)
    watching = asyncio.create_task(
        stage.does(
            "ben", tokens["ben"], "mads.rogers.watch_conversation", "watched and saw it arrive",
            conversation=conversation, seconds=2,
        )
    )  # fmt: skip
    await asyncio.sleep(0.5)
    await stage.does(
        "ada", tokens["ada"], "mads.rogers.post_message", "posts with a mention and a topic",
        conversation=conversation, content="@ben is #release ready?",
    )  # fmt: skip
    if not (await watching)["messages"]:
        raise CommandFailed("demo_failed", "Ben watched and saw nothing arrive.")


async def _secret(stage: _Stage, tokens: dict[str, str]) -> None:
    stage.say("\nA secret")
    await stage.does(
        "ada", tokens["ada"], "mads.turing.set_secret", "stores a secret", name="weather", value="not-to-be-told"
    )
    read = await stage.does("ada", tokens["ada"], "mads.turing.get_secret", "reads it back", name="weather")
    if read["value"] != "not-to-be-told":
        raise CommandFailed("demo_failed", "The secret came back different.")
    await stage.is_refused("eve", tokens["eve"], "mads.turing.get_secret", "an observer wants it", name="weather")


async def _page(stage: _Stage, tokens: dict[str, str], url: str) -> None:
    stage.say("\nA page, opened in the sandbox")
    page = await stage.does("ada", tokens["ada"], "mads.marco.fetch", "fetches the local page", url=url)
    stage.say(f"           {page['title']!r}, {len(page['links'])} link(s), text: {' '.join(page['text'].split())!r}")
    for inside in ("http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/"):
        await stage.is_refused("ada", tokens["ada"], "mads.marco.fetch", f"wants {inside}", url=inside)


async def _model(stage: _Stage, tokens: dict[str, str], operator: str) -> None:
    stage.say("\nA model (scripted), within a budget of one cent")
    await stage.does(
        "operator", operator, "mads.turing.set_secret", "gives Turing the model's key; nobody can read it back",
        name="models/scripted", value=_KEY, colony_only=True,
    )  # fmt: skip
    answer = await stage.does(
        "ada",
        tokens["ada"],
        "mads.fiedler.complete",
        "sends a prompt",
        model="scripted",
        prompt="Is the ferry on time?",
    )
    stage.say(f"           {answer['text']!r} for {answer['cost_usd']:.6f} USD")
    try:
        await stage.is_refused(
            "ada", tokens["ada"], "mads.fiedler.complete", "sends one that the budget cannot bear",
            model="scripted", prompt="ferry " * 20_000,
        )  # fmt: skip
    except CenobyError as error:
        raise CommandFailed("demo_failed", f"The budget did not hold: {error.message}") from error


async def _journal(stage: _Stage, operator: str) -> None:
    stage.say("\nThe journal")
    found = await stage.does("operator", operator, "mads.grace.verify_journal", "verifies the whole chain")
    if not found["ok"]:
        raise CommandFailed("demo_failed", "The journal's chain does not hold.")
    stage.say(f"           {found['records']} records, the chain holds")
