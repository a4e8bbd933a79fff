"""What processes that share a PostgreSQL store share of the limits: who lives with which share of the rates, and how
much of each day's quotas was given out. Every function runs inside one `Database.write`, and those follow one another
in all processes.

A share is a part of `WHOLE`, and the shares in the table never make more than that. It expires by the database's own
clock, so that no two machines need to agree on the time; whoever holds one counts from before it asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cenoby.store.engine import Connection

WHOLE = 720_720
"""All of the rates; divisible by every number of processes up to 16."""
LARGEST_BLOCK = 10_000
_BLOCKS = 8
"""Into how many blocks a process at least divides its part of what is left of a quota."""
_DAYS_KEPT = 7


class Standing(NamedTuple):
    """Where a process stands among those that live.

    Attributes:
        share: what the table says it holds, parts of `WHOLE`.
        fair: what it is to hold; where that is less, it stops using the rest and then says so.
        kept: whether it was among the living all the time since it asked last.
        others: how many others live.
    """

    share: int
    fair: int
    kept: bool
    others: int


class Part(NamedTuple):
    """Calls of one agent in one namespace (empty: all) on one day: a quota, or what is left of a block."""

    agent: str
    namespace: str
    calls: int


def renew_share(connection: Connection, node: str, using: int, seconds: float) -> Standing:
    """Live for so many seconds more, and get as much of a fair share as others do not hold.

    Args:
        node: who asks.
        using: the share that it grants calls from, parts of `WHOLE`; nothing above it is held any longer.
        seconds: the lease.
    """
    (now_ns,) = connection.execute(_NOW).fetchone()
    connection.execute("DELETE FROM limit_shares WHERE expires_ns <= ? AND node <> ?", (now_ns, node))
    held, others = connection.execute(
        "SELECT CAST(coalesce(sum(share), 0) AS BIGINT), count(*) FROM limit_shares WHERE node <> ?", (node,)
    ).fetchone()
    row = connection.execute("SELECT share FROM limit_shares WHERE node = ?", (node,)).fetchone()
    fair, using = WHOLE // (others + 1), min(using, row[0]) if row else 0
    share = max(using, min(fair, WHOLE - held))
    connection.execute(_RENEW, (node, share, now_ns + round(seconds * 1e9)))
    return Standing(share, fair, row is not None, others)


def leave(connection: Connection, node: str) -> None:
    """Live no more; others may have its share."""
    connection.execute("DELETE FROM limit_shares WHERE node = ?", (node,))


def count_used(connection: Connection, day: int, parts: Iterable[Part]) -> None:
    """Say what was used of a day's quotas before anything of them was given out; of others nothing changes."""
    connection.execute("DELETE FROM quotas WHERE day < ?", (day - _DAYS_KEPT,))
    connection.executemany(_FIRST, [(day, *part) for part in parts])


def give_out(connection: Connection, day: int, quotas: Iterable[Part]) -> list[int]:
    """A block of each of these quotas, in calls; 0 where nothing is left.

    Blocks get smaller with what is left (guided self-scheduling, Polychronopoulos and Kuck 1987), so that little lies
    idle with one process while another refuses.
    """
    (processes,) = connection.execute("SELECT count(*) FROM limit_shares").fetchone()
    return [_give_out(connection, day, quota, max(1, processes)) for quota in quotas]


def give_back(connection: Connection, day: int, unused: Iterable[Part]) -> None:
    """Return what is left of blocks of that day."""
    connection.executemany(
        "UPDATE quotas SET given_out = given_out - ? WHERE day = ? AND agent = ? AND namespace = ?",
        [(part.calls, day, part.agent, part.namespace) for part in unused],
    )


def _give_out(connection: Connection, day: int, quota: Part, processes: int) -> int:
    key = (day, quota.agent, quota.namespace)
    connection.execute(_FIRST, (*key, 0))
    (given_out,) = connection.execute(
        "SELECT given_out FROM quotas WHERE day = ? AND agent = ? AND namespace = ?", key
    ).fetchone()
    left = quota.calls - given_out
    block = min(left, max(1, min(LARGEST_BLOCK, left // (_BLOCKS * processes))))
    if block <= 0:
        return 0
    connection.execute(
        "UPDATE quotas SET given_out = given_out + ? WHERE day = ? AND agent = ? AND namespace = ?", (block, *key)
    )
    return block


_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS BIGINT)"
_RENEW = (
    "INSERT INTO limit_shares (tenant, node, share, expires_ns) VALUES ('', ?, ?, ?)"
    " ON CONFLICT (node) DO UPDATE SET share = excluded.share, expires_ns = excluded.expires_ns"
)
_FIRST = (
    "INSERT INTO quotas (tenant, day, agent, namespace, given_out) VALUES ('', ?, ?, ?, ?)"
    " ON CONFLICT (day, agent, namespace) DO NOTHING"
)
