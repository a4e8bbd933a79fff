"""One table in memory: a read is a dictionary lookup, without lock and without I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeVar

from cenoby.store.database import StoreUnavailable
from cenoby.store.engine import Connection

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cold(Enum):
    """What a read answers before the table was read; it is true, and no row."""

    COLD = "cold"


COLD: Final = Cold.COLD


class CachedTable(Generic[K, V]):
    """The rows of a table by their keys, as they were last committed; `TableCache` makes, fills and changes it.

    It belongs to the event loop. Rows and keys are not to be changed by who reads them.

    Args:
        name: of the table.
        read: all of its rows.
        changed: told the keys of rows that came, went or became others, once the dictionary has them; must not raise.

    Attributes:
        rows: all rows, or `COLD`.
        get: the row of a key, None where there is none, or `COLD`; a dictionary's own `get` once the table was read.
        version: up to which state of the table the dictionary has all changes; -1 for none.
        changes: how often the dictionary changed, so that who read meanwhile knows that it did.
    """

    def __init__(
        self, name: str, read: Callable[[Connection], Mapping[K, V]], changed: Callable[[Collection[K]], object]
    ) -> None:
        self.name = name
        self.read = read
        self.changed = changed
        self.rows: Mapping[K, V] | Literal[Cold.COLD] = COLD
        self.get: Callable[[K], V | Literal[Cold.COLD] | None] = _cold
        self.version = -1
        self.changes = 0
        self._rows: dict[K, V] = {}

    def kept(self) -> Mapping[K, V]:
        """What it holds, read or not: a copy."""
        return dict(self._rows)

    def all(self) -> Mapping[K, V]:
        """All rows.

        Raises:
            StoreUnavailable: store_cold.
        """
        if self.rows is COLD:
            raise cold(self.name)
        return self.rows

    def take(self, differ: Mapping[K, V | None], version: int) -> None:
        """Hold what the table has in that state; `differ` is what that changes (None: there is none)."""
        for key, row in differ.items():
            self._set(key, row)
        self.rows, self.get = self._rows, self._rows.get
        self.version = version
        self.changes += 1

    def add(self, rows: Mapping[K, V | None], version: int) -> None:
        """Hold rows that a change of our own left, which made that state."""
        # What was read meanwhile may be later than this change.
        if version <= self.version:
            return
        for key, row in rows.items():
            self._set(key, row)
        # Where states are missing in between, another process made them, and the next look reads them.
        if version == self.version + 1:
            self.version = version
        self.changes += 1

    def _set(self, key: K, row: V | None) -> None:
        if row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = row


def cold(name: str) -> StoreUnavailable:
    """What a read ends with that cannot do without the rows."""
    return StoreUnavailable("store_cold", f"The table {name} was not read yet; try again shortly.", retry_after=1)


def _cold(key: Any) -> Literal[Cold.COLD]:
    del key
    return COLD
