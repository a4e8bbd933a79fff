"""The data directory of a colony: who owns it, and where the running colony can be reached."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cenoby.kernel.errors import Unavailable


class DataDirUnavailable(Unavailable):
    """The data directory cannot be used just now."""

    codes = {
        "data_locked": "Another colony owns the data directory; stop it, or choose another with --data.",
        "data_unusable": "The data directory cannot be made or written; choose another with --data.",
        "colony_not_running": "No colony runs on the data directory; start one with `cenoby up`.",
    }


class Address(msgspec.Struct, frozen=True):
    """Where a running colony answers; DATA/colony.json holds it while the colony runs."""

    url: str
    pid: int


@contextmanager
def owned(data: Path) -> Generator[None]:
    """Own the data directory for as long as the block runs; made with mode 0700 where it is missing.

    Raises:
        DataDirUnavailable: another process owns it, or it cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirUnavailable("data_unusable", f"{data} cannot be used: {error.strerror}.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataDirUnavailable(
            "data_locked", f"A running colony owns {data}; stop it or use another --data."
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def announce(data: Path, url: str) -> None:
    """Write where the colony answers, for the commands that talk to it."""
    temporary = data / "colony.json.new"
    temporary.write_bytes(msgspec.json.encode(Address(url=url, pid=os.getpid())))
    temporary.replace(data / "colony.json")


def withdraw(data: Path) -> None:
    """The colony no longer answers."""
    (data / "colony.json").unlink(missing_ok=True)


def find(data: Path) -> Address:
    """Where the colony on this data directory answers.

    Raises:
        DataDirUnavailable: none runs there.
    """
    try:
        address = msgspec.json.decode((data / "colony.json").read_bytes(), type=Address)
        os.kill(address.pid, 0)
    except (OSError, msgspec.DecodeError):
        raise DataDirUnavailable(
            "colony_not_running", f"No colony runs on {data}; start one with `cenoby up --data {data}`."
        ) from None
    return address
