"""Rogers through its tools: the real database, the real bus (by reference and through the codec), real calls."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from cenoby.access.principals import Principal
from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import MessageBus
from cenoby.colony.invocation import Call, Invocation
from cenoby.colony.tool import CallInvalid, Tool, tools_of
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.envelope import Envelope
from cenoby.mads.rogers.ledger import ConversationLedger, ConversationRefused, ConversationUnknown
from cenoby.mads.rogers.mad import Rogers
from cenoby.mads.rogers.query import QueryInvalid
from cenoby.store.database import Database


class Client:
    """A client that keeps the progress it is told, and can be waited on."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        self.news = asyncio.Condition()

    async def progress(self, done: float, total: float | None, message: str | None) -> None:
        assert total is None and message is not None
        async with self.news:
            self.told.append((done, json.loads(message)))
            self.news.notify_all()

    async def log(self, level: str, text: str) -> None: ...

    async def elicit(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("Rogers asks nobody")

    async def sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        raise AssertionError("Rogers has no use for a model")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5), self.news:
            await self.news.wait_for(lambda: len(self.told) >= count)


class World:
    """Rogers, hosted without the pipeline, and whoever calls it."""

    def __init__(self, database: Database, bus: MessageBus) -> None:
        clock = SystemClock()
        self.database = database
        self.bus = bus
        self.rogers = Rogers(ledger=ConversationLedger(database, clock), bus=bus, colony="main", clock=clock)
        self.tools: dict[str, Tool] = {tool.name.rsplit(".", 1)[1]: tool for tool in tools_of(self.rogers, "rogers")}

    async def call(
        self, who: str, name: str, client: Client | None = None, /, *, roles: tuple[str, ...] = (), **arguments: Any
    ) -> Any:
        """Call a tool as `who` (`name@tenant`, `name!` for a person); the result in JSON form, checked by schema."""
        agent, _, tenant = who.partition("@")
        kind = "person" if agent.endswith("!") else "agent"
        principal = Principal(agent.rstrip("!"), tenant or "default", roles, kind)
        invocation = Invocation(f"mads.rogers.{name}", arguments, principal, client=client, correlation=f"c-{agent}")
        invocation.principal = principal
        tool = self.tools[name]
        parsed = tool.parse(msgspec.json.encode(arguments))
        result = await tool.run(Call(invocation, _no_record, str, 0), **parsed)
        plain = msgspec.to_builtins(result)
        assert tool.output_schema is not None
        jsonschema.validate(plain, tool.output_schema)
        return plain

    async def open(self, who: str, name: str = "plan", **arguments: Any) -> str:
        """Id of a new conversation."""
        return (await self.call(who, "create_conversation", name=name, **arguments))["id"]

    async def say(self, who: str, conversation: str, *contents: str, **arguments: Any) -> list[dict[str, Any]]:
        """Post one message after the other."""
        return [
            await self.call(who, "post_message", conversation=conversation, content=content, **arguments)
            for content in contents
        ]

    async def listen(self, pattern: str) -> asyncio.Queue[Envelope]:
        """Everything the bus carries to `pattern`."""
        heard = asyncio.Queue[Envelope]()

        async def hear(envelope: Envelope) -> None:
            heard.put_nowait(envelope)

        await self.bus.subscribe(pattern, hear)
        return heard


async def _no_record(entry: object) -> Any:
    raise AssertionError("Rogers journals nothing of its own")


@pytest.fixture(params=["memory://", "memory://?codec=msgpack"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    database = await Database.open(tmp_path / "colony.db", clock=SystemClock())
    bus = await connect_bus(request.param)
    world = World(database, bus)
    await world.rogers.start()
    yield world
    await world.rogers.stop()
    await bus.close()
    await database.close()


async def next_one(heard: asyncio.Queue[Envelope]) -> dict[str, Any]:
    async with asyncio.timeout(5):
        return msgspec.to_builtins((await heard.get()).payload)


def contents(page: dict[str, Any]) -> list[str]:
    return [message["content"] for message in page["messages"]]


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
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        await world.database.write(lambda connection: connection.execute(statement).rowcount)
    assert contents(await world.call("ann", "get_history", conversation=plan)) == ["for ever"]


async def test_posting_is_announced(world: World) -> None:
    """The conversation's subject gets the message, each mentioned name a notice, and the resource an update."""
    plan = await world.open("ann")
    heard = {kind: await world.listen(f"main.default.{kind}") for kind in ("conversation.*", "mention.*", "resource")}
    (message,) = await world.say("ann", plan, "@marco fetch it, @marco")
    assert await next_one(heard["conversation.*"]) == message
    notice = await next_one(heard["mention.*"])
    assert (notice["agent"], notice["conversation"], notice["seq"], notice["sender"]) == ("marco", plan, 1, "ann")
    assert await next_one(heard["resource"]) == {"uri": f"cenoby://conversations/{plan}"}
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
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(5):
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
    assert (await next_one(heard))["content"] == "going"


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


async def test_acknowledged_means_on_disk(world: World, tmp_path: Path) -> None:
    """Another connection sees a message as soon as posting returned."""
    plan = await world.open("ann")
    await world.say("ann", plan, "kept")
    with sqlite3.connect(tmp_path / "colony.db") as other:
        assert other.execute("SELECT content FROM conversation_messages").fetchall() == [("kept",)]
    other.close()
