"""The scheduler: how many calls all MADs of a node run at once, and whose turn it is when a place comes free."""

from __future__ import annotations

from typing import Protocol


class Waiting(Protocol):
    """A mailbox as the scheduler knows it."""

    def urgency(self) -> float:
        """How urgent its most urgent waiting call is; the smaller, the more. Only where one waits."""
        ...

    def serve(self) -> None:
        """Give free places to what waits."""
        ...

    def yield_place(self) -> bool:
        """Interrupt one call that may be done again later; whether there was one."""
        ...


class Scheduler:
    """A cap on the sum of running calls; the mailboxes ask it for every place.

    Args:
        limit: calls at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self._waiting: set[Waiting] = set()
        self._mailboxes: list[Waiting] = []

    def join(self, mailbox: Waiting) -> None:
        """Know a mailbox, so that its calls may be interrupted for more urgent ones."""
        self._mailboxes.append(mailbox)

    def leave(self, mailbox: Waiting) -> None:
        """Forget a mailbox that is no more."""
        if mailbox in self._mailboxes:
            self._mailboxes.remove(mailbox)
        self._waiting.discard(mailbox)

    def take(self) -> bool:
        """One place, if there is one."""
        if self._running >= self._limit:
            return False
        self._running += 1
        return True

    def give(self) -> None:
        """A place is free again: the most urgent of all that wait gets it."""
        self._running -= 1
        for mailbox in sorted(self._waiting, key=lambda one: one.urgency()) if self._waiting else ():
            if self._running >= self._limit:
                return
            mailbox.serve()

    def waits(self, mailbox: Waiting) -> None:
        """Calls wait in this mailbox."""
        self._waiting.add(mailbox)

    def waits_no_more(self, mailbox: Waiting) -> None:
        """None does."""
        self._waiting.discard(mailbox)

    def make_room(self) -> bool:
        """Interrupt one call that may be done again, where all places are taken; whether one was."""
        return self._running >= self._limit and any(mailbox.yield_place() for mailbox in self._mailboxes)
