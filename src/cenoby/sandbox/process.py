"""One cell: a process that serves one call and is then killed, with everything it may have started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

import msgspec

import cenoby
from cenoby.kernel.errors import Fault, Unavailable
from cenoby.sandbox.frames import HEADER_BYTES, Broken, Protections, Ready, Reply, Request, Setup, frame

_ENTRY = "import sys; sys.path += sys.argv[1:]; from cenoby.sandbox.inside import main; main()"
_LONGEST_GREETING = 64 * 1024
_SECONDS_TO_END = 1.0
_SECONDS_BETWEEN_LOOKS = 0.01


class SandboxError(Fault):
    """A call into a cell that did not end with a value; the cell is gone, the colony is untouched."""

    codes = {
        "sandbox_crashed": "The process ended without an answer (a crash of the parser, most likely on damaged input).",
        "sandbox_forbidden": "The process was ended because it asked the system for something that no cell may do.",
        "sandbox_memory": "The process needed more memory than `sandbox.memory_mb`.",
        "sandbox_timeout": "The process was killed at its deadline, or used up `sandbox.cpu_seconds`.",
        "sandbox_task_failed": "The task raised an error; the message holds it.",
        "sandbox_reply_invalid": "The answer is too large or cannot be understood.",
        "sandbox_task_unknown": "No module that this sandbox may load has such a task.",
    }


class SandboxUnavailable(Unavailable):
    """No cell can be had."""

    codes = {
        "sandbox_unavailable": "A cell cannot be started, or none became free in time.",
        "sandbox_protection_missing": "A protection that `sandbox.require` names, or that held before, does not hold.",
    }


class Cell:
    """A started cell. Make it with `Cell.start`, use `call` once, and always `kill` it."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.protections = Protections(False, None, False, 0, False)

    @property
    def pid(self) -> int:
        """Its process id, which is its process group's too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs; asks the system, which knows before the event loop does."""
        if self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    @classmethod
    async def start(cls, setup: Setup, search_path: Sequence[str]) -> Cell:
        """Start a process and wait until it has locked itself in.

        Raises:
            SandboxUnavailable: it did not start, could not load its tasks, or could not lock itself in.
        """
        cell = await cls._spawn(search_path)
        try:
            await cell._write(setup)
            cell.protections = await cell._greeting()
        except BaseException:
            await cell.kill()
            raise
        return cell

    @classmethod
    async def _spawn(cls, search_path: Sequence[str]) -> Cell:
        # One socket pair instead of the loop's own pipes: the same on every loop, and nothing else inside to write to.
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-X", "utf8", "-c", _ENTRY, *search_path,
                stdin=theirs.fileno(), stdout=DEVNULL, stderr=DEVNULL, env={}, cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            ours.close()
            raise SandboxUnavailable(
                "sandbox_unavailable", f"The system starts no process: {error.strerror}.", retry_after=1.0
            ) from error
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            return cls(process, *await asyncio.open_unix_connection(sock=ours))
        except BaseException:
            # Nobody would know of the process any more: its caller went away between its start and its first word.
            ours.close()
            process.kill()
            await process.wait()
            raise

    async def call(self, request: Request, max_bytes: int) -> msgspec.Raw:
        """Send the request and return the encoded value of the reply.

        Raises:
            SandboxError: any end but a value.
        """
        await self._write(request)
        body = await self._read(max_bytes)
        if body is None:
            raise await self._explain_end()
        try:
            reply = msgspec.msgpack.decode(body, type=Reply)
        except (msgspec.DecodeError, RecursionError) as error:
            raise SandboxError("sandbox_reply_invalid", f"The cell's answer cannot be understood: {error}.") from None
        if reply.failure == "memory":
            raise _out_of_memory()
        if reply.failure:
            raise SandboxError("sandbox_task_failed", reply.message)
        return reply.value

    async def kill(self) -> None:
        """End the whole process group and wait until nothing of it is left.

        Raises:
            SandboxUnavailable: something of it survives, which only the operator can end.
        """
        self._signal()
        self._writer.close()
        await self._process.wait()
        looks = round(_SECONDS_TO_END / _SECONDS_BETWEEN_LOOKS)
        while self._signal() and await asyncio.to_thread(_has_living, self.pid):
            if looks == 0:
                raise SandboxUnavailable(
                    "sandbox_unavailable", f"Process group {self.pid} does not end; end it with kill -9 -{self.pid}."
                )
            looks -= 1
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    def _signal(self) -> bool:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    async def _greeting(self) -> Protections:
        body = await self._read(_LONGEST_GREETING)
        if body is None:
            error = await self._explain_end()
            raise SandboxUnavailable("sandbox_unavailable", f"A cell ended while it started: {error.message}")
        said = msgspec.msgpack.decode(body, type=Ready | Broken)
        if isinstance(said, Broken):
            raise SandboxUnavailable("sandbox_unavailable", f"A cell could not lock itself in: {said.reason}.")
        return said.protections

    async def _write(self, message: msgspec.Struct) -> None:
        try:
            self._writer.write(frame(message))
            await self._writer.drain()
        except ConnectionError:
            return  # it has ended; the reading side learns how

    async def _read(self, max_bytes: int) -> bytes | None:
        try:
            size = int.from_bytes(await self._reader.readexactly(HEADER_BYTES), "big")
            if size > max_bytes:
                raise SandboxError("sandbox_reply_invalid", f"The cell's answer is larger than {max_bytes} bytes.")
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def _explain_end(self) -> SandboxError:
        try:
            async with asyncio.timeout(_SECONDS_TO_END):
                status = await self._process.wait()
        except TimeoutError:
            return SandboxError("sandbox_crashed", "The cell closed its connection without an answer.")
        if status == -signal.SIGSYS:
            return SandboxError("sandbox_forbidden", "The task asked the system for something that no cell may do.")
        if status == -signal.SIGXCPU:
            return SandboxError("sandbox_timeout", "The task used up its processor time (sandbox.cpu_seconds).")
        if status == -signal.SIGKILL:
            return _out_of_memory()
        return SandboxError("sandbox_crashed", f"The cell ended without an answer ({_name_status(status)}).")


def search_path() -> list[str]:
    """Where a cell looks for modules, beside the standard library: the colony's own path, Cenoby's place first."""
    own = str(Path(cenoby.__file__).parent.parent)
    return [own, *(place for place in sys.path if place and place != own and Path(place).is_dir())]


def _has_living(group: int) -> bool:
    """Whether a process of `group` still runs; dead ones that nobody has collected (no init in a container) do not."""
    if not Path("/proc/self/stat").exists():
        return True
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = status.read_text().rsplit(") ", 1)[1].split()[:3]
        except (OSError, IndexError):
            continue  # it ended while we looked
        if int(found) == group and state not in "ZX":
            return True
    return False


def _out_of_memory() -> SandboxError:
    return SandboxError("sandbox_memory", "The task needed more memory than a cell has (sandbox.memory_mb).")


def _name_status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
