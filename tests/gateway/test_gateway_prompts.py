"""Prompts and completion: they pass the pipeline as any call does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from cenoby.colony.invocation import ClientChannel
from cenoby.colony.mad import Mad, Prompt
from tests.conformance import fixture_mad
from tests.conftest import RunningColony
from tests.gateway.conftest import McpHttp, Stand, StartStand

NAME = "test_prompt_with_arguments"
MAIL = "dora@example.org"
KEY = "sk-ant-api03-ABCDEFGHIJKLMNOPQRSTUVWXYZ0123"
REFERENCE = types.PromptReference(type="ref/prompt", name=NAME)
COMPLETION = {"ref": {"type": "ref/prompt", "name": NAME}, "argument": {"name": "arg1", "value": "par"}}


@asynccontextmanager
async def client_of(colony: RunningColony, token: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http,
        Client(streamable_http_client(colony.url, http_client=http)) as client,
    ):
        yield client


async def records(operator: Client, agent: str) -> list[dict[str, Any]]:
    """What the journal has of an agent's calls, oldest first, with payloads."""
    listed = await operator.call_tool("mads.grace.list_records", {"agent": agent})
    found: list[dict[str, Any]] = []
    for one in (listed.structured_content or {})["records"]:
        record = await operator.call_tool("mads.grace.get_record", {"record_id": one["id"]})
        found.append(record.structured_content or {})
    return sorted(found, key=lambda record: record["seq"])


async def test_prompts_are_authorised_recorded_and_redacted(
    start_colony: Callable[..., AbstractContextManager[RunningColony]],
) -> None:
    """Whoever lacks a prompt's capability is shown and given none; whoever has it leaves a redacted record."""
    with start_colony(settings=f'mads: [grace, "{fixture_mad.__file__}:Conformance"]') as colony:
        async with client_of(colony, colony.token("paul", "auditor")) as auditor:
            assert (await auditor.list_prompts()).prompts == []
            asked: list[Callable[[], Awaitable[Any]]] = [
                lambda: auditor.get_prompt(NAME, {"arg1": "a", "arg2": "b"}),
                lambda: auditor.complete(REFERENCE, {"name": "arg1", "value": "par"}),
            ]
            for ask in asked:
                with pytest.raises(MCPError, match="action_not_allowed"):
                    await ask()
        async with client_of(colony, colony.token("dora", "developer")) as developer:
            assert NAME in [prompt.name for prompt in (await developer.list_prompts()).prompts]
            got = await developer.get_prompt(NAME, {"arg1": MAIL, "arg2": "b"})
            with pytest.raises(MCPError, match="rule_violated"):
                await developer.get_prompt(NAME, {"arg1": KEY, "arg2": "b"})
            completed = await developer.complete(REFERENCE, {"name": "arg1", "value": "par"})
            assert completed.completion.values == ["paris", "park", "party"]
            assert "arg2='b'" in got.model_dump_json()
            assert MAIL not in got.model_dump_json()
            assert not [tool.name for tool in (await developer.list_tools()).tools if "/" in tool.name]
        async with client_of(colony, colony.operator_token) as operator:
            names = [f"mads.conformance.prompt/{NAME}", f"mads.conformance.completion/{NAME}"]
            refused, made = await records(operator, "paul"), await records(operator, "dora")
            assert [(record["tool"], record["decision"]) for record in refused] == [(name, "refused") for name in names]
            assert [(record["tool"], record["status"]) for record in made] == [
                (names[0], "ok"), (names[0], "refused"), (names[1], "ok"),
            ]  # fmt: skip
            made = [record for record in made if record["status"] == "ok"]
            assert [record["id"] for record in made] == [
                (answer.meta or {})["cenoby/record"] for answer in (got, completed)
            ]
            assert KEY not in json.dumps(made) and MAIL not in json.dumps(made)


async def test_prompts_are_limited_as_calls_are(start_stand: StartStand) -> None:
    """Getting prompts and completing uses up the agent's allowance, and the agent's calls of tools share it."""
    async with start_stand(limits={"calls_per_second": 0.001, "burst": 3}) as stand:
        mcp = McpHttp(stand)
        codes: list[str] = []
        for method, params in [
            ("prompts/get", {"name": "test_simple_prompt"}),
            ("completion/complete", COMPLETION),
        ] * 2:
            error = (await mcp.stateless(method, params)).json.get("error")
            codes.append(error["data"]["cenoby/error"]["code"] if error else "ok")
        assert codes == ["ok", "ok", "ok", "rate_limited"]
        assert (await mcp.call("mads.probe.say", text="x"))["_meta"]["cenoby/error"]["code"] == "rate_limited"


