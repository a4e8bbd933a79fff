"""`cenoby up`: the life of a colony's process, from the lock on its data to the last drained call."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

import uvloop

from cenoby.app.composition import open_colony
from cenoby.app.data_dir import owned, remove_address, write_address
from cenoby.app.faces import serve_gateway
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import Settings

_LAST_SECONDS = 1.0


def serve_colony(settings: Settings, print_ready: Callable[[str], None]) -> int:
    """Run a colony until SIGINT or SIGTERM; returns the exit code.

    Args:
        settings: what it is told.
        print_ready: told the one ready line.

    Raises:
        CenobyError: it cannot start; the message says what to do.
    """
    with owned(settings.data):
        uvloop.run(_until_stopped(settings, print_ready))
    return 0


async def _until_stopped(settings: Settings, print_ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with open_colony(settings, SystemClock()) as colony, serve_gateway(colony.parts) as url:
        write_address(settings.data, url)
        settle_garbage_collector()
        try:
            print_ready(f"ready {url} token {settings.data / 'admin.token'}")
            await stop.wait()
        finally:
            remove_address(settings.data)
    await _leave_nobody_behind()


async def _leave_nobody_behind() -> None:
    """End tasks that outlived the colony; one that will not end does not keep the process."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel("the colony stopped")
    if left and (await asyncio.wait(left, timeout=_LAST_SECONDS))[1]:
        # Everything is written and closed, and the loop would wait for them without end.
        sys.stdout.flush()
        os._exit(0)


def settle_garbage_collector() -> None:
    """Keep collection pauses away from calls; once, when everything is built."""
    # A full collection over everything that was imported stops the loop for 40 to 95 ms and finds nothing: what
    # start-up made stays for good. Later ones are made rare, because calls free their objects by reference count.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
