"""Faults of processes, of the network and of the clock, in a colony of a gateway and nodes; and none: a split."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
from collections.abc import Generator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import psutil

from cenoby.cli.colony_client import ColonyClient
from faults.load import Load
from faults.outcome import Outcome
from faults.stage import TALLY, Room, chain_problem, colonies_of, endure, enter, knows, tally, written
from faults.stalling_proxy import StallingProxy
from tests.bus.nats_server import private_nats
from tests.bus.redis_server import private_redis
from tests.conftest import RunningColony

DOWN_SECONDS = 1.0
CUT_SECONDS = 6.0
SPLIT_RATE = 200.0
SPLIT_SLOWEST_SECONDS = 2.0


class Broker(Protocol):
    """A broker of the suite's own."""

    port: int

    @property
    def url(self) -> str: ...

    def start(self) -> None: ...

    def kill(self) -> None: ...


def broker(room: Room, kind: str) -> AbstractContextManager[Broker]:
    """A NATS or Redis server in the case's folder."""
    folder = room.folder / kind
    folder.mkdir()
    return private_nats(folder) if kind == "nats" else private_redis(folder)


async def broker_restart(room: Room, kind: str) -> Outcome:
    """The broker is killed, is gone for a second, and comes back empty."""
    async with AsyncExitStack() as stack:
        server = await enter(stack, broker(room, kind))
        colonies = colonies_of(room, server.url)
        colony = await enter(stack, colonies.gateway())
        await enter(stack, colonies.node(colony, "worker", TALLY))
        await knows(colony)

        async def fault() -> None:
            server.kill()
            await asyncio.sleep(DOWN_SECONDS)
            await asyncio.to_thread(server.start)

        return written(room, *await endure(colony, room, fault, after=3))


async def node_kill(room: Room, kind: str) -> Outcome:
    """One of two nodes with the same MAD is killed."""
    async with AsyncExitStack() as stack:
        server = await enter(stack, broker(room, kind))
        colonies = colonies_of(room, server.url)
        colony = await enter(stack, colonies.gateway())
        blue = await enter(stack, colonies.node(colony, "blue", TALLY))
        await enter(stack, colonies.node(colony, "green", TALLY))
        await knows(colony, hosts=2)

        async def fault() -> None:
            blue.kill()

        return written(room, *await endure(colony, room, fault, after=3))


async def child_kill(room: Room) -> Outcome:
    """The process that the gateway split a MAD off to is killed."""
    async with AsyncExitStack() as stack:
        server = await enter(stack, broker(room, "nats"))
        colonies = colonies_of(room, server.url)
        colony = await enter(stack, colonies.gateway(f"grace, '{TALLY}'"))
        await asyncio.to_thread(colony.cenoby, "split", "tally")
        await knows(colony)

        async def fault() -> None:
            child_of(colony).kill()

        return written(room, *await endure(colony, room, fault, after=3))


def child_of(colony: RunningColony) -> psutil.Process:
    """The one node process that a colony started."""
    children = psutil.Process(colony.process.pid).children()
    (child,) = [one for one in children if "node" in one.cmdline()]
    return child


async def network_cut(room: Room, kind: str) -> Outcome:
    """Nothing passes between the broker and one of two nodes, and no connection closes; then all of it passes."""
    async with AsyncExitStack() as stack:
        server = await enter(stack, broker(room, kind))
        proxy = await stack.enter_async_context(StallingProxy(server.port))
        colonies = colonies_of(room, server.url)
        colony = await enter(stack, colonies.gateway())
        far = copy.copy(colonies)
        far.settings = colonies.settings.replace(f":{server.port}", f":{proxy.port}")
        await enter(stack, far.node(colony, "far", TALLY))
        await enter(stack, colonies.node(colony, "near", TALLY))
        await knows(colony, hosts=2)

        async def fault() -> None:
            proxy.cut()
            await asyncio.sleep(CUT_SECONDS)
            proxy.heal()

        return written(room, *await endure(colony, room, fault, after=3))


async def clock_jump(room: Room) -> Outcome:
    """The wall clock of all processes steps by an hour: forward, back, back, forward."""
    async with AsyncExitStack() as stack:
        server = await enter(stack, broker(room, "nats"))
        colonies = colonies_of(room, server.url)
        await enter(stack, stepping_clocks())
        colony = await enter(stack, colonies.gateway())
        node = await enter(stack, colonies.node(colony, "worker", TALLY))
        await knows(colony)

        async def fault() -> None:
            for step in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2, signal.SIGUSR1):
                for pid in (colony.process.pid, node.process.pid):
                    os.kill(pid, step)
                await asyncio.sleep(2)

        heard, problem = await endure(colony, room, fault, after=2)
        if not await asyncio.to_thread(_stepped, colony):
            problem = f"{problem}; no record is an hour ahead and an hour behind, so there was no fault".strip("; ")
        return written(room, heard, problem)


def _stepped(colony: RunningColony) -> bool:
    client, now, half = ColonyClient(colony.url, colony.operator_token), datetime.now(UTC), timedelta(minutes=30)
    spans = {"since": (now + half).isoformat()}, {"until": (now - half).isoformat()}
    return all(client.call("mads.grace.list_records", span)["records"] for span in spans)


@contextmanager
def stepping_clocks() -> Generator[None]:
    """Whatever Python is started meanwhile has a wall clock that steps at a signal."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent / "stepping")
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]


async def split_and_merge(room: Room) -> Outcome:
    """A MAD is split off and merged back under 200 calls a second: each is answered within two seconds."""
    async with AsyncExitStack() as stack:
        server = await enter(stack, broker(room, "nats"))
        colonies = colonies_of(room, server.url)
        colony = await enter(stack, colonies.gateway(f"grace, '{TALLY}'"))
        load = Load(colony.url, colony.operator_token, SPLIT_RATE, tally)
        load.start()
        try:
            for command in ("split", "merge"):
                await asyncio.sleep(room.moment())
                await asyncio.to_thread(colony.cenoby, command, "tally")
            await asyncio.sleep(room.moment())
        finally:
            heard = await load.stop()
        problems = [await chain_problem(colony)]
        if len(heard.acknowledged) != heard.offered:
            problems.append("not every call was answered with its result")
        if max(heard.waits) > SPLIT_SLOWEST_SECONDS:
            problems.append(f"a call took longer than {SPLIT_SLOWEST_SECONDS:g} s")
        return written(room, heard, "; ".join(filter(None, problems)))
