"""The system calls that a cell may make, compiled into a seccomp filter (classic BPF, seccomp(2)).

By then everything is imported and read: a cell computes, waits on its pipe and ends. What it needs is allowed; what
harmless code asks for out of habit gets an ordinary error; anything else ends the process at once. Memory is never
made executable.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

_LOAD_WORD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 24, 32
_PROT_EXEC = 4
# F_GETFD, F_SETFD, F_GETFL. F_SETOWN, F_SETSIG and O_ASYNC would have the kernel send any signal to any process of the
# user, without the cell calling `kill`; Landlock stops that only since Linux 6.12.
_DESCRIPTOR_COMMANDS = (1, 2, 3)
_X32_BIT = 0x40000000

_ALLOWED = (
    "read", "write", "futex", "munmap", "brk", "mremap", "madvise", "close", "lseek", "fstat", "readv", "writev",
    "poll", "ppoll", "select", "pselect6", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    "restart_syscall", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "times",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "getrlimit", "sysinfo",
    "uname", "getrandom", "sched_yield", "sched_getaffinity", "mincore", "membarrier", "rseq", "set_robust_list",
    "exit", "exit_group",
)  # fmt: skip
_NOT_EXECUTABLE = ("mmap", "mprotect")
_FAILING = {
    errno.EACCES: (
        "open", "openat", "openat2", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2",
        "readlink", "readlinkat", "getdents", "getdents64", "getcwd",
    ),
    errno.EPERM: (
        "kill", "tkill", "tgkill", "prctl", "arch_prctl", "prlimit64", "dup", "dup2", "dup3", "pipe", "pipe2",
    ),
    errno.ENOTTY: ("ioctl",),
}  # fmt: skip

_X86_64 = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "ioctl": 16, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23, "sched_yield": 24, "mremap": 25,
    "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35, "getpid": 39, "exit": 60, "kill": 62,
    "uname": 63, "fcntl": 72, "getdents": 78, "getcwd": 79, "readlink": 89, "gettimeofday": 96, "getrlimit": 97,
    "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108,
    "getppid": 110, "sigaltstack": 131, "prctl": 157, "arch_prctl": 158, "gettid": 186, "tkill": 200, "time": 201,
    "futex": 202, "sched_getaffinity": 204, "getdents64": 217, "restart_syscall": 219, "clock_gettime": 228,
    "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234, "openat": 257, "newfstatat": 262,
    "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "dup3": 292,
    "pipe2": 293, "prlimit64": 302, "getrandom": 318, "membarrier": 324, "statx": 332, "rseq": 334, "openat2": 437,
    "faccessat2": 439,
}  # fmt: skip
_AARCH64 = {
    "getcwd": 17, "dup": 23, "dup3": 24, "fcntl": 25, "ioctl": 29, "faccessat": 48, "openat": 56, "close": 57,
    "pipe2": 59, "getdents64": 61, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pselect6": 72,
    "ppoll": 73, "readlinkat": 78, "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98,
    "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
    "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "kill": 129, "tkill": 130, "tgkill": 131,
    "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160,
    "getrlimit": 163, "getrusage": 165, "prctl": 167, "gettimeofday": 169, "getpid": 172, "getppid": 173,
    "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214,
    "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "mincore": 232, "madvise": 233, "prlimit64": 261,
    "getrandom": 278, "membarrier": 283, "statx": 291, "rseq": 293, "openat2": 437, "faccessat2": 439,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor architecture: its number in seccomp data (linux/audit.h) and its system call numbers."""

    audit: int
    numbers: dict[str, int]


MACHINES = {"x86_64": Machine(0xC000003E, _X86_64), "aarch64": Machine(0xC00000B7, _AARCH64)}


def seccomp_filter(machine: str | None = None) -> bytes | None:
    """The filter for `machine` (this one by default) as bytes for `prctl`; None for an architecture not known here."""
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    program = _prologue(known)
    for number in _numbers(known, _NOT_EXECUTABLE):
        program += [
            _instruction(_JUMP_EQUAL, number, 0, 4),
            _instruction(_LOAD_WORD, _THIRD_ARGUMENT),
            _instruction(_JUMP_BITS, _PROT_EXEC, 0, 1),
            _instruction(_RETURN, _ERRNO | errno.EPERM),
            _instruction(_RETURN, _ALLOW),
        ]
    for number in _numbers(known, ("fcntl",)):
        program += _descriptor_control(number)
    for number in _numbers(known, _ALLOWED):
        program += _answer(number, _ALLOW)
    for code, names in _FAILING.items():
        for number in _numbers(known, names):
            program += _answer(number, _ERRNO | code)
    return b"".join([*program, _instruction(_RETURN, _KILL_PROCESS)])


def _prologue(machine: Machine) -> list[bytes]:
    return [
        _instruction(_LOAD_WORD, _ARCHITECTURE),
        _instruction(_JUMP_EQUAL, machine.audit, 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD_WORD, _NUMBER),
        _instruction(_JUMP_GREATER_EQUAL, _X32_BIT, 0, 1),
        _instruction(_RETURN, _KILL_PROCESS),
    ]


def _descriptor_control(number: int) -> list[bytes]:
    commands = [step for command in _DESCRIPTOR_COMMANDS for step in _answer(command, _ALLOW)]
    checks = [
        _instruction(_LOAD_WORD, _SECOND_ARGUMENT),
        *commands,
        _instruction(_RETURN, _ERRNO | errno.EPERM),
    ]
    return [_instruction(_JUMP_EQUAL, number, 0, len(checks)), *checks]


def _numbers(machine: Machine, names: tuple[str, ...]) -> list[int]:
    return [machine.numbers[name] for name in names if name in machine.numbers]


def _answer(number: int, action: int) -> list[bytes]:
    return [_instruction(_JUMP_EQUAL, number, 0, 1), _instruction(_RETURN, action)]


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, operand)
