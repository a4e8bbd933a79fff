"""The life of a process of ours, gateway or mere node: stopped by a signal, and gone when everything is written."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

_LAST_SECONDS = 1.0


def stop_by_signal() -> asyncio.Event:
    """Set by SIGINT and SIGTERM from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    return stop


async def leave_nobody_behind() -> None:
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
