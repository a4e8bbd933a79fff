"""Who may own a data directory, whether a colony runs on it, and the token that a command keeps there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from cenoby.app.data_dir import Address, DataDirUnavailable, find, owned, write_address
from tests.conftest import RunningColony

NOBODY = 65534
HOLD = """
import sys
from pathlib import Path
from cenoby.app.data_dir import owned, write_address
with owned(Path(sys.argv[1])):
    write_address(Path(sys.argv[1]), "http://127.0.0.1:1/mcp")
    print("held", flush=True)
    sys.stdin.read()
"""


def refusal(data: Path) -> DataDirUnavailable:
    with pytest.raises(DataDirUnavailable) as caught, owned(data):
        pass
    return caught.value


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o720, 0o702])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Nothing is written there, and the command in the message mends it."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    error = refusal(data)
    assert error.code == "data_exposed"
    assert list(data.iterdir()) == []
    command = error.message.split("`")[1]
    subprocess.run(command.split(), check=True)
    with owned(data):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750])
def test_a_directory_that_others_may_only_read_is_used(tmp_path: Path, mode: int) -> None:
    """What is secret in it has modes of its own."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    with owned(data):
        assert (data / "lock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Its owner could change everything in it, whatever its mode."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    os.chown(data, NOBODY, NOBODY)
    error = refusal(data)
    assert error.code == "data_exposed"
    assert "chmod 700" in error.message
    assert str(NOBODY) in error.message


def test_an_exposed_directory_stops_the_command(
    tmp_path: Path, start_colony: Callable[..., AbstractContextManager[RunningColony]]
) -> None:
    """`cenoby up` ends before it writes a key or a token, and says what to run."""
    data = tmp_path / "exposed"
    data.mkdir()
    data.chmod(0o777)
    with pytest.raises(AssertionError, match="chmod 700"), start_colony(data=data):
        pass
    assert list(data.iterdir()) == []


def test_a_colony_runs_where_its_lock_is_held(tmp_path: Path) -> None:
    """A file with an address, and the id of a process that lives, say nothing; the lock does."""
    data = tmp_path / "data"
    with owned(data):
        write_address(data, "http://127.0.0.1:1/mcp")
        assert find(data) == Address("http://127.0.0.1:1/mcp", os.getpid())
    for _ in range(2):
        with pytest.raises(DataDirUnavailable) as caught:
            find(data)
        assert caught.value.code == "colony_not_running"
    (data / "lock").unlink()
    with pytest.raises(DataDirUnavailable):
        find(data)


def test_a_killed_colony_is_not_found_though_its_id_lives_on(tmp_path: Path) -> None:
    """After kill -9 the address stays behind; no token is sent there, even when another process has the id."""
    data = tmp_path / "data"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert find(data).pid == holder.pid
        assert refusal(data).code == "data_locked"
        holder.kill()
    stale = msgspec.json.decode((data / "colony.json").read_bytes(), type=Address)
    (data / "colony.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(stale, pid=os.getpid())))
    with pytest.raises(DataDirUnavailable) as caught:
        find(data)
    assert caught.value.code == "colony_not_running"
    with owned(data):
        pass


@pytest.mark.parametrize("planted", ["file", "link"])
def test_the_token_of_stdio_goes_into_no_file_of_others(colony: RunningColony, tmp_path: Path, planted: str) -> None:
    """What stood in its place is not written to, nor believed: a new file takes the name, for its owner alone."""
    kept, other = colony.data / "stdio.token", tmp_path / "other"
    kept.unlink(missing_ok=True)
    other.write_text("planted")
    other.chmod(0o666)
    if planted == "link":
        kept.symlink_to(other)
    else:
        kept.hardlink_to(other)
    colony.cenoby("stdio")
    assert other.read_text() == "planted"
    assert not kept.is_symlink()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    made = kept.read_text()
    assert made.startswith("cby_")
    colony.cenoby("stdio")
    assert kept.read_text() == made
