"""What stands in front of a server that others run: a circuit that opens while the server keeps failing.

The breakers live in `colony/breaker.py`; whoever calls out from a lower layer is given one through this port.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Circuit(Protocol):
    """One circuit. Every call that entered ends with exactly one of the three others."""

    def enter(self) -> None:
        """Begin a call.

        Raises:
            Unavailable: the server is left alone for now, or a person closed it off; the error says why and, where
                waiting helps, for how long.
        """
        ...

    def succeeded(self) -> None:
        """The server did its part."""
        ...

    def failed(self, reason: str) -> None:
        """The server is at fault, for a reason that may be shown: unreachable, too slow, broken, or HTTP 5xx."""
        ...

    def left(self) -> None:
        """The call ended and says nothing about the server: refused by our own rules, or given up by the caller."""
        ...


Circuits = Callable[[str], Circuit]
"""The circuit of a name, such as `host:example.org:443` or `model:https://models.example/v1`."""


class Unbroken:
    """A circuit that lets everything through."""

    def enter(self) -> None:
        return

    def succeeded(self) -> None:
        return

    def failed(self, reason: str) -> None:
        del reason

    def left(self) -> None:
        return


def unbroken(name: str) -> Circuit:
    """No circuits: one that is always closed, under any name."""
    del name
    return Unbroken()
