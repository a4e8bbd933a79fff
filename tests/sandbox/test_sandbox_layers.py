"""Each protection alone: taking one away leaves the others, and what is missing is said."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cenoby.kernel.settings import SandboxSettings
from cenoby.sandbox.cell import Sandbox, unused_uids
from cenoby.sandbox.frames import Protections, Request, Setup
from cenoby.sandbox.process import Cell, SandboxError, SandboxUnavailable, search_path
from cenoby.sandbox.syscalls import MACHINES, seccomp_filter

TASKS = "hostile_tasks"
PLACES = [*search_path(), str(Path(__file__).parent)]
ALLOW_ALL = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)

root_only = pytest.mark.skipif(unused_uids() is None, reason="needs root on Linux, with other user ids to change to")
not_bare_root = pytest.mark.skipif(
    unused_uids() is None and os.getuid() == 0, reason="root without other user ids starts no cell without seccomp"
)


def setup(**changes: Any) -> Setup:
    uids = unused_uids()
    base = Setup(
        parent=os.getpid(),
        modules=(TASKS,),
        memory_bytes=256 << 20,
        cpu_seconds=10,
        uid=uids[0] + 7 if uids else None,
        seccomp=seccomp_filter(),
    )
    return msgspec.structs.replace(base, **changes)


async def in_cell(made: Setup, task: str, **arguments: Any) -> Any:
    cell = await Cell.start(made, PLACES)
    try:
        return msgspec.msgpack.decode(await cell.call(Request(f"{TASKS}:{task}", arguments), 1 << 20))
    finally:
        await cell.kill()


async def error_in_cell(made: Setup, task: str, **arguments: Any) -> SandboxError:
    with pytest.raises(SandboxError) as caught:
        await in_cell(made, task, **arguments)
    return caught.value


async def held(made: Setup) -> Protections:
    cell = await Cell.start(made, PLACES)
    await cell.kill()
    return cell.protections


@root_only
async def test_without_seccomp_the_limit_of_processes_still_holds() -> None:
    """An unused user id makes RLIMIT_NPROC bind, also for a colony of root."""
    error = await error_in_cell(setup(seccomp=None), "fork_bomb")
    assert error.code == "sandbox_task_failed"
    assert "BlockingIOError" in error.message


@root_only
async def test_without_seccomp_landlock_shuts_files_and_network() -> None:
    """World-readable files, TCP on loopback and signals to the colony are shut by Landlock alone."""
    made = setup(seccomp=None)
    version = (await held(made)).landlock
    if version < 1:
        pytest.skip("this kernel has no Landlock")
    assert "PermissionError" in (await error_in_cell(made, "read_file", path="/etc/passwd")).message
    if version >= 4:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        assert await in_cell(made, "connect", port=server.sockets[0].getsockname()[1]) == errno.EACCES
        server.close()
    assert "PermissionError" in (await error_in_cell(made, "signal_process", pid=os.getpid())).message


@root_only
async def test_without_both_the_unused_user_reads_nothing_private(tmp_path: Path) -> None:
    """What only its owner may read stays unreadable, and supplementary groups are gone."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    made = setup(seccomp=None, landlock=False)
    assert "PermissionError" in (await error_in_cell(made, "read_file", path=str(secret))).message
    assert "PermissionError" in (await error_in_cell(made, "become_root")).message
    assert await held(made) == Protections(
        rlimits=True, uid=made.uid, no_new_privileges=True, landlock=0, seccomp=False
    )


async def test_without_landlock_no_descriptor_signals_another_process() -> None:
    """fcntl cannot make the kernel signal a process of the same user, on kernels whose Landlock does not stop that."""
    made = setup(uid=None, landlock=False)
    if made.seccomp is None or not (await held(made)).seccomp:
        pytest.skip("this system has no filter")
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        assert await in_cell(made, "signal_by_descriptor", pid=victim.pid) == ["EPERM"] * 4
        await asyncio.sleep(0.1)
        assert victim.returncode is None
    finally:
        victim.kill()
        await victim.wait()
    assert "PermissionError" in (await error_in_cell(made, "duplicate")).message


@root_only
async def test_root_without_another_user_and_filter_does_not_start() -> None:
    """A cell never runs as root with nothing but rlimits, which do not bind root."""
    with pytest.raises(SandboxUnavailable) as caught:
        await in_cell(setup(uid=None, seccomp=None), "echo", value=1)
    assert caught.value.code == "sandbox_unavailable"
    assert "root" in caught.value.message


@root_only
async def test_root_that_cannot_change_user_still_has_no_capabilities() -> None:
    """With the filter but no other id (a container with one user), the cell works and says that the id is missing."""
    made = setup(uid=None)
    assert await in_cell(made, "echo", value=1) == 1
    assert (await held(made)).missing(["uid", "seccomp"]) == ["uid"]


@root_only
async def test_children_of_a_cell_are_killed_with_it() -> None:
    """Where a fork did pass, the process group takes the child along, whatever signals it ignores."""
    made = setup(uid=None, seccomp=ALLOW_ALL)
    child = await in_cell(made, "fork_and_hang")
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().rsplit(") ", 1)[1].startswith("Z")


