"""What a parser gone wrong, or taken over, might do. Loaded into cells by the tests alone."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, NoReturn

import msgspec

LIBC = ctypes.CDLL(None, use_errno=True)


def echo(value: Any) -> Any:
    return value


def whoami() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "uids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
        "environment": dict(os.environ),
        "descriptors": [fd for fd in range(64) if _is_open(fd)],
        "flags": [sys.flags.isolated, sys.flags.no_site],
    }


def _is_open(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def say(text: str) -> str:
    print(text)
    os.write(1, text.encode())
    os.write(2, text.encode())
    return sys.stdin.read() + "said"


def fail(message: str) -> NoReturn:
    raise ValueError(message)


def leave() -> NoReturn:
    sys.exit(3)


def leave_at_once() -> NoReturn:
    os._exit(3)


def crash() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def hang() -> None:
    while True:
        time.sleep(60)


def hang_deaf() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    hang()


def spin() -> None:
    while True:
        pass


def eat_memory() -> int:
    hoard = []
    while True:
        hoard.append(bytes(1 << 20))


def eat_memory_at_once() -> int:
    return len(bytes(1 << 33))


def eat_memory_in_c() -> None:
    LIBC.malloc.restype = ctypes.c_void_p
    while True:
        block = LIBC.malloc(ctypes.c_size_t(1 << 20))
        ctypes.memset(block, 1, 1 << 20)  # a parser that does not look at what malloc returned


def recurse() -> int:
    return recurse() + 1


def fork_bomb() -> None:
    while True:
        os.fork()


def fork_once() -> int:
    return os.fork()


def start_thread() -> None:
    threading.Thread(target=hang).start()


def start_program() -> None:
    subprocess.run(["/bin/true"], check=True)


def exec_program() -> None:
    os.execv("/bin/true", ["true"])


def open_socket(family: int) -> None:
    socket.socket(socket.AddressFamily(family), socket.SOCK_STREAM)


def read_file(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def list_directory(path: str) -> list[str]:
    return os.listdir(path)  # noqa: PTH208


def write_file(path: str) -> None:
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"x")


def import_late() -> None:
    import xml.dom.minidom  # noqa: F401


def signal_process(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def signal_by_descriptor(pid: int) -> list[str]:
    """Have the kernel kill `pid` as soon as the connection to the colony becomes ready, which the answer sees to.

    Returns:
        How each step was refused; empty if none was.
    """
    colony = max(fd for fd in range(16) if _is_open(fd))
    steps: list[tuple[int, int | bytes]] = [
        (fcntl.F_SETOWN, pid),
        (15, (1).to_bytes(4, sys.byteorder) + pid.to_bytes(4, sys.byteorder)),  # F_SETOWN_EX, F_OWNER_PID
        (fcntl.F_SETSIG, signal.SIGKILL),
        (fcntl.F_SETFL, os.O_RDWR | fcntl.FASYNC),
    ]
    refused: list[str] = []
    for command, argument in steps:
        try:
            fcntl.fcntl(colony, command, argument)
        except OSError as error:
            refused.append(errno.errorcode[error.errno or 0])
    return refused


def duplicate() -> int:
    return os.dup(max(fd for fd in range(16) if _is_open(fd)))


def trace(pid: int) -> int:
    return LIBC.ptrace(16, pid, 0, 0)


def become_root() -> None:
    os.setuid(0)


def call_system(number: int) -> int:
    return LIBC.syscall(number, 0, 0, 0, 0, 0, 0)


def run_bytes_as_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def raise_limits() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))


def answer_much(size: int) -> bytes:
    return bytes(size)


def answer_nonsense(kind: str) -> None:
    """Speak over the RPC's own descriptor, as code that took the process over could."""
    colony = max(fd for fd in range(16) if _is_open(fd))
    body = {
        "garbage": b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1",
        "huge": b"\xff\xff\xff\xff",
        "endless": b"\x7f" * (1 << 20),
        "short": b"\x00\x00\x10\x00abc",
        "deep": _framed(msgspec.msgpack.encode({"failure": "", "message": "", "value": []})[:-1] + b"\x91" * 100_000),
        "wrong": _framed(msgspec.msgpack.encode({"failure": 7})),
        "empty": b"",
    }[kind]
    while body:
        body = body[os.write(colony, body) :]
    os._exit(0)


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def disconnect_and_hang() -> None:
    for descriptor in filter(_is_open, range(16)):
        os.close(descriptor)
    hang()


def fork_and_hang() -> int:
    """The child ignores what can be ignored, in the same process group."""
    child = os.fork()
    if child == 0:
        hang_deaf()
    return child


def connect(port: int) -> int:
    with socket.socket() as tcp:
        return tcp.connect_ex(("127.0.0.1", port))
