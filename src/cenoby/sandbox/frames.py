"""What passes between the colony and a cell: length-prefixed msgpack, one request and one reply per cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

HEADER_BYTES = 4


class Setup(msgspec.Struct, frozen=True):
    """The first frame into a cell: what to load before, and how to lock itself in.

    Attributes:
        parent: process id of the colony; the cell dies with it.
        modules: modules whose functions are the tasks; imported while files can still be read.
        memory_bytes: address space.
        cpu_seconds: processor time.
        uid: user and group id to change to; None to stay what it is.
        seccomp: filter to install; None where there is none for this machine.
        landlock: whether to shut out the file system and the network by Landlock.
    """

    parent: int
    modules: tuple[str, ...]
    memory_bytes: int
    cpu_seconds: int
    uid: int | None
    seccomp: bytes | None
    landlock: bool = True


class Protections(msgspec.Struct, frozen=True):
    """What holds a cell, as the cell itself found after locking itself in.

    Attributes:
        rlimits: memory, processor time, open files, file size, processes, core dumps are limited.
        uid: the unused user id it runs as; None where it runs as the colony's own user.
        no_new_privileges: nothing it starts could gain privileges.
        landlock: version of the Landlock interface; 0 where the kernel has none. From 1 on no files, from 4 on no TCP,
            from 6 on no signals to others.
        seccomp: only harmless system calls pass.
    """

    rlimits: bool
    uid: int | None
    no_new_privileges: bool
    landlock: int
    seccomp: bool

    def missing(self, required: Sequence[str]) -> list[str]:
        """Those of `required` (`landlock`, `seccomp`, `uid`) that do not hold."""
        held = {"landlock": self.landlock > 0, "seccomp": self.seccomp, "uid": self.uid is not None}
        return [name for name in required if not held[name]]

    def as_strong_as(self, other: Protections) -> bool:
        """Whether all that holds in `other` holds here too."""
        return (
            self.rlimits >= other.rlimits
            and (self.uid is not None) >= (other.uid is not None)
            and self.no_new_privileges >= other.no_new_privileges
            and self.landlock >= other.landlock
            and self.seccomp >= other.seccomp
        )

    def line(self) -> str:
        """For people, in one line."""
        return ", ".join(
            (
                "own process group",
                f"resource limits {'yes' if self.rlimits else 'NO'}",
                "unused uid " + ("NO" if self.uid is None else str(self.uid)),
                f"no new privileges {'yes' if self.no_new_privileges else 'NO'}",
                "landlock " + (f"v{self.landlock}" if self.landlock else "NO"),
                f"seccomp {'yes' if self.seccomp else 'NO'}",
            )
        )


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The cell is locked in and waits for its request."""

    protections: Protections


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """The cell could not load its tasks or lock itself in, and ends."""

    reason: str


class Request(msgspec.Struct, frozen=True):
    """The one call of a cell: `module:function` and keyword arguments."""

    task: str
    arguments: dict[str, Any]


class Reply(msgspec.Struct, frozen=True):
    """How the call ended: `value` where `failure` is empty; else `failure` is `memory` or `task`, with a message."""

    failure: str = ""
    message: str = ""
    value: msgspec.Raw = msgspec.Raw(b"\xc0")


def frame(message: msgspec.Struct) -> bytes:
    """`message` with its length in front (4 bytes, big-endian)."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def read_frame(read: Callable[[int], bytes]) -> bytes | None:
    """The next frame from a blocking `read(at most)`; None at the end of the stream."""
    header = _exactly(read, HEADER_BYTES)
    return None if header is None else _exactly(read, int.from_bytes(header, "big"))


def _exactly(read: Callable[[int], bytes], size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = read(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
