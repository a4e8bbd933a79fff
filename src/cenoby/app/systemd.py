"""Telling systemd how it goes: ready, alive, stopping (sd_notify(3), sd_watchdog_enabled(3)). Without it, nothing."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from cenoby.telemetry.logs import get_logger

_log = get_logger("app.systemd")
_UNTIL_READY_SECONDS, _ONCE_READY_SECONDS = 0.2, 5.0


def notify(*assignments: str) -> bool:
    """Send assignments such as `READY=1` to the service manager that started this process; whether they were sent.

    Nothing happens where no manager asked for it by NOTIFY_SOCKET, the path of a datagram socket, or `@` and the name
    of an abstract one.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            # A manager that does not read must not stop the colony.
            manager.setblocking(False)
            manager.sendto("\n".join(assignments).encode(), address)
    except OSError as error:
        _log.warning("notify_failed", assignments=assignments, reason=str(error))
        return False
    return True


def watchdog_seconds() -> float | None:
    """Seconds without a sign of life after which the manager kills this process; None where it does not."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 or None


@asynccontextmanager
async def announced(problem: Callable[[], Awaitable[str]]) -> AsyncGenerator[None]:
    """While the block runs, tell the service manager how this process is, and at its end that it stops.

    `READY=1` is sent once `problem` says nothing, and what it says as `STATUS=`. The signs of life come from the event
    loop itself, so a loop that is blocked for longer than the manager's patience gets the process restarted.

    Args:
        problem: the code of what is wrong, or nothing when the process is ready, as /readyz has it.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        yield
        return
    tasks = [asyncio.create_task(_tell(problem), name="systemd-status")]
    patience = watchdog_seconds()
    if patience is not None:
        tasks.append(asyncio.create_task(_live(patience / 2), name="systemd-watchdog"))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        notify("STOPPING=1", "STATUS=stopping: no new calls, those under way end")


async def _tell(problem: Callable[[], Awaitable[str]]) -> None:
    was_ready, told = False, ""
    while True:
        now = await problem() or "ready"
        if now != told:
            told = now
            notify(*(["READY=1"] if now == "ready" and not was_ready else []), f"STATUS={now}")
            was_ready = was_ready or now == "ready"
        await asyncio.sleep(_ONCE_READY_SECONDS if was_ready else _UNTIL_READY_SECONDS)


async def _live(every: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(every)
