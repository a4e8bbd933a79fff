"""What finds journal records: a few rows per block of records, instead of an index entry for each.

A block notes the range of times and ids in it, and a facet row says that a value (an agent, a tool, ...) occurs in it.
A reader scans the blocks that can hold what it looks for, and the newest records that no block covers yet. That costs
it milliseconds, and the append path a tenth of what five indexes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cenoby.store.engine import Connection

BLOCK = 512
"""Records from which on a block is made."""

FACETS = ("agent", "code", "correlation", "mad", "tool")

ID, TENANT, TIME = 2, 3, 4
PLACES = {"agent": 6, "code": 12, "correlation": 13, "mad": 7, "tool": 8}
"""Where the facets stand in a header, as the fields before do."""


def covered_up_to(connection: Connection) -> int:
    """The position up to which blocks cover the records; 0 for none."""
    return connection.execute("SELECT coalesce(max(last), 0) FROM journal_block").fetchone()[0]


def add_block(connection: Connection, first: int, last: int) -> None:
    """Cover the records from position `first` to `last`."""
    connection.execute(_ADD_BLOCK, (first, last))
    for facet in FACETS:
        connection.execute(_ADD_FACET[facet], (first, last))


def add_block_of(connection: Connection, first: int, last: int, headers: Sequence[tuple[Any, ...]]) -> None:
    """As `add_block`, from the fields of the records' headers: a twentieth of the cost of reading them."""
    columns = list(zip(*headers, strict=True))
    lowest, highest = min(columns[ID]), max(columns[ID])
    (block,) = connection.execute(
        "INSERT INTO journal_block (tenant, first, last, earliest_ns, latest_ns, lowest_id, highest_id) "
        "VALUES ('', ?, ?, ?, ?, ?, ?) RETURNING block",
        (first, last, min(columns[TIME]), max(columns[TIME]), lowest, highest),
    ).fetchone()
    found: list[tuple[str, str, int]] = []
    for facet in FACETS:
        values: set[str] = set(columns[PLACES[facet]])
        if facet == "correlation":
            values = {value for value in values if value < lowest or value > highest}
        # In their order, so that neighbours fall on the same page.
        found += [(facet, value, block) for value in sorted(values) if value]
    connection.executemany(_ADD_VALUE, found)


_ADD_VALUE = "INSERT INTO journal_facet (tenant, facet, value, block) VALUES ('', ?, ?, ?)"
_ADD_BLOCK = """
    INSERT INTO journal_block (tenant, first, last, earliest_ns, latest_ns, lowest_id, highest_id)
    SELECT '', min(position), max(position), min(time_ns), max(time_ns), min(id), max(id)
    FROM journal_record WHERE position BETWEEN ? AND ?
"""
# A correlation that began in the block itself is found by the block's range of ids.
_ADD_FACET = {
    facet: f"""
    INSERT INTO journal_facet (tenant, facet, value, block)
    SELECT DISTINCT '', '{facet}', j.{facet}, b.block FROM journal_block b JOIN journal_record j
    ON j.position BETWEEN b.first AND b.last WHERE b.first = ? AND b.last = ? AND j.{facet} <> ''
    {"AND (correlation < b.lowest_id OR correlation > b.highest_id)" if facet == "correlation" else ""}
    """  # noqa: S608 - our own columns
    for facet in FACETS
}
