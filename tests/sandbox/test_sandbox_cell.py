"""Hostile tasks in real cells: every end is a typed error, and nothing outlives its call."""

from __future__ import annotations

import asyncio
import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import SandboxSettings
from cenoby.sandbox.cell import Sandbox, unused_uids
from cenoby.sandbox.process import SandboxError, SandboxUnavailable, search_path

TASKS = "hostile_tasks"
PLACES = [*search_path(), str(Path(__file__).parent)]


def sandbox(**changes: Any) -> Sandbox:
    settings = SandboxSettings.model_validate({"timeout": 20, "cpu_seconds": 10, "memory_mb": 256} | changes)
    return Sandbox(settings, modules=[TASKS], places=PLACES, max_bytes=1_000_000)


@pytest.fixture
async def cells() -> AsyncIterator[Sandbox]:
    made = sandbox()
    yield made
    await made.close()


async def run(cells: Sandbox, task: str, **arguments: Any) -> Any:
    return await cells.call(f"{TASKS}:{task}", arguments)


async def failure(cells: Sandbox, task: str, **arguments: Any) -> CenobyError:
    with pytest.raises((SandboxError, SandboxUnavailable)) as caught:
        await run(cells, task, **arguments)
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - processes come and go without telling us
        await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_values_pass_both_ways(cells: Sandbox) -> None:
    """Plain values and bytes arrive as they were sent."""
    value = {"text": "ö\u2028", "bytes": b"\x00\xff" * 100_000, "list": [1, 2.5, None, True, {"deep": [-1]}]}
    assert await run(cells, "echo", value=value) == value


async def test_every_call_has_a_process_of_its_own(cells: Sandbox) -> None:
    """Two calls, two processes, and neither is there afterwards."""
    first, second = await run(cells, "whoami"), await run(cells, "whoami")
    assert first["pid"] != second["pid"]
    assert is_gone(first["pid"])
    assert is_gone(second["pid"])


@pytest.mark.parametrize("loops", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_cell_inherits_nothing(monkeypatch: pytest.MonkeyPatch, loops: Callable[[], AbstractEventLoop]) -> None:
    """No environment, no descriptors but its connection and /dev/null, no site packages' start-up code; on any loop."""
    monkeypatch.setenv("CENOBY_TOKEN", "secret")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)

    async def look() -> Any:
        cells = sandbox()
        try:
            return await run(cells, "whoami")
        finally:
            await cells.close()

    with asyncio.Runner(loop_factory=loops) as runner:
        inside = runner.run(look())
    os.close(reader)
    os.close(writer)
    assert set(inside["environment"]) <= {"LC_CTYPE"}
    assert inside["descriptors"] == [0, 1, 2, 3]
    assert inside["flags"] == [1, 1]


@pytest.mark.skipif(unused_uids() is None, reason="only real root can change to another user")
async def test_a_cell_of_root_runs_as_nobody_else(cells: Sandbox) -> None:
    """As root, each cell gets a user id that no account and no other cell has."""
    uids = [(await run(cells, "whoami"))["uids"] for _ in range(2)]
    assert uids[0] != uids[1]
    for ids in uids:
        assert len(set(ids)) == 1
        assert ids[0] > 60_000


async def test_printing_does_not_disturb_the_answer(cells: Sandbox) -> None:
    """Standard input and output inside are not the RPC."""
    assert await run(cells, "say", text="\x00\x00\x00\x04junk" * 100) == "said"


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ("leave", "sandbox_task_failed"),
        ("recurse", "sandbox_task_failed"),
        ("leave_at_once", "sandbox_crashed"),
        ("crash", "sandbox_crashed"),
        ("abort", "sandbox_crashed"),
        ("eat_memory", "sandbox_memory"),
        ("eat_memory_at_once", "sandbox_memory"),
        ("eat_memory_in_c", "sandbox_crashed"),
    ],
)
async def test_crashes_and_memory_bombs_are_typed_errors(cells: Sandbox, task: str, code: str) -> None:
    """Whatever ends the process, the caller gets a code, and the next call works."""
    assert (await failure(cells, task)).code == code
    assert await run(cells, "echo", value=1) == 1


