"""The outbox: rows of work, each taken under a lease with a fencing token, done once or given up on the record.

An item is `open` until it is `done` or `dead`. Taking it puts its `due_ns` into the future and counts `deliveries` up:
that number is the token with which alone its holder may end or extend it, so that a holder who was given up cannot
undo what its successor did. A row is due again when its holder failed, died, or said nothing in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cenoby.kernel.clock import Clock
from cenoby.store.database import Database
from cenoby.store.engine import Connection

KEPT_NS = 24 * 3600 * 1_000_000_000
"""How long done work is kept, for replay and to recognise a second putting."""
_SWEPT = 500
"""Rows that one putting may remove; so none of them takes long."""


class Item(msgspec.Struct, frozen=True):
    """Work on its way in: its id, whose it is, its queue, and what it says."""

    id: str
    tenant: str
    queue: str
    body: bytes


class Taken(msgspec.Struct, frozen=True):
    """Work in somebody's hands; `deliveries` is the token of that taking."""

    position: int
    deliveries: int
    body: bytes


class Dead(msgspec.Struct, frozen=True):
    """Work that was given up, and why."""

    id: str
    queue: str
    body: bytes
    deliveries: int
    error: str
    ended_ns: int


class Outbox:
    """All queues of a store.

    Args:
        database: where the rows are.
        clock: when something is due; all who share the store need about the same time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, item: Item) -> bool:
        """Add an item; False where its id is there already. Durable when it returns.

        Raises:
            StoreUnavailable: nothing was added.
        """
        now_ns = self._clock.now_ns()
        return await self._database.write(lambda connection: put_item(connection, item, now_ns), size=len(item.body))

    async def take(self, queue: str, most: int, *, lease_ns: int, max_deliveries: int) -> list[Taken]:
        """Up to `most` items that are due, oldest first; items that had all their tries become dead instead.

        Args:
            queue: whose.
            most: how many.
            lease_ns: nanoseconds until they are due again.
            max_deliveries: tries of an item.

        Raises:
            StoreUnavailable: nothing was taken.
        """
        now_ns = self._clock.now_ns()
        return await self._database.write(
            lambda connection: _take(connection, queue, most, now_ns, lease_ns, max_deliveries)
        )

    async def extend(self, taken: Sequence[Taken], lease_ns: int) -> None:
        """Hold items for longer."""
        due_ns = self._clock.now_ns() + lease_ns
        rows = [(due_ns, one.position, one.deliveries) for one in taken]
        await self._database.write(lambda connection: connection.executemany(_EXTEND, rows) and None)

    async def done(self, taken: Taken) -> bool:
        """The item is done; False where it is in other hands by now.

        Raises:
            StoreUnavailable: it is not recorded, and will be due again.
        """
        values = (self._clock.now_ns(), taken.position, taken.deliveries)
        return await self._database.write(lambda connection: connection.execute(_DONE, values).rowcount == 1)

    async def failed(self, taken: Taken, error: str, *, again_ns: int | None) -> bool:
        """The item was not done: due again in `again_ns`, or dead where that is None; False as for `done`."""
        now_ns = self._clock.now_ns()
        if again_ns is None:
            statement, values = _DIE, (error, now_ns, taken.position, taken.deliveries)
        else:
            statement, values = _AGAIN, (error, now_ns + again_ns, taken.position, taken.deliveries)
        return await self._database.write(lambda connection: connection.execute(statement, values).rowcount == 1)

    async def depth(self, queue: str) -> int:
        """Items that are neither done nor dead."""
        return await self._database.read(lambda connection: connection.execute(_DEPTH, (queue,)).fetchone()[0])

    async def next_due_ns(self, queue: str) -> int | None:
        """When something may be due next; None where nothing is open."""
        return await self._database.read(lambda connection: connection.execute(_NEXT, (queue,)).fetchone()[0])

    async def history(self, queue: str, after: int, up_to: int | None, most: int) -> list[tuple[int, bytes]]:
        """Items put after a position, done or not, oldest first; `up_to` a position, where one is given."""
        values = (queue, after, up_to, up_to, most)
        return await self._database.read(lambda connection: connection.execute(_HISTORY, values).fetchall())

    async def last(self, queue: str) -> int:
        """Position of the newest item; 0 for none."""
        return await self._database.read(lambda connection: connection.execute(_LAST, (queue,)).fetchone()[0])

    async def dead(self, queue: str, limit: int) -> list[Dead]:
        """Dead items, newest first; of all queues where `queue` is empty."""
        rows = await self._database.read(lambda connection: connection.execute(_DEAD, (queue, queue, limit)).fetchall())
        return [Dead(*row) for row in rows]

    async def revive(self, identifier: str) -> bool:
        """Give a dead item all its tries again; False where there is none."""
        values = (self._clock.now_ns(), identifier)
        return await self._database.write(lambda connection: connection.execute(_REVIVE, values).rowcount == 1)

    async def forget(self, identifier: str) -> bool:
        """Remove a dead item; False where there is none."""
        return await self._database.write(lambda connection: connection.execute(_FORGET, (identifier,)).rowcount == 1)


def put_item(connection: Connection, item: Item, now_ns: int) -> bool:
    """As `Outbox.put`, inside a transaction of the caller's own: the item is there if and only if the rest of it is."""
    connection.execute(_SWEEP, (now_ns - KEPT_NS, _SWEPT))
    values = (item.tenant, item.id, item.queue, item.body, now_ns, now_ns)
    return connection.execute(_PUT, values).rowcount == 1


