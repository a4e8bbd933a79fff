"""Published tools: versioned names that lead through the pipeline to the tool behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.apis.contract import broken_promises
from cenoby.colony.apis.document import document_text, read_document
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery

OLA = Principal("ola", "default", ("operator",), "person")
EVE = Principal("eve", "default", ("observer",), "agent")
DAY = 86_400
V1 = {
    "name": "talk",
    "version": 1,
    "until": "2026-01-02",  # The manual clock begins at midnight of 2026-01-01.
    "tools": {
        "post": {
            "tool": "mads.rogers.post_message",
            "rename": {"thread": "conversation", "text": "content"},
            "fill": {"tags": ["old"]},
        }
    },
    "events": ["message_posted"],
}
V2 = {
    "name": "talk",
    "version": 2,
    "tools": {"post": "mads.rogers.post_message", "open": "mads.rogers.create_conversation"},
}


@asynccontextmanager
async def provider(folder: Path, clock: ManualClock, *publish: Any, **more: Any) -> AsyncIterator[Colony]:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["grace", "rogers"],
        "telemetry": {"log_level": "error"},
        "publish": publish or (V1, V2),
    }
    async with open_colony(load_settings(environment={}, overrides=overrides | more), clock) as colony:
        yield colony


async def call(colony: Colony, name: str, who: Principal = OLA, /, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(name, arguments, who))


async def test_two_major_versions_are_served_side_by_side(tmp_path: Path) -> None:
    """The old version takes its old arguments for the changed tool; the journal names both tool and published name."""
    async with provider(tmp_path, ManualClock()) as colony:
        made = (await call(colony, "mads.talk_v2.open", name="x")).unwrap()["id"]
        old = (await call(colony, "mads.talk_v1.post", thread=made, text="hi")).unwrap()
        new = (await call(colony, "mads.talk_v2.post", conversation=made, content="ho")).unwrap()
        journal = colony.parts.ports.journal
        records = (await journal.page(JournalQuery(kind="intent", newest_first=False))).records
        whole = [await journal.get(record.id) for record in records]
    assert (old["content"], old["tags"]) == ("hi", ["old"])
    assert (new["content"], new["tags"]) == ("ho", [])
    shown = [(one.tool, one.payload["published"]) for one in whole if one is not None]
    assert shown == [
        ("mads.rogers.create_conversation", "mads.talk_v2.open"),
        ("mads.rogers.post_message", "mads.talk_v1.post"),
        ("mads.rogers.post_message", "mads.talk_v2.post"),
    ]


@pytest.mark.parametrize(
    "arguments", [{"thread": "c", "text": "t", "tags": []}, {"conversation": "c", "content": "t"}, {"thread": "c"}]
)
async def test_an_old_version_takes_its_own_arguments_alone(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """Neither what is filled in, nor the new names, nor too few are taken."""
    async with provider(tmp_path, ManualClock()) as colony:
        outcome = await call(colony, "mads.talk_v1.post", **arguments)
    assert outcome.error is not None and outcome.error.code == "arguments_invalid"


async def test_policy_limits_and_flags_are_those_of_the_tool_behind(tmp_path: Path) -> None:
    """A published name is no way round a role, a namespace's limit or a flag."""
    limits = {"namespaces": {"rogers": {"calls_per_day": 2}}}
    async with provider(tmp_path, ManualClock(), limits=limits) as colony:
        refused = await call(colony, "mads.talk_v2.open", EVE, name="x")
        assert refused.error is not None and refused.error.code == "action_not_allowed"
        await call(colony, "mads.talk_v2.open", name="x")
        await call(colony, "mads.rogers.create_conversation", name="x")
        over = await call(colony, "mads.talk_v2.open", name="x")
        assert over.error is not None and over.error.code == "quota_exceeded"
        flag = {"flag": "mads.rogers.post_message", "percentage": 0, "reason": "r"}
        await call(colony, "mads.grace.set_flag", **flag)
    async with provider(tmp_path, ManualClock()) as colony:
        off = await call(colony, "mads.talk_v2.post", conversation="c", content="t")
        assert off.error is not None and off.error.code == "tool_switched_off"


