"""Printing: one JSON value with `--json`, tables and colours only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from cenoby.kernel.codec import to_json


def print_json(value: Any) -> None:
    """One JSON value on one line."""
    sys.stdout.write(to_json(value).decode() + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    """One line of text, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table: drawn by Rich on a terminal, tab-separated elsewhere, so that other programs can cut it."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in [list(columns), *texts]:
            print_line("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in texts:
        # Text, not markup: what agents wrote must not colour or hide anything on an operator's screen.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_fields(fields: dict[str, Any]) -> None:
    """Name and value, one to a line."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print_line(f"{name:<{width}}  {value}")
