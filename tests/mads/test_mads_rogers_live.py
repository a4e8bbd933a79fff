"""What Rogers announces, and watching it live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from rogers_world import STORES_AND_BUSES, Client, World, contents, new_engine, next_one, open_world


@pytest.fixture(params=STORES_AND_BUSES)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    kind, bus = request.param
    async with open_world(new_engine(request, kind), bus) as world:
        yield world


async def test_posting_is_announced(world: World) -> None:
    """The conversation's subject gets the message, each mentioned name a notice, and the resource an update."""
    plan = await world.open("ann")
    heard = {kind: await world.listen(f"main.default.{kind}") for kind in ("conversation.*", "mention.*", "resource")}
    (message,) = await world.say("ann", plan, "@marco fetch it, @marco")
    assert await next_one(heard["conversation.*"]) == {"event": "message_posted.v2", "message": message}
    notice = await next_one(heard["mention.*"])
    assert (notice["agent"], notice["conversation"], notice["seq"], notice["sender"]) == ("marco", plan, 1, "ann")
    updated = {"event": "resource_updated.v1", "uri": f"cenoby://conversations/{plan}"}
    assert await next_one(heard["resource"]) == updated
    assert heard["mention.*"].empty()


async def test_private_mentions_reach_only_the_list(world: World) -> None:
    """A mention in a private conversation tells nothing to who may not read it."""
    secret = await world.open("ann", participants=["bob"], private=True)
    heard = await world.listen("main.default.mention.*")
    await world.say("ann", secret, "@eve and @bob")
    assert (await next_one(heard))["agent"] == "bob"
    await world.say("ann", secret, "@bob again")
    assert (await next_one(heard))["seq"] == 2


async def test_joining_and_leaving_are_announced(world: World) -> None:
    """Changes of the list go to the conversation's subject; what changes nothing is silent."""
    plan = await world.open("ann")
    heard = await world.listen(f"main.default.conversation.{plan}")
    for tool in ("join", "join", "leave"):
        await world.call("bob", tool, conversation=plan)
    await world.call("ann", "invite", conversation=plan, agents=["eve"])
    states = [await next_one(heard) for _ in range(3)]
    assert [(one["agent"], one["state"]) for one in states] == [("bob", "active"), ("bob", "left"), ("eve", "invited")]
    assert heard.empty()


async def test_watch_streams_what_is_posted(world: World) -> None:
    """Each message reaches every watcher as it is posted, once and in order, and the result holds them all."""
    plan = await world.open("ann")
    await world.say("ann", plan, "before")
    clients = [Client() for _ in range(3)]
    watches = [
        asyncio.create_task(world.call("bob", "watch_conversation", client, conversation=plan, seconds=60, limit=40))
        for client in clients
    ]
    while len(world.rogers._feed._followers.get(f"main.default.conversation.{plan}", ())) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    await asyncio.gather(*(world.say("ann", plan, *(f"{lane}.{n}" for n in range(10))) for lane in range(4)))
    async with asyncio.timeout(10):
        results = await asyncio.gather(*watches)
    for client, result in zip(clients, results, strict=True):
        assert [m["seq"] for m in result["messages"]] == list(range(2, 42))
        assert client.told == list(enumerate(result["messages"], 1))
        assert result["after"] == 41


async def test_watch_catches_up_from_a_number(world: World) -> None:
    """`after` starts with what is in the ledger, beyond one page, and goes on with what is new."""
    plan = await world.open("ann")
    await world.say("ann", plan, *(f"m{n}" for n in range(130)))
    client = Client()
    watch = asyncio.create_task(
        world.call("bob", "watch_conversation", client, conversation=plan, seconds=60, after=5, limit=126)
    )
    await client.until(125)
    await world.say("ann", plan, "new")
    async with asyncio.timeout(30):
        result = await watch
    assert [m["seq"] for m in result["messages"]] == list(range(6, 132))


async def test_watch_ends_in_time_with_what_it_saw(world: World) -> None:
    """A watch in which nothing happens ends after its seconds; people are spared acknowledgements."""
    plan = await world.open("ann")
    await world.say("ann", plan, "one", "two")
    await world.say("ann", plan, "seen", tags=["ack"])
    result = await world.call("pat!", "watch_conversation", conversation=plan, seconds=0.05, after=1)
    assert (contents(result), result["after"]) == (["two"], 3)
    assert not world.rogers._feed._followers


async def test_watch_fills_gaps_from_the_ledger(world: World) -> None:
    """A message whose announcement was lost comes with the next one, in order."""
    plan = await world.open("ann")
    client = Client()
    watch = asyncio.create_task(
        world.call("bob", "watch_conversation", client, conversation=plan, seconds=60, after=0, limit=3)
    )
    await world.say("ann", plan, "one")
    await client.until(1)
    subscription = world.rogers._feed._subscription
    assert subscription is not None
    await subscription.close()
    await world.say("ann", plan, "lost")
    await world.rogers._feed.start()
    await world.say("ann", plan, "three")
    async with asyncio.timeout(30):
        assert contents(await watch) == ["one", "lost", "three"]


async def test_a_cancelled_post_is_still_announced(world: World) -> None:
    """A caller that gives up while its message is being written leaves no message that watchers never hear of."""
    plan = await world.open("ann")
    heard = await world.listen(f"main.default.conversation.{plan}")
    caller = asyncio.create_task(world.say("ann", plan, "going"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (await next_one(heard))["message"]["content"] == "going"
