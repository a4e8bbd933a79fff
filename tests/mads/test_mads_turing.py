"""Turing in a real colony: what his tools take and give beyond what the vault decides."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.cli.demo_servers import HttpRequest, LocalServer, ScriptedModelServer
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")


@pytest.fixture
async def colony(tmp_path: Path) -> AsyncIterator[Colony]:
    """A colony that hosts Turing alone."""
    overrides = {"data": tmp_path / "data", "mads": ["turing"], "telemetry": {"log_level": "error"}}
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as running:
        yield running


async def call(colony: Colony, tool: str, **arguments: Any) -> Any:
    outcome = await colony.call(ADA, f"mads.turing.{tool}", arguments)
    return outcome.value if outcome.error is None else outcome.error.code


async def test_secrets_are_paged(colony: Colony) -> None:
    """Each secret is on exactly one page, by name, and no page is empty."""
    for name in ("d", "b", "a", "c"):
        await call(colony, "set_secret", name=name, value="x" * 20)
    first = await call(colony, "list_secrets", limit=2)
    last = await call(colony, "list_secrets", limit=2, cursor=first["next_cursor"])
    names = [[one["newest"]["name"] for one in page["secrets"]] for page in (first, last)]
    assert names == [["a", "b"], ["c", "d"]]
    assert last["next_cursor"] is None


async def test_a_value_is_measured_in_bytes_before_the_call_is_on_record(colony: Colony) -> None:
    """What the vault could not keep is bad input: no intent, no outcome in doubt, nothing of it in the answer."""
    assert (await call(colony, "set_secret", name="fits", value="ä" * 32_768))["version"] == 1
    for tool, argument in (("set_secret", "value"), ("rotate_secret", "new_value")):
        outcome = await colony.call(ADA, f"mads.turing.{tool}", {"name": "fits", argument: "ä" * 32_768 + "x"})
        assert outcome.error is not None
        assert outcome.error.code == "arguments_invalid"
        assert "65536 bytes" in outcome.error.message
        assert "ä" not in str(outcome.error.to_wire())
    found = await colony.parts.ports.journal.page(JournalQuery(kind="intent"))
    assert [record.tool for record in found.records] == ["mads.turing.set_secret"]


def house(folder: Path, **more: Any) -> AbstractAsyncContextManager[Colony]:
    """A colony with these settings."""
    overrides = {"data": folder / "data", "telemetry": {"log_level": "error"}} | more
    return open_colony(load_settings(environment={}, overrides=overrides), SystemClock())


async def said(colony: Colony, who: Principal, tool: str, **arguments: Any) -> Any:
    outcome = await colony.call(who, tool, arguments)
    return outcome.value if outcome.error is None else outcome.error.code


async def test_a_policy_comes_with_a_secret_and_only_a_person_changes_it(colony: Colony) -> None:
    """Who stores it first says what it may be used for; after that a person does, and explains show what holds."""
    only_eve = [{"who": ["agent:eve"]}]
    assert (await call(colony, "set_secret", name="k", value="v", permits=only_eve))["version"] == 1
    assert await call(colony, "get_secret", name="k") == "secret_policy"
    assert await call(colony, "set_secret", name="k", value="w", permits=[]) == "secret_policy_fixed"
    explained = await call(colony, "explain_secret", name="k")
    assert (explained["decision"], explained["permits"][0]["who"]) == ("deny", False)
    assert (await call(colony, "explain_secret", name="k", agent="eve"))["decision"] == "allow"
    wish = {"name": "k", "permits": [{"who": ["role:developer"], "times": 1}], "reason": "the build needs it"}
    assert await call(colony, "set_secret_policy", **wish) == "action_not_allowed"
    agent, person = (Principal("ola", "default", ("operator",), kind) for kind in ("agent", "person"))
    assert await said(colony, agent, "mads.turing.set_secret_policy", **wish) == "secret_person"
    shown = await said(colony, person, "mads.turing.set_secret_policy", **wish)
    assert (shown["policies"][0]["set_by"], shown["policies"][0]["permits"]) == ("ola", wish["permits"])
    assert (await call(colony, "get_secret", name="k", lease_seconds=60))["lease"]["holder"] == "ada"
    assert await call(colony, "get_secret", name="k") == "secret_used_up"
    mallory = Principal("mallory", "default", ("developer",), "agent")
    assert await said(colony, mallory, "mads.turing.set_secret", name="k", value="mine") == "secret_not_owner"
    codes = [one.code for one in (await colony.parts.ports.journal.page(JournalQuery(kind="event"))).records]
    assert codes.count("secret_refused") == 3
    assert codes.count("secret_policy_set") == 2


async def test_a_models_key_goes_to_its_provider_by_its_tool_and_nowhere_else(tmp_path: Path) -> None:
    """The policy names Fiedler, a tool and a server. To another server, or by another tool, nothing is sent at all;
    what is sent goes under a lease of Fiedler's, and nobody is told it."""
    async with ScriptedModelServer(key="the-key") as good, ScriptedModelServer(key="the-key") as bad:
        price: dict[str, Any] = {"input_usd_per_million": 1, "output_usd_per_million": 1, "key": "models/key"}
        price["model"] = "scripted"
        models = [{"name": "good", "url": good.url} | price, {"name": "bad", "url": bad.url} | price]
        permit = {"who": ["mad:fiedler"], "to": [good.address], "tools": ["mads.fiedler.complete"]}
        named = {"models/key": {"permits": [permit]}}
        egress = {"allow": [good.address, bad.address]}
        settings = {"models": models, "egress": egress, "secrets": {"named": named}, "mads": ["turing", "fiedler"]}
        async with house(tmp_path, **settings) as colony:
            await call(colony, "set_secret", name="models/key", value="the-key")
            for _ in range(2):
                answer = await said(colony, ADA, "mads.fiedler.complete", prompt="hello", model="good")
                assert answer["model"] == "good"
            assert await said(colony, ADA, "mads.fiedler.complete", prompt="hello", model="bad") == "secret_policy"
            assert await call(colony, "get_secret", name="models/key") == "secret_policy"
            ola = Principal("ola", "default", ("operator",), "person")
            leases = (await said(colony, ola, "mads.turing.list_leases"))["leases"]
            assert [one["holder"] for one in leases] == ["mad:fiedler"]
            wish = {"name": "models/key", "permits": [permit | {"tools": ["mads.fiedler.council"]}], "reason": "r"}
            await said(colony, ola, "mads.turing.set_secret_policy", **wish)
            assert await said(colony, ADA, "mads.fiedler.complete", prompt="hello", model="good") == "secret_policy"
        assert (len(good.requests), len(bad.requests)) == (2, 0)


