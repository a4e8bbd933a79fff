"""Finding and reading messages: pages, filtered views, search, listings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from rogers_world import STORES_AND_BUSES, World, contents, new_engine, open_world

from cenoby.mads.rogers.query import QueryInvalid


@pytest.fixture(params=STORES_AND_BUSES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    kind, bus = request.param
    async with open_world(new_engine(request, kind), bus) as world:
        yield world


async def test_history_pages_both_ways(world: World) -> None:
    """Walking back from the end and forth from the start both give every message once."""
    plan = await world.open("ann")
    posted = [m["seq"] for m in await world.say("ann", plan, *(f"line {n}" for n in range(25)))]
    back: list[int] = []
    page = await world.call("ann", "get_history", conversation=plan, limit=10)
    while True:
        back = [m["seq"] for m in page["messages"]] + back
        if not page["more_before"]:
            break
        page = await world.call("ann", "get_history", conversation=plan, limit=10, before=back[0])
        assert page["more_after"]
    forth: list[int] = []
    page = await world.call("ann", "get_history", conversation=plan, limit=10, after=0)
    while True:
        forth += [m["seq"] for m in page["messages"]]
        if not page["more_after"]:
            break
        page = await world.call("ann", "get_history", conversation=plan, limit=10, after=forth[-1])
        assert page["more_before"]
    assert back == forth == posted == list(range(1, 26))
    middle = await world.call("ann", "get_history", conversation=plan, after=3, before=7)
    assert [m["seq"] for m in middle["messages"]] == [4, 5, 6]


async def test_topics_and_mentions_are_filtered_views(world: World) -> None:
    """A topic, a mention, and both together select and page like the whole."""
    plan = await world.open("ann")
    await world.say("ann", plan, "#a one", "two @bob", "#a @bob three", "#A four", "five #b", "#a @Bob six")

    async def view(**arguments: Any) -> list[int]:
        page = await world.call("ann", "get_history", conversation=plan, **arguments)
        return [m["seq"] for m in page["messages"]]

    assert await view(topic="a") == await view(topic="#A") == [1, 3, 4, 6]
    assert await view(mention="@bob") == [2, 3, 6]
    assert await view(topic="a", mention="bob") == [3, 6]
    assert await view(topic="a", limit=2) == [4, 6]
    assert await view(topic="a", before=4) == [1, 3]
    assert await view(mention="bob", after=2, limit=1) == [3]
    assert await view(topic="none") == []
    topics = (await world.call("ann", "list_topics", conversation=plan))["topics"]
    assert [(t["topic"], t["messages"]) for t in topics] == [("a", 4), ("b", 1)]


async def test_topics_of_all_conversations(world: World) -> None:
    """Counts run over the messages and conversations that the caller may see."""
    for name in ("x", "y"):
        await world.say("ann", await world.open("ann", name), "#shared", f"#{name}only")
    topics = (await world.call("bob", "list_topics", limit=2))["topics"]
    assert [(t["topic"], t["messages"], t["conversations"]) for t in topics] == [("shared", 2, 2), ("xonly", 1, 1)]


async def test_list_mentions_pages_newest_first(world: World) -> None:
    """An agent finds where it was named or addressed, over all conversations."""
    for name in ("x", "y"):
        await world.say("ann", await world.open("ann", name), f"{name}1 @bob", f"{name}2", f"{name}3 @bob")
    await world.say("ann", await world.open("ann", "z"), "for you", recipient="bob")
    page = await world.call("bob", "list_mentions", limit=3)
    assert contents(page) == ["for you", "y3 @bob", "y1 @bob"]
    rest = await world.call("bob", "list_mentions", cursor=page["next_cursor"])
    assert (contents(rest), rest["next_cursor"]) == (["x3 @bob", "x1 @bob"], None)
    assert contents(await world.call("eve", "list_mentions", agent="@bob")) == [*contents(page), *contents(rest)]


async def test_acknowledgements_are_hidden_from_people(world: World) -> None:
    """A message tagged `ack` is shown to agents, and to people who ask."""
    plan = await world.open("ann", participants=["bob"])
    await world.say("ann", plan, "do it")
    await world.say("bob", plan, "received", tags=["ack"])
    assert contents(await world.call("ann", "get_history", conversation=plan)) == ["do it", "received"]
    assert contents(await world.call("pat!", "get_history", conversation=plan)) == ["do it"]
    asked = await world.call("pat!", "get_history", conversation=plan, acknowledgements=True)
    assert contents(asked) == ["do it", "received"]


async def test_list_conversations_filters_and_pages(world: World) -> None:
    """Newest first; by part of the name, tag and own part; the cursor goes on where the page ended."""
    for number in range(7):
        await world.open("ann" if number % 2 else "bob", f"Thread {number}", tags=["odd" if number % 2 else "even"])

    async def names(**arguments: Any) -> list[str]:
        page = await world.call("ann", "list_conversations", **arguments)
        return [c["name"].removeprefix("Thread ") for c in page["conversations"]]

    assert await names() == ["6", "5", "4", "3", "2", "1", "0"]
    assert await names(tag="#Odd") == await names(joined=True) == ["5", "3", "1"]
    assert await names(name="READ 3") == ["3"]
    page = await world.call("ann", "list_conversations", limit=4)
    rest = await world.call("ann", "list_conversations", limit=4, cursor=page["next_cursor"])
    assert [c["name"][-1] for c in rest["conversations"]] == ["2", "1", "0"]
    assert rest["next_cursor"] is None
    for tool, arguments in (("list_conversations", {}), ("list_mentions", {}), ("search", {"query": "x"})):
        with pytest.raises(QueryInvalid) as caught:
            await world.call("ann", tool, cursor="../etc", **arguments)
        assert caught.value.code == "cursor_invalid"


async def test_search(world: World) -> None:
    """All words, phrases, prefixes, accents folded; in one conversation or all; paged."""
    first, second = await world.open("ann", "x"), await world.open("ann", "y")
    await world.say("ann", first, "the quick brown fox", "a brown and quick hare", "Crème brûlée")
    await world.say("ann", second, "quick quick quick quick", "nothing")

    async def hits(query: str, **arguments: Any) -> list[str]:
        return contents(await world.call("bob", "search", query=query, **arguments))

    assert set(await hits("quick brown")) == {"the quick brown fox", "a brown and quick hare"}
    assert await hits('"quick brown"') == ["the quick brown fox"]
    assert await hits("qui*", conversation=second) == ["quick quick quick quick"]
    assert await hits("creme brulee") == ["Crème brûlée"]
    assert (await hits("quick"))[0] == "quick quick quick quick"
    page = await world.call("bob", "search", query="quick", limit=2)
    rest = await world.call("bob", "search", query="quick", limit=2, cursor=page["next_cursor"])
    assert len({*contents(page), *contents(rest)}) == 3
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "query", ['"', "AND OR NOT", "NEAR(", "content:x", "a^2 (b", "*", "x'; DROP TABLE y", "-q", "%_"]
)
async def test_search_query_is_never_a_syntax_error(world: World, query: str) -> None:
    """Whatever a caller types is words, or refused as empty."""
    await world.say("ann", await world.open("ann"), "hello")
    try:
        assert contents(await world.call("ann", "search", query=query)) == []
    except QueryInvalid as error:
        assert error.code == "query_empty"


async def test_long_messages_make_short_pages(world: World) -> None:
    """A page ends before it outgrows what a client takes, and says that there is more."""
    plan = await world.open("ann")
    await world.say("ann", plan, *("x" * 99_999 for _ in range(12)))
    last = await world.call("ann", "get_history", conversation=plan)
    assert [m["seq"] for m in last["messages"]] == list(range(3, 13))
    assert last["more_before"]
    first = await world.call("ann", "get_history", conversation=plan, after=0)
    assert [m["seq"] for m in first["messages"]] == list(range(1, 11))
    assert first["more_after"]
