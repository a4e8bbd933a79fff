"""What `--help` says of the commands."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest
from cyclopts import App

from cenoby.cli.main import app


def groups() -> list[App]:
    return [
        app,
        *(
            app[name]
            for name in ("token", "journal", "evidence", "node", "config", "policy", "content", "autonomy", "secret")
        ),
    ]


def commands() -> Iterator[tuple[App, str]]:
    """Every command, with the group that it is in."""
    for group in groups():
        yield from ((group, name) for name in group if not name.startswith("-"))


@pytest.mark.parametrize(
    ("group", "name"), list(commands()), ids=lambda one: one if isinstance(one, str) else one.name[0]
)
def test_the_text_of_a_command_is_its_docstring(group: App, name: str) -> None:
    """What `--help` repeats, so that nothing need be imported, is what the function itself says."""
    command = group[name]
    if command.default_command is not None:
        assert inspect.cleandoc(command.help) == inspect.getdoc(command.default_command)
    assert command.help.strip()


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.name[0])
def test_help_says_what_each_command_does(group: App) -> None:
    """Beside every name stands the beginning of its text, and no module of a command was imported for it.

    Except those of `node` and `tools` themselves, whose own options stand beside their commands.
    """
    path = [] if group is app else [group.name[0]]
    script = (
        "import atexit, sys, cenoby.cli.main\n"
        "atexit.register(lambda: print([one for one in sys.modules if one.startswith('cenoby.cli.')]))\n"
        f"cenoby.cli.main.run({[*path, '--help']})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    eager = [
        "cenoby.cli.evidence_table",
        "cenoby.cli.failures",
        "cenoby.cli.options",
        "cenoby.cli.node_run",
        "cenoby.cli.tools_list",
        "cenoby.cli.vault_table",
        "cenoby.cli.main",
    ]
    assert done.stdout.splitlines()[-1] == str(eager)
    for name in group:
        if not name.startswith("-"):
            line = next(line for line in done.stdout.splitlines() if line.split()[1:2] == [name])
            assert " ".join(group[name].help.split()[:3]) in line