class Echo(LocalServer):
    """Answers with what it was sent, plainly and in base64."""

    async def serve(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        sent = request.headers.get("x-key", "")
        encoded = base64.b64encode(sent.removeprefix("key=").encode()).decode()
        body = json.dumps({"sent": sent, "encoded": encoded}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


async def test_a_mad_sends_a_secret_that_it_never_holds(tmp_path: Path) -> None:
    """The header is written beyond the MAD, an answer that repeats the value is blacked out, and where the policy names
    a place, the MAD is not told the value, though it is a reader."""
    async with Echo() as server:
        named = {"sent": {"permits": [{"who": ["mad:courier"], "to": [server.address]}]}}
        courier = f"{Path(__file__).parent / 'courier_mad.py'}:Courier"
        settings = {"mads": ["turing", courier], "egress": {"allow": [server.address]}, "secrets": {"named": named}}
        async with house(tmp_path, **settings) as colony:
            await call(colony, "set_secret", name="sent", value="correct horse battery", readers=["agent:courier"])
            await call(colony, "set_secret", name="other", value="no", readers=["agent:ada"])
            url = f"http://{server.address}/"
            brought = await said(colony, ADA, "mads.courier.fetch", url=url, secret="sent")
            assert brought["status"] == 200
            assert json.loads(brought["body"]) == {"sent": "key=[secret]", "encoded": "[secret]"}
            assert server.requests[0].headers["x-key"] == "key=correct horse battery"
            assert await said(colony, ADA, "mads.courier.hold", secret="sent") == "secret_policy"
            assert await said(colony, ADA, "mads.courier.fetch", url=url, secret="other") == "secret_not_reader"
        assert len(server.requests) == 1