async def test_after_its_last_day_a_version_is_refused_and_the_newer_named(tmp_path: Path) -> None:
    """It is served to the end of that day (UTC); then calls and schema name the newer one, and it is not listed."""
    clock = ManualClock()
    async with provider(tmp_path, clock) as colony:
        publications = colony.parts.ports.publications
        made = (await call(colony, "mads.talk_v2.open", name="x")).unwrap()["id"]
        clock.advance(2 * DAY - 1)
        assert (await call(colony, "mads.talk_v1.post", thread=made, text="hi")).error is None
        clock.advance(1)
        ended = await call(colony, "mads.talk_v1.post", thread=made, text="hi")
        schema = await call(colony, "mads.grace.get_api", api="talk", version=1)
        listed = [tool.name for tool in publications.tools]
        apis = (await call(colony, "mads.grace.list_apis")).unwrap()["apis"]
    for outcome in (ended, schema):
        assert outcome.error is not None and outcome.error.code == "api_ended"
        assert outcome.error.message == "talk v1 was served until 2026-01-02; use v2, mads.talk_v2.*."
    assert listed == ["mads.talk_v2.post", "mads.talk_v2.open"]
    assert [(one["version"], one["ended"]) for one in apis] == [(1, True), (2, False)]


async def test_the_document_is_the_same_each_time_and_says_what_callers_need(tmp_path: Path) -> None:
    """Old names, without what is filled in; events with a schema that stands alone; equal text from two starts."""
    texts: list[str] = []
    for _ in range(2):
        async with provider(tmp_path, ManualClock()) as colony:
            shown = (await call(colony, "mads.grace.get_api", api="talk", version=1)).unwrap()
            document = colony.parts.ports.publications.document("talk", 1)
            texts.append(document_text(document))
            assert read_document(texts[-1]) == document
    assert texts[0] == texts[1]
    post = shown["tools"]["post"]
    assert {"thread", "text"} <= post["input"]["properties"].keys()
    assert not {"conversation", "content", "tags"} & post["input"]["properties"].keys()
    assert post["input"]["required"] == ["thread", "text"]
    assert (post["effect"], post["priced"], shown["until"]) == ("writes", False, "2026-01-02")
    (tag,) = shown["events"]
    assert tag.startswith("message_posted.v") and shown["events"][tag]["$ref"] == f"#/$defs/{tag}"


async def test_a_version_that_is_served_by_an_adapter_keeps_its_promise(tmp_path: Path) -> None:
    """The document of v1, as it was when its tool still had the old names, holds for the adapted one; v2's does not."""
    async with provider(tmp_path, ManualClock()) as colony:
        publications = colony.parts.ports.publications
        now, other = publications.document("talk", 1), publications.document("talk", 2)
    assert broken_promises(read_document(document_text(now)), now) == []
    relabelled = read_document(document_text(other).replace('"version": 2', '"version": 1'))
    problems = broken_promises(now, relabelled)
    assert "tool post: input as promised: thread: may be there, and is not accepted" in problems
    assert any(problem.startswith("event message_posted.v") and problem.endswith("is gone") for problem in problems)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tools": {"post": "mads.rogers.no_such"}}, "no tool is named 'mads.rogers.no_such'"),
        ({"tools": {"post": {"tool": "mads.rogers.join", "fill": {"x": 1}}}}, "has no argument 'x'"),
        ({"tools": {"post": {"tool": "mads.rogers.post_message", "rename": {"tags": "content"}}}}, "of its own"),
        ({"events": ["no_such"]}, "there is no event 'no_such'"),
        ({"version": 2}, "talk v2 is there twice"),
        ({"tools": {"a" * 30: "mads.rogers.join"}, "name": "b" * 20}, "is longer than 46 characters"),
        ({"tools": {"Post": "mads.rogers.join"}}, "String should match pattern"),
    ],
)
async def test_what_cannot_be_published_is_said_at_the_start(tmp_path: Path, change: Any, says: str) -> None:
    """Each mistake in `publish` keeps the colony from starting, and is named."""
    with pytest.raises(CenobyError) as raised:
        async with provider(tmp_path, ManualClock(), V1 | change, V2):
            pass
    assert raised.value.code == "settings_invalid" and says in raised.value.message
