"""The data directory of a colony: who owns it, and where the running colony can be reached."""

from __future__ import annotations

import fcntl
import os
import stat
import time
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
        "data_exposed": "Others may change the data directory, or own it; the message has the command that mends it.",
        "colony_not_running": "No colony runs on the data directory; start one with `cenoby up`.",
    }


_LOOKS, _BETWEEN_LOOKS = 5, 0.02
"""Seconds between looks at a lock that a command may hold for a moment, to see whether a colony does."""


class Address(msgspec.Struct, frozen=True):
    """Where a running colony answers; DATA/colony.json holds it while the colony runs."""

    url: str
    pid: int


@contextmanager
def owned(data: Path) -> Generator[None]:
    """Own the data directory for as long as the block runs; made with mode 0700 where it is missing.

    Raises:
        DataDirUnavailable: another process owns it, others may change what is in it, or it cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_exposed(data)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirUnavailable("data_unusable", f"{data} cannot be used: {error.strerror}.") from None
    if not _lock(descriptor):
        os.close(descriptor)
        raise DataDirUnavailable("data_locked", f"A running colony owns {data}; stop it or use another --data.")
    try:
        yield
    finally:
        os.close(descriptor)


def _refuse_exposed(data: Path) -> None:
    # Whoever may write here may put a file or a link where a token or a key is about to be written.
    status = data.stat()
    if status.st_uid != os.geteuid():
        raise DataDirUnavailable(
            "data_exposed",
            f"{data} belongs to user {status.st_uid}, who could read and change all that the colony keeps. If what is "
            f"in it can be trusted, run `chown {os.geteuid()} {data} && chmod 700 {data}`.",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DataDirUnavailable(
            "data_exposed",
            f"{data} has mode {stat.S_IMODE(status.st_mode):04o}: others may change what is in it. If nobody did, run "
            f"`chmod 700 {data}`.",
        )


def _lock(descriptor: int) -> bool:
    for _ in range(_LOOKS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN_LOOKS)
        else:
            return True
    return False


def write_address(data: Path, url: str) -> None:
    """Write where the colony answers, for the commands that talk to it."""
    temporary = data / "colony.json.new"
    temporary.write_bytes(msgspec.json.encode(Address(url=url, pid=os.getpid())))
    temporary.replace(data / "colony.json")


def remove_address(data: Path) -> None:
    """The colony no longer answers there."""
    (data / "colony.json").unlink(missing_ok=True)


def find(data: Path) -> Address:
    """Where the colony on this data directory answers.

    Raises:
        DataDirUnavailable: none runs there.
    """
    try:
        address = msgspec.json.decode((data / "colony.json").read_bytes(), type=Address)
        runs = _is_locked(data / "lock")
    except (OSError, msgspec.DecodeError):
        runs, address = False, Address("", 0)
    if not runs:
        raise DataDirUnavailable(
            "colony_not_running", f"No colony runs on {data}; start one with `cenoby up --data {data}`."
        )
    return address


def is_owned(data: Path) -> bool:
    """Whether a process owns the data directory just now. Blocks for a moment."""
    try:
        return _is_locked(data / "lock")
    except OSError:
        return False


def _is_locked(lock: Path) -> bool:
    # The file with the address outlives a killed colony, and its process id may be another's by then; the lock is gone.
    descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
