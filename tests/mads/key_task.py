"""What gives a secret its next value, in a cell of the sandbox."""

from __future__ import annotations

import secrets


def make_key() -> str:
    """A new key."""
    return "made-in-a-cell-" + secrets.token_hex(8)


def tell_it_all() -> str:
    """A new key, lost in the words of an error."""
    raise ValueError("the new key is lost-in-an-error")