class Prompting(Mad):
    """Prompts that fail, and one that asks."""

    name = "prompting"

    def prompts(self) -> list[Prompt]:
        return [
            Prompt(name="broken", description="Fails.", action="test:run", render=_fail, complete=_fail_too),
            Prompt(name="secret", description="Tells too much.", action="test:run", render=_tell, complete=_tell_too),
            Prompt(name="asking", description="Asks.", action="test:run", render=_ask),
            Prompt(name="admin", description="Of operators.", action="colony:admin", render=_tell),
        ]


def _said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": {"type": "text", "text": text}}]


async def _fail(arguments: Mapping[str, str], client: ClientChannel | None = None) -> list[dict[str, Any]]:
    raise RuntimeError("a secret of the inside")


async def _fail_too(argument: str, text: str) -> list[str]:
    raise RuntimeError("a secret of the inside")


async def _tell(arguments: Mapping[str, str], client: ClientChannel | None = None) -> list[dict[str, Any]]:
    return _said(f"The key is {KEY}.")


async def _tell_too(argument: str, text: str) -> list[str]:
    return [KEY] * 101


async def _ask(arguments: Mapping[str, str], client: ClientChannel | None = None) -> list[dict[str, Any]]:
    assert client is not None, "the test calls from a client"
    answer = await client.elicit("Who?", {"type": "object", "properties": {"name": {"type": "string"}}})
    return _said(f"Hello, {answer['content']['name']}!")


def completion_of(name: str) -> dict[str, Any]:
    return {"ref": {"type": "ref/prompt", "name": name}, "argument": {"name": "a", "value": ""}}


async def test_a_prompt_that_breaks_is_a_recorded_fault(stand: Stand) -> None:
    """What a prompt or a completion raises is answered and recorded as a fault, without its inside."""
    await stand.host.add(Prompting())
    mcp = McpHttp(stand)
    answers = [
        await mcp.stateless("prompts/get", {"name": "broken"}),
        await mcp.stateless("completion/complete", completion_of("broken")),
    ]
    for answer in answers:
        assert answer.json["error"]["data"]["cenoby/error"]["code"] == "tool_failed"
        assert b"a secret of the inside" not in answer.body
    for name in ("mads.prompting.prompt/broken", "mads.prompting.completion/broken"):
        assert [(record.status, record.code) for record in stand.records(name)] == [("error", "tool_failed")]


async def test_what_a_prompt_or_a_completion_tells_is_redacted(stand: Stand) -> None:
    """Secrets leave neither in messages nor in suggestions, of which a hundred are shown."""
    await stand.host.add(Prompting())
    mcp = McpHttp(stand)
    got = await mcp.stateless("prompts/get", {"name": "secret"})
    completed = await mcp.stateless("completion/complete", completion_of("secret"))
    assert got.json["result"]["messages"][0]["content"]["text"].startswith("The key is [redacted")
    completion = completed.json["result"]["completion"]
    assert (len(completion["values"]), completion["total"], completion["hasMore"]) == (100, 101, True)
    assert KEY.encode() not in got.body + completed.body
    assert KEY not in str([record.payload for record in stand.journal.entries])


async def test_a_prompt_asks_its_client_in_both_eras(stand: Stand) -> None:
    """`render` is given the caller's client: it asks while the call waits, or by `input_required`."""
    await stand.host.add(Prompting())

    async def answer(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    for mode in ("legacy", "auto"):
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {stand.tokens['ada']}"}, timeout=10) as http,
            Client(
                streamable_http_client(stand.url, http_client=http), mode=mode, elicitation_callback=answer
            ) as client,
        ):
            assert "Hello, Ann!" in (await client.get_prompt("asking")).model_dump_json()
    unable = await McpHttp(stand).stateless("prompts/get", {"name": "asking"})
    assert unable.json["error"]["code"] == types.MISSING_REQUIRED_CLIENT_CAPABILITY


async def test_prompts_are_shown_by_their_own_action(stand: Stand) -> None:
    """Two prompts of one MAD may need different capabilities; each caller is shown what it may use."""
    await stand.host.add(Prompting())
    shown = {
        agent: {
            prompt["name"]
            for prompt in (await McpHttp(stand, agent).stateless("prompts/list")).json["result"]["prompts"]
        }
        for agent in ("olga", "ada", "root")
    }
    assert shown["olga"] == set()
    assert "secret" in shown["ada"]
    assert "admin" not in shown["ada"]
    assert {"secret", "admin"} <= shown["root"]


@pytest.mark.parametrize(
    ("name", "action"), [("fine", "no:such"), ("a.b", "test:run"), ("", "test:run"), ("a/b", "test:run")]
)
def test_a_prompt_that_policy_could_not_name_cannot_be_made(name: str, action: str) -> None:
    """An action type that is not registered, and a name that a call's name cannot hold, are refused at once."""
    with pytest.raises(ValueError):
        Prompt(name=name, description="", action=action, render=_tell)