@pytest.mark.parametrize(
    "task",
    ["fork_bomb", "fork_once", "start_thread", "start_program", "exec_program", "become_root", "raise_limits",
     "run_bytes_as_code"],
)  # fmt: skip
async def test_nothing_can_be_started_or_gained(cells: Sandbox, task: str) -> None:
    """Fork bombs, threads, programs, privileges and code made of data: refused by one layer or another."""
    assert (await failure(cells, task)).code in {"sandbox_forbidden", "sandbox_task_failed"}


async def test_a_fork_bomb_ends_at_its_first_fork(cells: Sandbox) -> None:
    """Nothing that the bomb started is left."""
    held = await cells.protections()
    if not held.seccomp:
        pytest.skip("this kernel has no seccomp")
    error = await failure(cells, "fork_bomb")
    assert error.code == "sandbox_forbidden"


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", __file__, "/proc/1/mem"])
async def test_no_file_can_be_read(cells: Sandbox, path: str) -> None:
    """Not even a world-readable file, nor the module that the task came from."""
    held = await cells.protections()
    if not (held.seccomp or held.landlock):
        pytest.skip("this kernel has neither seccomp nor Landlock")
    error = await failure(cells, "read_file", path=path)
    assert error.code == "sandbox_task_failed"
    assert "PermissionError" in error.message


async def test_no_file_can_be_written_or_listed(cells: Sandbox, tmp_path: Path) -> None:
    """A directory that everybody may write to stays untouched."""
    tmp_path.chmod(0o777)
    for task, path in (("write_file", tmp_path / "x"), ("list_directory", tmp_path)):
        assert (await failure(cells, task, path=str(path))).code == "sandbox_task_failed"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", [1, 2, 10, 16])
async def test_no_socket_of_any_family(cells: Sandbox, family: int) -> None:
    """Unix, IPv4, IPv6 and netlink sockets cannot be made."""
    if not (await cells.protections()).seccomp:
        pytest.skip("this kernel has no seccomp")
    assert (await failure(cells, "open_socket", family=family)).code == "sandbox_forbidden"


# ptrace, process_vm_readv, mount, unshare, setns, bpf, perf_event_open, keyctl, io_uring, userfaultfd, memfd_create
@pytest.mark.parametrize("number", [101, 310, 165, 272, 308, 321, 298, 250, 425, 323, 319])
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
async def test_dangerous_system_calls_end_the_process(cells: Sandbox, number: int) -> None:
    """What escapes are made of is not an error inside: it is the end."""
    if not (await cells.protections()).seccomp:
        pytest.skip("this kernel has no seccomp")
    assert (await failure(cells, "call_system", number=number)).code == "sandbox_forbidden"


async def test_the_colony_cannot_be_signalled(cells: Sandbox) -> None:
    """A cell that tries to kill its parent gets an error, and the parent is there to see it."""
    assert (await failure(cells, "signal_process", pid=os.getpid())).code == "sandbox_task_failed"


async def test_hanging_cells_are_killed_at_the_deadline() -> None:
    """Sleeping with signals ignored, and closing the connection to hide, end in bounded time with a typed error."""
    cells = sandbox(timeout=0.5)
    for task, code in (("hang_deaf", "sandbox_timeout"), ("disconnect_and_hang", "sandbox_timeout")):
        error = await failure(cells, task)
        assert error.code in {code, "sandbox_crashed"}
    await cells.close()


async def test_processor_time_is_limited_apart_from_the_deadline() -> None:
    """A busy loop ends when its processor time is used up, long before its deadline."""
    cells = sandbox(cpu_seconds=1)
    error = await failure(cells, "spin")
    assert error.code == "sandbox_timeout"
    assert "processor" in error.message
    await cells.close()


async def test_a_cancelled_call_leaves_no_process() -> None:
    """The caller goes away: so does the cell."""
    cells = sandbox()
    before = _children()
    call = asyncio.create_task(run(cells, "hang"))
    await until(lambda: bool(_children() - before))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await cells.close()
    assert _children() - before == set()


async def test_a_call_cancelled_while_its_cell_starts_leaves_no_process() -> None:
    """Whatever step of a start its caller goes away in, between the fork and the first word, the process ends."""
    cells = sandbox()
    before = _children()
    for steps in range(40):
        call = asyncio.create_task(run(cells, "hang"))
        await until(lambda: bool(_children() - before))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await cells.close()
    assert _children() - before == set()


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.parametrize("kind", ["garbage", "huge", "endless", "short", "deep", "wrong", "empty"])
async def test_nonsense_on_the_wire_is_a_typed_error(cells: Sandbox, kind: str) -> None:
    """A cell that was taken over cannot confuse the colony with what it sends."""
    assert (await failure(cells, "answer_nonsense", kind=kind)).code in {"sandbox_reply_invalid", "sandbox_crashed"}
    assert await run(cells, "echo", value="next") == "next"


