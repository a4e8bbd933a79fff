"""Budgets and reservations in the store. Every function runs inside one `Database.write` or `Database.read`."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cenoby.access.budgets.accounts import Account, Cost, Part, Payer
from cenoby.kernel.clock import DAY_NS
from cenoby.store.engine import Connection

_BLOCKS, _CALLS = 16, 8
"""A block is at most this part of what is left, divided by the processes, and covers at least so many calls."""
ALWAYS = 0
"""The day of an account that is not of one day."""


def day_of(account: Account, day: int) -> int:
    """The UTC day under which an account is kept; `day` is the current one."""
    return ALWAYS if account.kind == "task" else day


def hold(connection: Connection, parts: Iterable[Part], day: int) -> Part | None:
    """Add what each account bears to what it holds, if all of their limits still cover it.

    Returns:
        None, or the first part that does not fit; the caller has the whole write undone then.
    """
    for part in parts:
        key = (*part.account, day_of(part.account, day))
        connection.execute(_FIRST, (part.tenant, *key))
        cursor = connection.execute(
            "UPDATE budget_accounts SET held = held + ?"
            " WHERE kind = ? AND name = ? AND unit = ? AND day = ? AND spent + held + ? <= ?",
            (part.amount, *key, part.amount, part.limit),
        )
        if cursor.rowcount != 1:
            return part
    return None


def add_reservation(
    connection: Connection, reservation: str, payer: Payer, cost: Cost, parts: Iterable[Part], now_ns: int
) -> None:
    """Write down what was held for one call."""
    day = now_ns // DAY_NS
    charged = json.dumps([[*part.account, day_of(part.account, day), part.amount] for part in parts])
    connection.execute(
        "INSERT INTO reservations (id, tenant, agent, day, micro_usd, created_ns, tokens, charged)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (reservation, payer.tenant, payer.agent, day, cost.micro_usd, now_ns, cost.tokens, charged),
    )


def settle(connection: Connection, reservation: str, micro_usd: int, tokens: int | None, now_ns: int) -> bool:
    """Turn a reservation into what was spent, once; whether there is such a reservation.

    Args:
        tokens: None means as many as were reserved.
    """
    row = connection.execute(
        "SELECT agent, day, micro_usd, tokens, charged, settled_ns FROM reservations WHERE id = ?", (reservation,)
    ).fetchone()
    if row is None:
        return False
    agent, day, held_usd, held_tokens, charged, settled_ns = row
    if settled_ns is not None:
        return True
    spent = {"micro_usd": micro_usd, "tokens": held_tokens if tokens is None else tokens}
    connection.execute(
        "UPDATE reservations SET spent_micro_usd = ?, spent_tokens = ?, settled_ns = ? WHERE id = ?",
        (micro_usd, spent["tokens"], now_ns, reservation),
    )
    # Reservations made before accounts of several kinds were there charge the agent alone.
    for kind, name, unit, on, held in json.loads(charged) or [["agent", agent, "micro_usd", day, held_usd]]:
        connection.execute(_MOVE, (held, spent[unit], kind, name, unit, on))
    return True


def charge(connection: Connection, parts: Iterable[Part], day: int) -> None:
    """Add what was spent without a reservation, whatever the limits say: it is gone."""
    for part in parts:
        key = (*part.account, day_of(part.account, day))
        connection.execute(_FIRST, (part.tenant, *key))
        connection.execute(_MOVE, (0, part.amount, *key))


def give_out(connection: Connection, wanted: Iterable[Part], day: int) -> list[int]:
    """A block of each of these accounts, in its unit; 0 where too little is left to divide it.

    Blocks get smaller with what is left (guided self-scheduling, Polychronopoulos and Kuck 1987), so that little lies
    idle with one process while another refuses; near the limit there are none, and every call is reserved by itself.
    """
    (processes,) = connection.execute("SELECT count(*) FROM limit_shares").fetchone()
    return [_give_out(connection, part, day, max(1, processes)) for part in wanted]


def _give_out(connection: Connection, part: Part, day: int, processes: int) -> int:
    key = (*part.account, day_of(part.account, day))
    connection.execute(_FIRST, (part.tenant, *key))
    (used,) = connection.execute(
        "SELECT held + spent FROM budget_accounts WHERE kind = ? AND name = ? AND unit = ? AND day = ?", key
    ).fetchone()
    block = (part.limit - used) // (_BLOCKS * processes)
    if block < _CALLS * max(1, part.amount):
        return 0
    connection.execute(_MOVE, (-block, 0, *key))
    return block


def tell(connection: Connection, told: Iterable[tuple[Part, int, int, int]]) -> None:
    """Of blocks: (account, day, what comes back unused, what of it was spent)."""
    for part, day, unused, spent in told:
        connection.execute(_MOVE, (unused + spent, spent, *part.account, day))


def read_accounts(
    connection: Connection, tenant: str, agent: str | None, first_day: int
) -> list[tuple[str, str, int, int, int]]:
    """(agent, tenant, day, held, spent) of the money of a tenant's agents since a day, newest day first."""
    rows = connection.execute(
        "SELECT name, tenant, day, held, spent FROM budget_accounts"
        " WHERE kind = 'agent' AND unit = 'micro_usd' AND tenant = :tenant AND day >= :day"
        " AND (CAST(:agent AS TEXT) IS NULL OR name = :agent) ORDER BY day DESC, name",
        {"tenant": tenant, "day": first_day, "agent": agent},
    )
    return rows.fetchall()


def read_account(connection: Connection, account: Account, day: int) -> tuple[int, int]:
    """(held, spent) of one account on a UTC day, in its unit."""
    row = connection.execute(
        "SELECT held, spent FROM budget_accounts WHERE kind = ? AND name = ? AND unit = ? AND day = ?",
        (*account, day_of(account, day)),
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


_FIRST = (
    "INSERT INTO budget_accounts (tenant, kind, name, unit, day, held, spent) VALUES (?, ?, ?, ?, ?, 0, 0)"
    " ON CONFLICT (kind, name, unit, day) DO NOTHING"
)
_MOVE = (
    "UPDATE budget_accounts SET held = held - ?, spent = spent + ? WHERE kind = ? AND name = ? AND unit = ? AND day = ?"
)
