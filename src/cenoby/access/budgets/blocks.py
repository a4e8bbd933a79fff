"""Blocks of budgets that this process holds on lease, and decides from in memory.

The store counts a block as held by its account from the moment it is given out, so that all blocks, reservations and
what was spent never exceed a limit together, whoever decides and whenever. What a process held when it died stays
counted: nobody can say how much of it was spent. A block is used only while the store was heard from within the lease;
afterwards every reservation is made in the store itself, or refused where that does not answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from cenoby.access.budgets.accounts import Account, Part
from cenoby.access.budgets.sql import day_of

_REFUSED = 4096
"""So many accounts are remembered as too small for blocks."""
IDLE = 8
"""For how many looks a block may lie unused before it is given back."""


class Block:
    """What this process holds of one account on one day; all in the account's unit.

    Attributes:
        part: the account, its tenant and its limit.
        day: as `sql.day_of` says.
        left: may still be reserved from it.
        held: reserved from it, and not settled.
        spent: settled, and not yet told to the store.
        low: below so much left, more is asked for ahead.
        idle: for how many looks nothing was reserved.
    """

    __slots__ = ("day", "held", "idle", "left", "low", "part", "spent")

    def __init__(self, part: Part, day: int) -> None:
        self.part = part
        self.day = day
        self.left = self.held = self.spent = self.low = self.idle = 0


class Blocks:
    """All blocks of one process. Not for use by several threads.

    Attributes:
        until_ns: until when they may be used, monotonic.
        wanted: accounts that are to get a block, or more of one, with the largest amount that was asked for.
    """

    def __init__(self) -> None:
        self.until_ns = 0
        self.wanted: dict[Account, Part] = {}
        self._blocks: dict[Account, Block] = {}
        self._old: list[Block] = []
        self._taken: dict[str, list[tuple[Block, int]]] = {}
        self._not_before: dict[Account, int] = {}

    def take(self, reservation: str, parts: Sequence[Part], day: int, now_ns: int) -> bool:
        """Reserve from memory, from all blocks or from none; whether it did."""
        blocks, usable = self._blocks, now_ns < self.until_ns
        taken: list[tuple[Block, int]] = []
        for part in parts:
            block = blocks.get(part.account)
            if block is None or block.left < part.amount or block.day != day_of(part.account, day):
                if now_ns >= self._not_before.get(part.account, 0):
                    self.wanted[part.account] = part
                usable = False
            else:
                taken.append((block, part.amount))
        if not usable:
            return False
        for block, amount in taken:
            block.left -= amount
            block.held += amount
            block.idle = 0
            if block.left < block.low:
                self.wanted[block.part.account] = block.part
        self._taken[reservation] = taken
        return True

    def settle(self, reservation: str, micro_usd: int | None, tokens: int | None) -> list[Block] | None:
        """Say what a reservation of ours cost; None for an amount means all that was reserved.

        Returns:
            The blocks that it overdrew, whose accounts are to be charged the rest; None: it is not one of ours.
        """
        if (taken := self._taken.pop(reservation, None)) is None:
            return None
        over: list[Block] = []
        for block, amount in taken:
            said = tokens if block.part.account.unit == "tokens" else micro_usd
            spent = amount if said is None else said
            block.held -= amount
            block.spent += spent
            block.left += amount - spent
            if block.left < 0:
                over.append(block)
        return over

    def of(self, account: Account, day: int) -> tuple[int, int]:
        """(not reserved, settled but not told) of an account on a day, which the store counts as held."""
        mine = [one for one in (*self._old, *self._blocks.values()) if one.part.account == account and one.day == day]
        return sum(one.left for one in mine), sum(one.spent for one in mine)

    def add(self, part: Part, day: int, amount: int) -> None:
        """Put what the store gave out into the account's block of that day."""
        block = self._blocks.get(part.account)
        if block is None or block.day != day:
            if block is not None:
                self._old.append(block)
            block = self._blocks[part.account] = Block(part, day)
        block.left += amount
        block.low = block.left // 2

    def refuse(self, account: Account, until_ns: int) -> None:
        """Ask for no block of it until then: what is left is too little to be divided."""
        if len(self._not_before) >= _REFUSED:
            self._not_before.clear()
        self._not_before[account] = until_ns

    def give_back(self, accounts: Sequence[Account]) -> list[tuple[Block, int, int]]:
        """As `look`, for what is left in the blocks of these accounts."""
        found = [block for account in accounts if (block := self._blocks.get(account)) is not None and block.left > 0]
        return [(block, _empty(block), 0) for block in found]

    def __len__(self) -> int:
        return len(self._blocks) + len(self._old)

    def look(self, day: int, *, everything: bool = False) -> list[tuple[Block, int, int]]:
        """(block, unused, spent) of all that is to be told to the store: what was settled, and what is given back
        because it lies idle, its day is over, or `everything` is."""
        told: list[tuple[Block, int, int]] = []
        for account, block in list(self._blocks.items()):
            block.idle += 1
            over = everything or block.idle > IDLE or block.day != day_of(account, day)
            if over:
                del self._blocks[account]
                self._old.append(block)
        for block in self._old:
            told.append((block, _empty(block), block.spent))
        # Of one in use, what was spent stays with us: told each time, it would keep the store busy for nobody.
        told += [(block, 0, block.spent) for block in self._blocks.values() if block.spent and block.idle > 1]
        for block, _, _ in told:
            block.spent = 0
        # Kept until what was reserved from them is settled.
        self._old = [block for block in self._old if block.held]
        return [one for one in told if one[1] or one[2]]


def _empty(block: Block) -> int:
    left = max(0, block.left)
    block.left -= left
    return left
