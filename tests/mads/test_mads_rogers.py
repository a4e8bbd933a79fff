"""Rogers through its tools: who may do what, and that nothing posted is lost or changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rogers_world import STORES_AND_BUSES, World, contents, new_engine, open_world

from cenoby.colony.errors import CallInvalid
from cenoby.mads.rogers.ledger import ConversationRefused, ConversationUnknown
from cenoby.store.database import StoreRefused


@pytest.fixture(params=STORES_AND_BUSES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    kind, bus = request.param
    async with open_world(new_engine(request, kind), bus) as world:
        yield world


async def test_create_post_and_read(world: World) -> None:
    """A conversation opens with its facts; its messages come back in order with numbers, ids and correlation."""
    made = await world.call(
        "ann", "create_conversation", name="Plan", participants=["bob"], tags=["#Work"], metadata={"issue": "7"}
    )
    assert (made["creator"], made["participants"], made["joined"]) == ("ann", 2, True)
    assert (made["tags"], made["metadata"], made["messages"], made["last_message"]) == (["work"], {"issue": "7"}, 0, "")
    first, second = await world.say("ann", made["id"], "hello @bob", "again")
    (third,) = await world.say("bob", made["id"], "I am here", recipient="ann", tags=["Status"])
    assert [message["seq"] for message in (first, second, third)] == [1, 2, 3]
    assert first["id"] < second["id"] < third["id"]
    assert first["correlation"] == "c-ann"
    assert (first["mentions"], third["recipient"], third["mentions"], third["tags"]) == (
        ["bob"],
        "ann",
        ["ann"],
        ["status"],
    )
    page = await world.call("bob", "get_history", conversation=made["id"])
    assert page["messages"] == [first, second, third]
    assert (page["name"], page["more_before"], page["more_after"]) == ("Plan", False, False)
    found = await world.call("bob", "get_conversation", conversation=made["id"])
    assert found["conversation"]["messages"] == 3
    assert [(one["agent"], one["state"]) for one in found["participants"]] == [("ann", "active"), ("bob", "active")]


async def test_only_participants_post(world: World) -> None:
    """Reading along needs no joining; posting does, after leaving too, and joining again is allowed."""
    plan = await world.open("ann")
    assert contents(await world.call("eve", "get_history", conversation=plan)) == []
    with pytest.raises(ConversationRefused) as caught:
        await world.say("eve", plan, "let me in")
    assert caught.value.code == "not_participant"
    assert (await world.call("eve", "join", conversation=plan))["changed"]
    assert not (await world.call("eve", "join", conversation=plan))["changed"]
    await world.say("eve", plan, "thanks")
    assert (await world.call("eve", "leave", conversation=plan))["changed"]
    with pytest.raises(ConversationRefused):
        await world.say("eve", plan, "still me")
    assert (await world.call("eve", "join", conversation=plan))["changed"]
    assert [m["seq"] for m in await world.say("eve", plan, "back")] == [2]


async def test_leaving_where_one_never_was_changes_nothing(world: World) -> None:
    """`leave` puts nobody on the list, so it cannot open a private conversation later."""
    plan = await world.open("ann")
    assert not (await world.call("eve", "leave", conversation=plan))["changed"]
    found = await world.call("ann", "get_conversation", conversation=plan)
    assert [one["agent"] for one in found["participants"]] == ["ann"]


async def test_private_conversation_exists_for_its_list_only(world: World) -> None:
    """Every reading and writing tool answers others as if there were none; invitation, and operators, change that."""
    secret = await world.open("ann", "quiet", participants=["bob"], private=True)
    await world.say("ann", secret, "the #plan is @eve")
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("get_history", {}), ("get_conversation", {}), ("join", {}), ("leave", {}), ("post_message", {"content": "x"}),
        ("watch_conversation", {"seconds": 1}), ("invite", {"agents": ["eve"]}), ("list_topics", {}),
        ("search", {"query": "plan"}),
    ]  # fmt: skip
    for name, arguments in attempts:
        with pytest.raises(ConversationUnknown):
            await world.call("eve", name, conversation=secret, **arguments)
    assert (await world.call("eve", "list_conversations"))["conversations"] == []
    assert (await world.call("eve", "search", query="plan"))["messages"] == []
    assert (await world.call("eve", "list_mentions"))["messages"] == []
    assert (await world.call("eve", "list_topics"))["topics"] == []
    assert contents(await world.call("bob", "get_history", conversation=secret)) == ["the #plan is @eve"]
    assert contents(await world.call("root!", "get_history", conversation=secret, roles=("operator",)))
    assert (await world.call("bob", "invite", conversation=secret, agents=["eve", "ann"]))["invited"] == ["eve"]
    assert (await world.call("eve", "join", conversation=secret))["changed"]
    assert len((await world.call("eve", "list_mentions"))["messages"]) == 1
    await world.call("eve", "leave", conversation=secret)
    assert (await world.call("eve", "join", conversation=secret))["changed"]


async def test_only_participants_invite(world: World) -> None:
    """Who does not take part cannot bring others in."""
    plan = await world.open("ann")
    with pytest.raises(ConversationRefused):
        await world.call("eve", "invite", conversation=plan, agents=["eve"])


async def test_nothing_crosses_tenants(world: World) -> None:
    """The same id names nothing in another tenant, not even for its operator."""
    plan = await world.open("ann@blue")
    await world.say("ann@blue", plan, "hello @ann #topic")
    for roles in ((), ("operator",)):
        with pytest.raises(ConversationUnknown):
            await world.call("ann@green", "get_history", conversation=plan, roles=roles)
        assert (await world.call("ann@green", "list_conversations", roles=roles))["conversations"] == []
        assert (await world.call("ann@green", "search", query="hello", roles=roles))["messages"] == []
        assert (await world.call("ann@green", "list_mentions", roles=roles))["messages"] == []
        assert (await world.call("ann@green", "list_topics", roles=roles))["topics"] == []


async def test_unknown_conversation(world: World) -> None:
    """An id that never was says where to look."""
    with pytest.raises(ConversationUnknown, match="list_conversations"):
        await world.call("ann", "get_history", conversation="nowhere")


async def test_numbers_have_no_gaps_under_concurrency(world: World) -> None:
    """Sixty concurrent posters and refused ones in between leave the numbers 1 to n, with ids in the same order."""
    plan = await world.open("ann")

    async def one(number: int) -> None:
        if number % 3 == 0:
            with pytest.raises(ConversationRefused):
                await world.say("eve", plan, "no")
        else:
            await world.say("ann", plan, f"m{number}")

    await asyncio.gather(*(one(number) for number in range(90)))
    messages = (await world.call("ann", "get_history", conversation=plan))["messages"]
    assert [m["seq"] for m in messages] == list(range(1, 61))
    assert [m["id"] for m in messages] == sorted(m["id"] for m in messages)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM conversation_messages", "UPDATE conversation_messages SET content = ''"]
)
async def test_messages_cannot_be_deleted_or_changed(world: World, statement: str) -> None:
    """Not even by SQL on the writing connection."""
    plan = await world.open("ann")
    await world.say("ann", plan, "for ever")
    with pytest.raises(StoreRefused, match="never"):
        await world.database.write(lambda connection: connection.execute(statement).rowcount)
    assert contents(await world.call("ann", "get_history", conversation=plan)) == ["for ever"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("create_conversation", {"name": ""}),
        ("create_conversation", {"name": "x", "participants": ["Not A Name"]}),
        ("create_conversation", {"name": "x", "metadata": {"k": 1}}),
        ("post_message", {"conversation": "c", "content": ""}),
        ("post_message", {"conversation": "c", "content": "x" * 100_001}),
        ("post_message", {"conversation": "c", "content": "x", "sender": "somebody-else"}),
        ("get_history", {"conversation": "c", "limit": 501}),
        ("get_history", {"conversation": "c", "after": -1}),
        ("watch_conversation", {"conversation": "c", "seconds": 3601}),
    ],
)
async def test_bad_arguments(world: World, tool: str, arguments: dict[str, Any]) -> None:
    """What the schema forbids is refused before Rogers sees it; nobody posts under another name."""
    with pytest.raises(CallInvalid):
        await world.call("ann", tool, **arguments)


async def test_acknowledged_means_on_disk(world: World) -> None:
    """Another connection sees a message as soon as posting returned."""
    plan = await world.open("ann")
    await world.say("ann", plan, "kept")

    def look() -> list[Any]:
        with world.database.engine.snapshot() as other:
            return other.execute("SELECT content FROM conversation_messages").fetchall()

    assert await asyncio.to_thread(look) == [("kept",)]
