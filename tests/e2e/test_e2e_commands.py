"""The commands, as processes, against a real colony."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from tests.conftest import RunningColony


def cenoby(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CENOBY_")}
    command = [sys.executable, "-m", "cenoby.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("tools",),
        ("token", "list"),
        ("journal", "tail", "-n", "1"),
        ("journal", "verify"),
        ("config", "show"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_every_command_prints_json_when_asked(colony: RunningColony, arguments: tuple[str, ...]) -> None:
    """With --json: one JSON value, nothing else; without: text."""
    done = colony.cenoby(*arguments, "--json")
    json.loads(done.stdout)
    assert colony.cenoby(*arguments).stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("call", "mads.rogers.nothing"), 2),
        (("call", "mads.rogers.get_history", "conversation=nowhere"), 5),
        (("status", "--token", "cby_wrong"), 3),
        (("journal", "show", "nothing"), 5),
        (("token", "create", "--agent", "x", "--role", "king"), 4),
        (("token", "revoke", "nothing"), 4),
        (("call", "mads.grace.approve", "approval_id=nothing"), 4),
        (("nonsense",), 2),
        (("up",), 6),
    ],
    ids=lambda value: str(value),
)
def test_a_refusal_is_one_line_and_an_exit_code(colony: RunningColony, arguments: tuple[str, ...], code: int) -> None:
    """No traceback, the documented exit code, and the stable code of the error."""
    done = colony.cenoby(*arguments, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_revoked_token_stops_at_once(colony: RunningColony) -> None:
    """After `token revoke` the very next call is unauthenticated."""
    token = colony.token("brief", "developer")
    assert colony.cenoby("tools", token=token).returncode == 0
    listed = json.loads(colony.cenoby("token", "list", "--json").stdout)
    mine = next(one for one in listed if one["agent"] == "brief")
    colony.cenoby("token", "revoke", str(mine["id"]))
    assert colony.cenoby("tools", token=token, check=False).returncode == 3


def test_a_changed_record_is_found_offline(
    start_colony: Callable[..., AbstractContextManager[RunningColony]],
) -> None:
    """`journal verify` on a stopped colony reads the file, and ends with 1 where a record was changed."""
    with start_colony() as colony:
        colony.token("ada", "developer")
        colony.stop()
    assert colony.cenoby("journal", "verify").returncode == 0
    with closing(sqlite3.connect(colony.data / "colony.db")) as connection:
        connection.execute("DROP TRIGGER journal_keeps")
        connection.execute("UPDATE journal SET header = replace(header, 'ada', 'eve')")
        connection.execute("UPDATE journal SET header = replace(header, 'operator', 'nobody')")
        connection.commit()
    broken = colony.cenoby("journal", "verify", check=False)
    assert broken.returncode == 1
    assert "journal_broken" in broken.stderr


def test_a_journal_cut_short_is_found_by_a_head_that_was_kept(
    start_colony: Callable[..., AbstractContextManager[RunningColony]],
) -> None:
    """The head that `journal verify` prints is in the chain later, too; in one that was cut short it is not."""
    with start_colony() as colony:
        colony.token("ada", "developer")
        line = next(one for one in colony.cenoby("journal", "verify").stdout.splitlines() if one.startswith("heads"))
        head = line.split()[1]
        assert colony.cenoby("journal", "verify", "--head", head).returncode == 0
        colony.stop()
    assert colony.cenoby("journal", "verify", "--head", head).returncode == 0
    with closing(sqlite3.connect(colony.data / "colony.db")) as connection:
        position = int(head.split(":")[1]) - 1
        connection.execute("DROP TRIGGER journal_stays")
        for table in ("journal_payload", "journal"):
            connection.execute(f"DELETE FROM {table} WHERE position > ?", (position,))
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'journal'", (position,))
        connection.commit()
    assert colony.cenoby("journal", "verify").returncode == 0
    broken = colony.cenoby("journal", "verify", "--head", head, check=False)
    assert broken.returncode == 1
    assert "ends before" in broken.stderr
    assert colony.cenoby("journal", "verify", "--head", "x", check=False).returncode == 2


def test_wrong_settings_are_refused_before_anything_starts(tmp_path: Path) -> None:
    """`up` and `config check` name the place and the likely key."""
    file = tmp_path / "cenoby.yaml"
    file.write_text("gateway: {max_inflght: 3}")
    for arguments in (("up", "--config", str(file), "--data", str(tmp_path / "data")), ("config", "check", str(file))):
        done = cenoby(*arguments)
        assert done.returncode == 2
        assert "did you mean max_inflight?" in done.stderr
    assert not (tmp_path / "data").exists()


def test_the_table_of_commands_imports_nothing_heavy() -> None:
    """`cenoby --help` must be quick, so no protocol, schema or database library is imported for it."""
    heavy = ("mcp", "pydantic", "sqlalchemy", "uvicorn")
    script = f"import sys, cenoby.cli.main; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_acts_as_whom_it_is_told(colony: RunningColony) -> None:
    """`--token` gives an agent, `--operator` the operator whatever CENOBY_TOKEN says, and both are bad input."""
    token = colony.token("ned", "developer")
    create = ("token", "create", "--agent", "eli", "--role", "observer")
    assert colony.cenoby(*create, "--token", token, check=False).returncode == 4
    assert colony.cenoby(*create, token=token, check=False).returncode == 4
    for command in (create, ("token", "list"), ("journal", "tail"), ("journal", "verify"), ("status",), ("tools",)):
        colony.cenoby(*command, "--operator", token=token)
    both = colony.cenoby("token", "list", "--operator", "--token", token, check=False)
    assert both.returncode == 2
    assert "[caller_ambiguous]" in both.stderr
