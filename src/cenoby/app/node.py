"""`cenoby node`: the life of a process that hosts some MADs of a colony and has no gateway."""

from __future__ import annotations

from collections.abc import Callable

import uvloop

from cenoby.app.composition import open_colony
from cenoby.app.data_dir import owned
from cenoby.app.networking import crosses_processes, one_process
from cenoby.app.process import leave_nobody_behind, settle_garbage_collector, stop_by_signal
from cenoby.app.readiness import Readiness
from cenoby.app.systemd import announced
from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings import Settings


def serve_node(settings: Settings, print_ready: Callable[[str], None]) -> int:
    """Host MADs until SIGINT, SIGTERM, or an order to drain; returns the exit code.

    Args:
        settings: of the colony, with this node's name and MADs.
        print_ready: told the one ready line.

    Raises:
        CallInvalid: `one_process`: bus or store cannot cross processes.
        CenobyError: it cannot start; the message says what to do.
    """
    if not crosses_processes(settings):
        raise one_process(settings)
    with owned(settings.data):
        uvloop.run(_until_stopped(settings, print_ready))
    return 0


async def _until_stopped(settings: Settings, print_ready: Callable[[str], None]) -> None:
    stop = stop_by_signal()
    async with open_colony(settings, SystemClock(), end=stop.set) as colony:
        settle_garbage_collector()
        async with announced(Readiness(colony.parts.database).problem):
            print_ready(f"ready {settings.node_name}")
            await stop.wait()
    await leave_nobody_behind()
