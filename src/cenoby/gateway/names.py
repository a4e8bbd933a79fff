"""Tool names on the wire: `mads.turing.get_secret`, or `mads__turing__get_secret` for clients that refuse dots."""

from __future__ import annotations

from typing import Literal

Spelling = Literal["alias", "dotted"]


def spelled(canonical: str, spelling: Spelling) -> str:
    """How `canonical` is advertised. Segments hold no double underscore, so the alias can be read back."""
    return canonical.replace(".", "__") if spelling == "alias" else canonical


def canonical(wire_name: str) -> str:
    """The canonical name behind either spelling; any other text comes back as it is."""
    return wire_name.replace("__", ".") if "." not in wire_name else wire_name
