"""Printing: one JSON value with `--json`, tables and colours only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from cenoby.kernel.codec import to_json

_NARROWEST = 12
"""Characters below which a column of texts is not narrowed."""
_GAP = 2
"""Between columns, as Rich draws them."""


def print_json(value: Any) -> None:
    """One JSON value on one line."""
    sys.stdout.write(to_json(value).decode() + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    """One line of text, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Table:
    """A table whose rows may come bit by bit: drawn by Rich on a terminal, tab-separated elsewhere for other programs.

    The head is printed once. On a terminal that is too narrow texts are folded and nothing is cut; ids are not even
    folded, because people copy them into the next command.

    Args:
        columns: their heads; those called `id` or `…_id` hold ids.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._begun = False
        self._widths = [0] * len(columns)

    def print(self, rows: Sequence[Sequence[Any]]) -> None:
        """Print further rows, below the head if they are the first."""
        texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if sys.stdout.isatty():
            self._draw(texts)
        else:
            for row in texts if self._begun else [list(self._columns), *texts]:
                print_line("\t".join(row))
        self._begun = True

    def _draw(self, texts: list[list[str]]) -> None:
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        console = Console()
        table = RichTable(box=None, header_style="bold", pad_edge=False, show_header=not self._begun)
        widths = self._fit(texts, console.width)
        for name, width in zip(self._columns, widths, strict=True):
            table.add_column(name, width=width, overflow="fold")
        for row in texts:
            # Text, not markup: what agents wrote must not colour or hide anything on an operator's screen.
            table.add_row(*(Text(cell) for cell in row))
        console.width = max(console.width, _whole(widths))
        console.print(table)

    def _fit(self, texts: list[list[str]], room: int) -> list[int]:
        """Widths for these texts and those before: the widest columns without ids are narrowed until all fit.

        Where that would leave too little of them, all keep their width, and the terminal wraps the lines.
        """
        from rich.cells import cell_len

        for row in (self._columns, *texts):
            self._widths = [max(width, cell_len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        widths = list(self._widths)
        others = [place for place, name in enumerate(self._columns) if name != "id" and not name.endswith("_id")]
        while _whole(widths) > room:
            widest = max(others, key=widths.__getitem__, default=0)
            if not others or widths[widest] <= _NARROWEST:
                return self._widths
            widths[widest] -= 1
        return widths


def _whole(widths: list[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A whole table at once."""
    Table(columns).print(rows)


def print_fields(fields: dict[str, Any]) -> None:
    """Name and value, one to a line."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print_line(f"{name:<{width}}  {value}")