async def test_an_answer_above_the_limit_is_not_read(cells: Sandbox) -> None:
    """One byte over the limit is refused; within it all is well."""
    assert len(await run(cells, "answer_much", size=900_000)) == 900_000
    assert (await failure(cells, "answer_much", size=1_000_001)).code == "sandbox_reply_invalid"


async def test_what_a_task_raises_is_told_in_bounded_length(cells: Sandbox) -> None:
    """The error's type and text arrive, cut to a sensible length."""
    error = await failure(cells, "fail", message="the page is odd")
    assert error.code == "sandbox_task_failed"
    assert error.message == "ValueError: the page is odd"
    assert len((await failure(cells, "fail", message="x" * 100_000)).message) <= 500


@pytest.mark.parametrize(
    "task",
    ["hostile_tasks:no_such", "hostile_tasks:os", "hostile_tasks:LIBC", "hostile_tasks", "hostile_tasks:_framed.x"],
)
async def test_only_functions_of_the_module_itself_are_tasks(cells: Sandbox, task: str) -> None:
    """Names that a module imported, and names that it lacks, cannot be called."""
    with pytest.raises(SandboxError) as caught:
        await cells.call(task, {})
    assert caught.value.code in {"sandbox_task_failed", "sandbox_task_unknown"}


async def test_modules_that_are_not_listed_are_not_loaded(cells: Sandbox) -> None:
    """The list of modules is the list."""
    for task in ("os:system", "subprocess:run", "hostile_tasks.os:system"):
        with pytest.raises(SandboxError) as caught:
            await cells.call(task, {"command": "true"})
        assert caught.value.code == "sandbox_task_unknown"


async def test_a_module_that_does_not_load_says_why() -> None:
    """A missing module is reported as it is, and leaves no process."""
    before = _children()
    cells = Sandbox(SandboxSettings(), modules=["no_such_module"], places=PLACES)
    with pytest.raises(SandboxUnavailable) as caught:
        await cells.call("no_such_module:f", {})
    assert caught.value.code == "sandbox_unavailable"
    assert "no_such_module" in caught.value.message
    await cells.close()
    assert _children() == before


async def test_cells_at_work_are_limited_and_waiting_is_bounded() -> None:
    """With one cell at work, the next call waits, and gives up at its deadline with `retry_after`."""
    cells = sandbox(cells=1)
    busy = asyncio.create_task(run(cells, "hang"))
    await asyncio.sleep(0.05)
    with pytest.raises(SandboxUnavailable) as caught:
        await cells.call(f"{TASKS}:echo", {"value": 1}, timeout=0.2)
    assert caught.value.code == "sandbox_unavailable"
    assert caught.value.retry_after
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    assert await run(cells, "echo", value=1) == 1
    await cells.close()


async def test_many_calls_at_once_all_end() -> None:
    """Good and bad calls side by side do not disturb each other."""
    cells = sandbox(cells=4)
    tasks = [run(cells, "echo", value=n) if n % 3 else run(cells, "crash") for n in range(30)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await cells.close()
    for n, result in enumerate(results):
        assert result == n if n % 3 else isinstance(result, SandboxError)


async def test_an_idle_sandbox_has_no_process() -> None:
    """None before the first call, one spare after it, none again a while later or after close."""
    settings = SandboxSettings(memory_mb=256)
    cells = Sandbox(settings, modules=[TASKS], places=PLACES, spare_seconds=0.2)
    before = _children()
    assert await run(cells, "echo", value=1) == 1
    await until(lambda: len(_children() - before) == 1)
    await until(lambda: not (_children() - before))
    assert await run(cells, "echo", value=2) == 2
    await cells.close()
    assert _children() - before == set()


async def test_a_spare_that_died_is_not_used(cells: Sandbox) -> None:
    """A spare killed from outside costs the next call nothing but a fresh start."""
    before = _children()
    await run(cells, "echo", value=1)
    await until(lambda: len(_children() - before) == 1)
    (spare,) = _children() - before
    os.kill(spare, 9)
    await until(lambda: is_gone(spare))
    assert await run(cells, "echo", value=2) == 2
