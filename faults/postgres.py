"""A PostgreSQL of the suite's own, which it may restart."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

from bench.servers import free_port
from tests.conftest import missing

USER = "postgres"


class PrivatePostgres:
    """A cluster in a folder.

    Args:
        programs: where `pg_ctl` is.
        folder: its data.
        port: where it listens.
    """

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self._programs = programs
        self._folder = folder
        self._port = port
        self._numbers = itertools.count()

    def new_url(self) -> str:
        """URL of a new, empty database."""
        name = f"colony_{next(self._numbers)}"
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", USER, name)
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{name}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.run(*self._control, "-o", f"-p {self._port} -k '' -h 127.0.0.1", "-l", str(self._folder / "log"), "start")

    def crash(self) -> None:
        """End it without a word to anybody; the next start recovers from its log."""
        self.run(*self._control, "-m", "immediate", "stop")

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs; root is not let in, so root's are run as `postgres`."""
        command = [str(self._programs / program), *arguments]
        user = USER if os.geteuid() == 0 else None
        done = subprocess.run(
            command, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr}")

    @property
    def _control(self) -> tuple[str, ...]:
        return "pg_ctl", "-D", str(self._folder), "-w", "-s"


@contextlib.contextmanager
def private_postgres(folder: Path) -> Generator[PrivatePostgres]:
    """A cluster on a free port of 127.0.0.1, gone when this ends."""
    # Debian keeps a version's programs together in a place of their own, which is not on PATH.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if on_path := shutil.which("initdb"):
        found = found or [Path(on_path)]
    if not found:
        missing("postgres", "PostgreSQL's initdb is not installed")
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    server = PrivatePostgres(found[-1].parent, folder, free_port())
    # Synced here, so that a start after a crash is not one of the whole folder's sync.
    server.run("initdb", "-D", str(folder), "-U", USER, "-A", "trust")
    server.start()
    try:
        yield server
    finally:
        server.crash()
