"""What a user can do, through the real gateway, with the official SDK's client in both eras and over stdio."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Literal

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import RunningColony

Era = Literal["legacy", "2026-07-28", "stdio-legacy", "stdio-2026-07-28"]
ERAS: tuple[Era, ...] = ("legacy", "2026-07-28", "stdio-legacy", "stdio-2026-07-28")


@asynccontextmanager
async def connected(colony: RunningColony, token: str, era: Era = "2026-07-28") -> AsyncIterator[Client]:
    """A client of the official SDK with this agent's token."""
    if era.startswith("stdio-"):
        arguments = ["-m", "cenoby.cli.main", "stdio", "--data", str(colony.data)]
        server = StdioServerParameters(command=sys.executable, args=arguments, env={"CENOBY_TOKEN": token})
        async with Client(server, mode=era.removeprefix("stdio-")) as client:  # type: ignore[arg-type]
            yield client
        return
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(colony.url, http_client=http), mode=era) as client,  # type: ignore[arg-type]
    ):
        yield client


async def result_of(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured result of a call that must succeed."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def error_of(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The error of a call that must be refused."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    assert result.meta is not None
    return result.meta["cenoby/error"]


@pytest.fixture(scope="session")
def developer(colony: RunningColony) -> str:
    return colony.token("ada", "developer")


@pytest.fixture(scope="session")
def observer(colony: RunningColony) -> str:
    return colony.token("eve", "observer")


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_sees_the_tools_of_every_mad(colony: RunningColony, developer: str, era: Era) -> None:
    """Names are aliases that every client accepts; schemas, annotations and both spellings work."""
    async with connected(colony, developer, era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        for mad in ("rogers", "fiedler", "turing", "grace", "marco"):
            assert any(name.startswith(f"mads__{mad}__") for name in tools), mad
        history = tools["mads__rogers__get_history"]
        assert history.input_schema["type"] == "object"
        assert history.output_schema is not None
        assert history.annotations is not None
        assert history.annotations.read_only_hint is True
        by_alias = await result_of(client, "mads__grace__find_tools", query="history")
        by_name = await result_of(client, "mads.grace.find_tools", query="history")
        assert by_alias == by_name


@pytest.mark.parametrize("era", ERAS)
async def test_a_conversation_with_mentions_and_topics(colony: RunningColony, developer: str, era: Era) -> None:
    """Open, post with a mention and a topic, read back the page, find by topic and by search."""
    async with connected(colony, developer, era) as client:
        conversation = (await result_of(client, "mads__rogers__create_conversation", name=f"story {era}"))["id"]
        content = f"@eve the #release of {era} waits"
        await result_of(client, "mads__rogers__post_message", conversation=conversation, content=content)
        await result_of(client, "mads__rogers__post_message", conversation=conversation, content="nothing special")
        history = await result_of(client, "mads__rogers__get_history", conversation=conversation)
        assert [message["content"] for message in history["messages"]] == [content, "nothing special"]
        by_topic = await result_of(client, "mads__rogers__get_history", conversation=conversation, topic="release")
        assert [message["content"] for message in by_topic["messages"]] == [content]
        assert by_topic["messages"][0]["mentions"] == ["eve"]


async def test_messages_arrive_live_at_another_client(colony: RunningColony, developer: str, observer: str) -> None:
    """A second client that listens to the conversation's resource hears of a message and reads it."""
    async with connected(colony, developer) as writer, connected(colony, observer) as reader:
        conversation = (await result_of(writer, "mads__rogers__create_conversation", name="live"))["id"]
        uri = f"cenoby://conversations/{conversation}"
        async with reader.listen(resource_subscriptions=[uri]) as feed:
            await result_of(writer, "mads__rogers__post_message", conversation=conversation, content="hear, hear")
            async with asyncio.timeout(30):
                event = await anext(aiter(feed))
        assert event.uri == uri
        read = await reader.read_resource(uri)
        assert "hear, hear" in read.contents[0].text


async def test_a_handshake_client_gets_messages_as_progress(colony: RunningColony, developer: str) -> None:
    """`watch_conversation` sends each message as progress while it is under way, to any client."""
    seen: list[str] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")

    async with connected(colony, developer, "legacy") as writer, connected(colony, developer, "legacy") as watcher:
        conversation = (await result_of(writer, "mads__rogers__create_conversation", name="watched"))["id"]
        watching = asyncio.create_task(
            watcher.call_tool(
                "mads__rogers__watch_conversation",
                {"conversation": conversation, "seconds": 3},
                progress_callback=on_progress,
            )
        )
        await asyncio.sleep(0.5)
        await result_of(writer, "mads__rogers__post_message", conversation=conversation, content="one for the watcher")
        result = await watching
    assert not result.is_error
    assert any("one for the watcher" in message for message in seen)


async def test_a_secret_by_role_and_both_in_the_journal(colony: RunningColony, developer: str, observer: str) -> None:
    """Stored and read with the right role, refused with the wrong one; both are journalled, the value nowhere."""
    value = "correct-horse-battery-staple"
    async with connected(colony, developer) as client:
        await result_of(client, "mads__turing__set_secret", name="e2e/one", value=value)
        assert (await result_of(client, "mads__turing__get_secret", name="e2e/one"))["value"] == value
    async with connected(colony, observer) as client:
        assert (await error_of(client, "mads__turing__get_secret", name="e2e/one"))["code"] == "action_not_allowed"
    lines = colony.cenoby("journal", "tail", "--mad", "turing", "-n", "50", "--json").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    seen = {(one["agent"], one["tool"], one["decision"]) for one in records if one["decision"]}
    assert ("ada", "mads.turing.get_secret", "allowed") in seen
    assert ("eve", "mads.turing.get_secret", "refused") in seen
    filters = ("--tool", "mads.turing.get_secret", "--code", "action_not_allowed")
    found = colony.cenoby("journal", "tail", *filters, "--json").stdout.splitlines()
    assert [(one["agent"], one["code"]) for one in map(json.loads, found)] == [("eve", "action_not_allowed")]
    shown = [colony.cenoby("journal", "show", one["id"], "--json").stdout for one in records[-8:]]
    assert shown
    assert value not in "".join(shown)
    assert value.encode() not in (colony.data / "colony.db").read_bytes()
    assert value.encode() not in (colony.data / "colony.db-wal").read_bytes()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://169.254.169.254/latest/", "http://[::ffff:10.0.0.1]/"])
async def test_inside_addresses_are_refused(colony: RunningColony, developer: str, url: str) -> None:
    """Loopback, metadata and mapped addresses are refused by name of the rule, whatever their spelling."""
    async with connected(colony, developer) as client:
        assert (await error_of(client, "mads__marco__fetch", url=url))["family"] == "refused"


async def test_the_journal_says_who_did_what_and_holds(colony: RunningColony, developer: str) -> None:
    """A call's record is found by its id, names agent, tool and decision; the chain verifies on the running colony."""
    async with connected(colony, developer) as client:
        result = await client.call_tool("mads__grace__find_tools", {"query": "secret"})
    assert result.meta is not None
    record = json.loads(colony.cenoby("journal", "show", result.meta["cenoby/record"], "--json").stdout)
    assert (record["agent"], record["tool"], record["decision"], record["status"]) == (
        "ada", "mads.grace.find_tools", "allowed", "ok",
    )  # fmt: skip
    assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]


async def test_a_wrong_call_is_refused_with_a_reason_and_the_next_one_works(
    colony: RunningColony, developer: str
) -> None:
    """Arguments that do not fit, and a tool that does not exist, are the protocol's own errors."""
    from mcp.shared.exceptions import MCPError

    async with connected(colony, developer) as client:
        error = await error_of(client, "mads__rogers__get_history", conversation=7)
        assert error["code"] == "arguments_invalid"
        with pytest.raises(MCPError, match="tool_unknown"):
            await client.call_tool("mads__rogers__get_histroy", {})
        await result_of(client, "mads__grace__find_tools", query="history")


def test_a_parked_call_goes_through_once_after_a_person_said_yes(
    start_colony: Callable[..., AbstractContextManager[RunningColony]],
) -> None:
    """A call that needs approval is parked, the operator approves, the same call passes once and is parked again."""
    with start_colony(settings="approvals: {require: ['secret:write']}") as colony:
        token = colony.token("ada", "developer")
        call = ("call", "mads.turing.set_secret", '{"name": "x", "value": "y"}', "--json")
        first = colony.cenoby(*call, check=False, token=token)
        assert first.returncode == 4
        pending = json.loads(first.stdout)["error"]
        assert pending["code"] == "approval_pending"
        approval = pending["details"]["approval_id"]
        own = colony.cenoby("call", "mads.grace.approve", f"approval_id={approval}", check=False, token=token)
        assert own.returncode == 4
        colony.cenoby("call", "mads.grace.approve", f"approval_id={approval}")
        assert colony.cenoby(*call, token=token).returncode == 0
        assert colony.cenoby(*call, check=False, token=token).returncode == 4


def test_what_was_acknowledged_is_there_after_a_stop_and_after_a_kill(
    start_colony: Callable[..., AbstractContextManager[RunningColony]],
) -> None:
    """Secret, conversation, token and journal survive a graceful stop and kill -9."""
    with start_colony() as colony:
        token = colony.token("ada", "developer")
        colony.cenoby("call", "mads.turing.set_secret", '{"name": "x", "value": "kept"}', token=token)
        assert colony.stop() == 0
    with start_colony() as colony:
        made = colony.cenoby("call", "mads.rogers.create_conversation", "name=kept", token=token)
        colony.kill()
    with start_colony() as colony:
        assert (
            json.loads(colony.cenoby("call", "mads.turing.get_secret", "name=x", token=token).stdout)["value"] == "kept"
        )
        conversation = json.loads(made.stdout)["id"]
        found = colony.cenoby("call", "mads.rogers.get_history", f"conversation={conversation}", token=token)
        assert json.loads(found.stdout)["messages"] == []
        assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"]
    assert json.loads(colony.cenoby("journal", "verify", "--json").stdout)["ok"], "offline"


def test_the_demo_plays_through() -> None:
    """`cenoby demo` says that its model is scripted, refuses what it should, and every step has its journal record."""
    import subprocess

    command = [sys.executable, "-m", "cenoby.cli.main", "demo"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, timeout=120)
    report = json.loads(done.stdout)
    assert report["model"] == "scripted"
    refused = {step["refused"] for step in report["steps"]} - {""}
    assert {"action_not_allowed", "budget_exhausted"} <= refused
    assert all(step["record"] for step in report["steps"])
