"""What a cell finds in a document that acts when it is opened."""

from __future__ import annotations

import msgspec


class Acting(msgspec.Struct, frozen=True):
    """The result of looking into a document.

    Attributes:
        found: kinds of active content, sorted: `script`, `launch`, `embedded`.
        problem: why nobody can say; empty where it could be looked into.
    """

    found: tuple[str, ...] = ()
    problem: str = ""
