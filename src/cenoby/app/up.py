"""`cenoby up`: the life of a colony's process, from the lock on its data to the last drained call."""

from __future__ import annotations

from collections.abc import Callable

import uvloop

from cenoby.app.composition import open_colony
from cenoby.app.data_dir import owned, remove_address, write_address
from cenoby.app.faces import serve_gateway
from cenoby.app.process import leave_nobody_behind, settle_garbage_collector, stop_by_signal
from cenoby.app.readiness import Readiness
from cenoby.app.systemd import announced
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import Settings


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
    stop = stop_by_signal()
    async with open_colony(settings, SystemClock()) as colony, serve_gateway(colony.parts) as url:
        write_address(settings.data, url)
        settle_garbage_collector()
        try:
            async with announced(Readiness(colony.parts.database).problem):
                print_ready(f"ready {url} token {settings.data / 'admin.token'}")
                await stop.wait()
        finally:
            remove_address(settings.data)
    await leave_nobody_behind()
