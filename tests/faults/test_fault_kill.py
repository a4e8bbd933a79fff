"""The colony is killed while it works; what it acknowledged must still be there."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from bench.load_client import Connection, Job, request
from tests.conftest import RunningColony

ROUNDS = 20
CLIENTS = 32


async def post_until_killed(colony: RunningColony, token: str, conversation: str, seconds: float) -> list[str]:
    """32 clients post until the process dies; returns the texts whose post was acknowledged."""
    host, port = colony.url.split("/")[2].split(":")
    acknowledged: list[str] = []
    job = Job(host, int(port), "/mcp", [], CLIENTS, 0, token=token)

    async def client(number: int) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
        for turn in range(1_000_000):
            text = f"r{seconds:.6f} c{number} n{turn}"
            arguments = {"conversation": conversation, "content": text}
            sent = connection.send(
                request(job, "tools/call", {"name": "mads__rogers__post_message", "arguments": arguments})
            )
            try:
                status, body = await sent
            except OSError:
                return
            assert status == 200, body
            if not json.loads(body)["result"].get("isError"):
                acknowledged.append(text)

    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    await asyncio.sleep(seconds)
    colony.kill()
    await asyncio.gather(*clients)
    return acknowledged


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_twenty_kills(
    start_colony: Callable[..., AbstractContextManager[RunningColony]],
) -> None:
    """32 clients write, kill -9 at a random moment, 20 times: every acknowledged message is there, the chain holds."""
    chance = random.Random(20261120)
    token, conversation, expected = "", "", list[str]()
    for turn in range(ROUNDS):
        with start_colony() as colony:
            if turn == 0:
                token = colony.token("writer", "developer")
                made = colony.cenoby("call", "mads.rogers.create_conversation", "name=crash", token=token)
                conversation = json.loads(made.stdout)["id"]
            expected += asyncio.run(post_until_killed(colony, token, conversation, chance.uniform(0.05, 0.8)))
    assert len(expected) > ROUNDS * CLIENTS
    with start_colony() as colony:
        verified = json.loads(colony.cenoby("journal", "verify", "--json").stdout)
        found = set(all_texts(colony, token, conversation))
    assert verified["ok"], verified
    assert [text for text in expected if text not in found] == []


def all_texts(colony: RunningColony, token: str, conversation: str) -> list[str]:
    """Every message of the conversation, page by page."""
    texts: list[str] = []
    after = 0
    while True:
        arguments = {"conversation": conversation, "limit": 500, "after": after}
        page = json.loads(colony.cenoby("call", "mads.rogers.get_history", json.dumps(arguments), token=token).stdout)
        if not page["messages"]:
            return texts
        texts += [message["content"] for message in page["messages"]]
        after = page["messages"][-1]["seq"]
