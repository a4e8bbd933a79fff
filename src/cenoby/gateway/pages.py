"""Paging of listings: a cursor is the name of the last item seen, so it survives changes in between."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

T = TypeVar("T")


def page(items: Sequence[T], key: Callable[[T], str], cursor: str | None, size: int) -> tuple[list[T], str | None]:
    """One page of `items` in the order of `key`, and the cursor of the next one.

    Raises:
        MCPError: the cursor is none of ours.
    """
    ordered = sorted(items, key=key)
    if cursor is not None:
        after = _name_in(cursor)
        ordered = [item for item in ordered if key(item) > after]
    shown = ordered[:size]
    more = len(ordered) > size
    return shown, _cursor_for(key(shown[-1])) if more else None


def _cursor_for(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_in(cursor: str) -> str:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise MCPError(INVALID_PARAMS, "This server gave out no such cursor; list from the start.") from None
