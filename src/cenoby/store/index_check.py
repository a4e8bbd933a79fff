"""Whether the index of the journal fits its records: what is missing from it is missing from listings."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from itertools import chain
from typing import Any

from cenoby.store.engine import Connection
from cenoby.store.journal_index import FACETS, ID, PLACES, TIME


class IndexCheck:
    """Rebuilds the blocks and facets from the headers in passing, and compares.

    Args:
        connection: what is on disk, the same snapshot from which the headers come.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blocks = connection.execute(
            "SELECT block, first, last, earliest_ns, latest_ns, lowest_id, highest_id FROM journal_block ORDER BY first"
        )
        self._block: tuple[Any, ...] | None = self._blocks.fetchone()
        self._headers: list[tuple[Any, ...]] = []
        self._expected = 0

    def record(self, position: int, header: tuple[Any, ...]) -> bool:
        """Take the next record, in order; False where the block that ends with it says something else than is in it."""
        if self._block is None:
            return True
        self._headers.append(header)
        if position < self._block[2]:
            return True
        headers, self._headers = self._headers, []
        block, first, *_ = self._block
        times, ids = [one[TIME] for one in headers], [one[ID] for one in headers]
        fits = self._block[3:] == (min(times), max(times), min(ids), max(ids))
        self._expected += sum(map(_digest, _facets(headers, block, min(ids), max(ids))))
        self._block = self._blocks.fetchone()
        return fits and position - first + 1 == len(headers)

    def finish(self) -> bool:
        """Whether the facets on disk are exactly those of the records that blocks cover, and every block was met."""
        rows: Iterable[tuple[Any, ...]] = self._connection.execute("SELECT facet, value, block FROM journal_facet")
        return self._block is None and sum(map(_digest, rows)) == self._expected


def _facets(headers: list[tuple[Any, ...]], block: int, lowest: str, highest: str) -> Iterable[tuple[str, str, int]]:
    def of(facet: str) -> Iterable[tuple[str, str, int]]:
        for value in {header[PLACES[facet]] for header in headers}:
            # A correlation that began in the block itself is found by the block's range of ids.
            if value and not (facet == "correlation" and lowest <= value <= highest):
                yield facet, value, block

    return chain.from_iterable(map(of, FACETS))


def _digest(row: tuple[Any, ...]) -> int:
    # Sums of digests compare two sets in any order, without holding either.
    return int.from_bytes(blake2b("\0".join(map(str, row)).encode(errors="replace"), digest_size=16).digest())
