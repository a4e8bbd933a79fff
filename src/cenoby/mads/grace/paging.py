"""How Grace's tools take and give pages."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Limit = Annotated[int, Field(ge=1, le=1000, description="Most entries on one page.")]
Cursor = Annotated[
    str | None, Field(max_length=64, description="`next_cursor` of the page before; null for the first page.")
]
