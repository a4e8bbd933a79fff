"""How a process locks itself in: limits, another user, no privileges, Landlock, seccomp. Runs inside the cell.

Each step is irreversible, and each is checked by its effect, so that what a cell reports is what holds.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource

from cenoby.sandbox.frames import Protections, Setup

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 4, 38, 22
_SECCOMP_MODE_FILTER = 2
_SIGKILL = 9
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_LANDLOCK_VERSION_FLAG = 1
# Access rights of the file system by interface version (linux/landlock.h): 13 in the first, then one more each.
_LANDLOCK_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_LANDLOCK_ALL_FILE_RIGHTS = 16
_LANDLOCK_NETWORK_SINCE, _LANDLOCK_SCOPE_SINCE = 4, 6
_CAPABILITY_VERSION_3 = 0x20080522
_OPEN_FILES = 16


class Unconfined(Exception):
    """The cell could not reach the least that it needs to run at all."""


def confine(setup: Setup) -> Protections:
    """Give up everything this process does not need. Afterwards it can open nothing, start nothing and signal nobody.

    Raises:
        Unconfined: it would go on as root with neither another user id nor a system call filter.
    """
    libc = ctypes.CDLL(None, use_errno=True) if platform.system() == "Linux" else None
    rlimits = _limit(setup)
    uid = _change_user(setup.uid)
    no_new_privileges = libc is not None and _give_up_privileges(libc, setup.parent)
    landlock = _landlock(libc) if libc is not None and setup.landlock and no_new_privileges else 0
    seccomp = bool(libc is not None and setup.seccomp and no_new_privileges and _seccomp(libc, setup.seccomp))
    if uid is None and not seccomp and hasattr(os, "getuid") and os.getuid() == 0:
        raise Unconfined("it would stay root without a system call filter; run the colony as another user")
    return Protections(
        rlimits=rlimits, uid=uid, no_new_privileges=no_new_privileges, landlock=landlock, seccomp=seccomp
    )


def _limit(setup: Setup) -> bool:
    limits = {
        resource.RLIMIT_AS: setup.memory_bytes,
        resource.RLIMIT_CPU: setup.cpu_seconds,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    held = [_limit_one(kind, value) for kind, value in limits.items()]
    return all(held)


def _limit_one(kind: int, value: int) -> bool:
    ceiling = resource.getrlimit(kind)[1]
    # One second between the soft limit, whose signal names the cause, and the hard one, which cannot be caught.
    hard = value + 1 if kind == resource.RLIMIT_CPU else value
    if ceiling != resource.RLIM_INFINITY:
        hard = min(hard, ceiling)
    try:
        resource.setrlimit(kind, (min(value, hard), hard))
    except (ValueError, OSError):
        return False  # some systems know a limit and do not take it; the report says so
    return True


def _change_user(uid: int | None) -> int | None:
    if uid is None:
        return None
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (uid,) * 3 or os.getgroups():
        raise Unconfined(f"the change to user id {uid} did not hold")
    return uid


def _give_up_privileges(libc: ctypes.CDLL, parent: int) -> bool:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    if libc.capset(header, none) != 0:
        raise Unconfined("its capabilities cannot be given up")
    # After the change of user, which clears this.
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise Unconfined("the colony ended meanwhile")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0


def _landlock(libc: ctypes.CDLL) -> int:
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION_FLAG)
    if version < 1:
        return 0
    files = (1 << _LANDLOCK_FILE_RIGHTS.get(version, _LANDLOCK_ALL_FILE_RIGHTS)) - 1
    network = 0b11 if version >= _LANDLOCK_NETWORK_SINCE else 0
    scope = 0b11 if version >= _LANDLOCK_SCOPE_SINCE else 0
    fields = (ctypes.c_uint64 * 3)(files, network, scope)
    size = 8 * (1 + (network > 0) + (scope > 0))
    ruleset = libc.syscall(_LANDLOCK_CREATE, fields, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return 0
    restricted = libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)
    return version if restricted == 0 and _cannot_open("/") else 0


def _cannot_open(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return True
    return False


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def _seccomp(libc: ctypes.CDLL, instructions: bytes) -> bool:
    program = _Program(len(instructions) // 8, instructions)
    return libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0