async def test_a_cell_of_a_gone_colony_does_not_start() -> None:
    """A cell whose parent is not the colony that asked for it gives up."""
    if not Path("/proc").exists():
        pytest.skip("Linux only")
    with pytest.raises(SandboxUnavailable) as caught:
        await in_cell(setup(parent=1), "echo", value=1)
    assert "ended" in caught.value.message


@not_bare_root
async def test_what_is_required_and_missing_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without seccomp, `require: [seccomp]` refuses by name, and no requirement means a line that says NO."""
    monkeypatch.setattr("cenoby.sandbox.cell.seccomp_filter", lambda: None)
    strict = Sandbox(SandboxSettings(require=["seccomp"]), modules=[TASKS], places=PLACES)
    for attempt in (strict.protections(), strict.call(f"{TASKS}:echo", {"value": 1})):
        with pytest.raises(SandboxUnavailable) as caught:
            await attempt
        assert caught.value.code == "sandbox_protection_missing"
        assert "seccomp" in caught.value.message
    lax = Sandbox(SandboxSettings(), modules=[TASKS], places=PLACES)
    assert "seccomp NO" in (await lax.protections()).line()
    await strict.close()
    await lax.close()


@not_bare_root
async def test_a_later_cell_must_not_hold_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """What held at the start must hold for every later cell: no silent degrading."""
    if seccomp_filter() is None:
        pytest.skip("no filter for this architecture")
    cells = Sandbox(SandboxSettings(), modules=[TASKS], places=PLACES)
    if not (await cells.protections()).seccomp:
        pytest.skip("this kernel has no seccomp")
    monkeypatch.setattr(cells, "_filter", None)
    with pytest.raises(SandboxUnavailable) as caught:
        await cells.call(f"{TASKS}:echo", {"value": 1})
    assert caught.value.code == "sandbox_protection_missing"
    await cells.close()


def test_the_report_names_what_holds() -> None:
    """The start-up line and the comparison agree with the fields."""
    full = Protections(rlimits=True, uid=70_000, no_new_privileges=True, landlock=7, seccomp=True)
    bare = Protections(rlimits=True, uid=None, no_new_privileges=True, landlock=0, seccomp=False)
    assert full.line().endswith("unused uid 70000, no new privileges yes, landlock v7, seccomp yes")
    assert "landlock NO" in bare.line()
    assert full.as_strong_as(bare)
    assert not bare.as_strong_as(full)
    assert bare.missing(["landlock", "seccomp", "uid"]) == ["landlock", "seccomp", "uid"]
    assert full.missing(["landlock", "seccomp", "uid"]) == []


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_filters_are_well_formed(machine: str) -> None:
    """Every jump lands inside the program, and the last instruction ends the process."""
    code = seccomp_filter(machine)
    assert code is not None
    program = [struct.unpack_from("<HBBI", code, offset) for offset in range(0, len(code), 8)]
    assert len(program) < 4096
    for place, (_, if_true, if_false, _) in enumerate(program):
        assert place + 1 + max(if_true, if_false) < len(program) or place == len(program) - 1
    assert program[-1] == (0x06, 0, 0, 0x80000000)


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_filters_decide_as_listed(machine: str) -> None:
    """Interpreted here, a filter allows reading, fails opening, refuses executable memory, and ends all else."""
    numbers, audit = MACHINES[machine].numbers, MACHINES[machine].audit
    allow, kill = 0x7FFF0000, 0x80000000
    assert decide(machine, audit, numbers["read"]) == allow
    assert decide(machine, audit, numbers["mmap"], 3) == allow
    assert decide(machine, audit, numbers["mmap"], 7) == 0x50000 | errno.EPERM
    assert decide(machine, audit, numbers["openat"]) == 0x50000 | errno.EACCES
    assert decide(machine, audit, 600) == kill
    for command in range(2048):
        expected = allow if command in (fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL) else 0x50000 | errno.EPERM
        assert decide(machine, audit, numbers["fcntl"], second=command) == expected
    assert decide(machine, audit ^ 1, numbers["read"]) == kill
    assert decide(machine, audit, numbers["read"] | 0x40000000) == kill
    named = set(numbers.values())
    for number in range(500):
        assert number in named or decide(machine, audit, number) == kill


def test_an_unknown_machine_has_no_filter() -> None:
    """No filter is better than a wrong one; the report then says NO."""
    assert seccomp_filter("sparc64") is None


def decide(machine: str, audit: int, number: int, third: int = 0, *, second: int = 0) -> int:
    """A small interpreter of the instructions that the filters use."""
    code = seccomp_filter(machine)
    assert code is not None
    data = {0: number, 4: audit, 24: second, 32: third}
    place = word = 0
    while True:
        operation, if_true, if_false, operand = struct.unpack_from("<HBBI", code, place * 8)
        place += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            word = data[operand]
            continue
        holds = {0x15: word == operand, 0x35: word >= operand, 0x45: bool(word & operand)}[operation]
        place += if_true if holds else if_false
