"""The inside of a cell: load the tasks, lock in, serve one request, end. Started by `process.py` and never imported."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import msgspec

from cenoby.sandbox.confinement import confine
from cenoby.sandbox.frames import Broken, Ready, Reply, Request, Setup, frame, read_frame

_LONGEST_MESSAGE = 500

Task = Callable[..., Any]


def main() -> None:
    """Serve one call over what was standard input, and leave without any clean-up that could fail."""
    colony = _take_connection()
    tasks = _prepare(colony)
    body = read_frame(lambda size: os.read(colony, size)) if tasks else None
    if body is not None:
        _send(colony, _serve(tasks, msgspec.msgpack.decode(body, type=Request)))
    os._exit(0)


def _take_connection() -> int:
    # Tasks that print, or read standard input, must not meet the connection to the colony; and not every event loop
    # closes what a child would inherit.
    colony = os.dup(0)
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - pathlib is not loaded here
        if descriptor != colony:
            _close(descriptor)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in {0, 1, 2} - {nothing}:
        os.dup2(nothing, descriptor)
    return colony


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return  # the one that listed the directory is closed already


def _prepare(colony: int) -> dict[str, Task]:
    body = read_frame(lambda size: os.read(colony, size))
    if body is None:
        return {}
    try:
        setup = msgspec.msgpack.decode(body, type=Setup)
        tasks = {name: task for module in setup.modules for name, task in _tasks_of(module)}
        _send(colony, Ready(confine(setup)))
    except Exception as error:  # noqa: BLE001 - the process's outermost frame: the reason goes to the colony
        _send(colony, Broken(_describe(error)))
        return {}
    return tasks


def _tasks_of(module: str) -> list[tuple[str, Task]]:
    loaded = importlib.import_module(module)
    return [
        (f"{module}:{name}", task) for name, task in vars(loaded).items() if getattr(task, "__module__", "") == module
    ]


def _serve(tasks: dict[str, Task], request: Request) -> Reply:
    try:
        value = tasks[request.task](**request.arguments)
        return Reply(value=msgspec.Raw(msgspec.msgpack.encode(value)))
    except MemoryError:
        return Reply(failure="memory")
    except BaseException as error:  # noqa: BLE001 - whatever a task raises, SystemExit included, is its result
        return Reply(failure="task", message=_describe(error))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_MESSAGE]


def _send(colony: int, message: msgspec.Struct) -> None:
    rest = memoryview(frame(message))
    while rest:
        rest = rest[os.write(colony, rest) :]
