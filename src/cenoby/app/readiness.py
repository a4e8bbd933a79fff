"""Whether a colony is ready: whether its tables are in memory, and its store takes work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from cenoby.kernel.errors import CenobyError
from cenoby.store.database import Database
from cenoby.store.engine import Connection

PATIENCE_SECONDS = 2.0


class Readiness:
    """Asks the store with a write that writes nothing, once for all who want to know at the same time.

    It tells of a store that is closed, full, away or stuck. A full disk shows only when something is to be written.

    Args:
        database: the store.
        cold: names the tables that are kept in memory and were not read yet.
        sealed: whether the vault is sealed.
    """

    def __init__(
        self,
        database: Database,
        cold: Callable[[], Collection[str]] = tuple,
        sealed: Callable[[], bool] = bool,
    ) -> None:
        self._sealed = sealed
        self._database = database
        self._cold = cold
        self._asking: asyncio.Future[None] | None = None

    async def problem(self) -> str:
        """The code of what is wrong, or nothing when the colony is ready."""
        if self._cold():
            return "store_cold"
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._database.write(_nothing))
            # Read by the loop, too, because whoever asked may be gone by then.
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        try:
            await asyncio.wait_for(asyncio.shield(self._asking), PATIENCE_SECONDS)
        except TimeoutError:
            return "store_stuck"
        except CenobyError as error:
            return error.code
        return "sealed" if self._sealed() else ""


def _nothing(connection: Connection) -> None:
    del connection
