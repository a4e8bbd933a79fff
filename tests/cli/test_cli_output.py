"""What the commands print on a terminal: a pseudo-terminal of a chosen width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from cenoby.cli.output import Table
from tests.conftest import RunningColony

ID = "01a1fe0f-3441-7abc-8def-0123456789ab"
RECORD = ("id", "time", "kind", "agent", "tool", "decision", "status", "code")
ROW = (ID, "2026-11-21T12:49:53.123456Z", "decision", "ada", "mads.rogers.create_conversation", "allow", "ok", "")


def on_a_terminal(columns: int, *arguments: str) -> str:
    """What a Python program prints on a terminal that is so wide, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CENOBY_", "COLUMNS"))}
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, env=environment | {"TERM": "xterm"})
    os.close(theirs)
    printed = bytearray()
    try:
        while piece := os.read(ours, 65536):
            printed += piece
    except OSError:
        pass  # So Linux says that nobody holds the other end any more.
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [20, 80, 100, 120, 200])
@pytest.mark.parametrize("heads", [RECORD, ("approval_id", *RECORD[1:])], ids=["id", "approval_id"])
def test_ids_are_whole_on_every_terminal(columns: int, heads: tuple[str, ...]) -> None:
    """However narrow it is, the id stands in one piece, and of the other texts not a character is missing."""
    script = f"from cenoby.cli.output import print_table; print_table({heads}, [{ROW}])"
    printed = on_a_terminal(columns, "-c", script)
    assert ID in printed
    assert "…" not in printed
    assert sorted(re.sub(r"\s", "", printed)) == sorted("".join((*heads, *ROW)))


def test_texts_are_folded_where_that_makes_the_table_fit() -> None:
    """A description is set in its column, and no line is longer than the terminal."""
    rows = [("mads.marco.fetch", "Fetch a web page or PDF document and return its readable text. " * 3)]
    printed = on_a_terminal(
        80, "-c", f"from cenoby.cli.output import print_table; print_table(('tool', 'does'), {rows})"
    )
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert len(printed.splitlines()) > 3


def test_ids_from_a_narrow_terminal_can_be_used(colony: RunningColony) -> None:
    """What `journal tail` and `token list` print on 80 columns is what `journal show` and `token revoke` take."""
    colony.token("narrow", "observer")
    main = ("-m", "cenoby.cli.main")
    tail = on_a_terminal(80, *main, "journal", "tail", "-n", "1", "--data", str(colony.data))
    record = tail.splitlines()[1].split()[0]
    assert colony.cenoby("journal", "show", record).returncode == 0
    tokens = on_a_terminal(80, *main, "token", "list", "--data", str(colony.data))
    token = next(line for line in tokens.splitlines() if " narrow " in line).split()[0]
    assert colony.cenoby("token", "revoke", token).stdout == f"revoked {token}\n"


def test_a_table_that_grows_has_one_head(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that come later stand below the same head, for programs and for people."""
    table = Table(("id", "kind"))
    table.print([("1", "call")])
    table.print([("2", None)])
    assert capsys.readouterr().out == "id\tkind\n1\tcall\n2\t\n"
    script = (
        "from cenoby.cli.output import Table; t = Table(('id', 'kind')); t.print([('1', 'x')]); t.print([('2', 'y')])"
    )
    assert [line.split() for line in on_a_terminal(80, "-c", script).splitlines()] == [
        ["id", "kind"],
        ["1", "x"],
        ["2", "y"],
    ]