def _take(
    connection: Connection, queue: str, most: int, now_ns: int, lease_ns: int, max_deliveries: int
) -> list[Taken]:
    connection.execute(_GIVE_UP, (now_ns, queue, now_ns, max_deliveries))
    positions = [row[0] for row in connection.execute(_DUE, (queue, now_ns, most))]
    taken: list[Taken] = []
    for position in positions:
        row = connection.execute(_TAKE, (now_ns + lease_ns, position)).fetchone()
        taken.append(Taken(*row))
    return taken


_PUT = (
    "INSERT INTO outbox (tenant, id, queue, body, state, due_ns, put_ns) VALUES (?, ?, ?, ?, 'open', ?, ?)"
    " ON CONFLICT (id) DO NOTHING"
)
_SWEEP = (
    "DELETE FROM outbox WHERE position IN"
    " (SELECT position FROM outbox WHERE state = 'done' AND ended_ns < ? ORDER BY ended_ns LIMIT ?)"
)
_DUE = "SELECT position FROM outbox WHERE queue = ? AND state = 'open' AND due_ns <= ? ORDER BY position LIMIT ?"
_TAKE = (
    "UPDATE outbox SET due_ns = ?, deliveries = deliveries + 1 WHERE position = ? RETURNING position, deliveries, body"
)
_GIVE_UP = (
    "UPDATE outbox SET state = 'dead', ended_ns = ?,"
    " error = CASE error WHEN '' THEN 'nobody acknowledged it in time' ELSE error END"
    " WHERE queue = ? AND state = 'open' AND due_ns <= ? AND deliveries >= ?"
)
_HELD = "WHERE position = ? AND deliveries = ? AND state = 'open'"
_EXTEND = f"UPDATE outbox SET due_ns = ? {_HELD}"  # noqa: S608 - constants
_DONE = f"UPDATE outbox SET state = 'done', ended_ns = ? {_HELD}"  # noqa: S608
_AGAIN = f"UPDATE outbox SET error = ?, due_ns = ? {_HELD}"  # noqa: S608
_DIE = f"UPDATE outbox SET state = 'dead', error = ?, ended_ns = ? {_HELD}"  # noqa: S608
_DEPTH = "SELECT count(*) FROM outbox WHERE queue = ? AND state = 'open'"
_NEXT = "SELECT min(due_ns) FROM outbox WHERE queue = ? AND state = 'open'"
_HISTORY = (
    "SELECT position, body FROM outbox WHERE queue = ? AND position > ?"
    " AND (CAST(? AS BIGINT) IS NULL OR position <= ?) ORDER BY position LIMIT ?"
)
_LAST = "SELECT coalesce(max(position), 0) FROM outbox WHERE queue = ?"
_DEAD = (
    "SELECT id, queue, body, deliveries, error, ended_ns FROM outbox WHERE state = 'dead' AND (? = '' OR queue = ?)"
    " ORDER BY ended_ns DESC, position DESC LIMIT ?"
)
_REVIVE = (
    "UPDATE outbox SET state = 'open', deliveries = 0, ended_ns = NULL, due_ns = ? WHERE id = ? AND state = 'dead'"
)
_FORGET = "DELETE FROM outbox WHERE id = ? AND state = 'dead'"
