"""Sandbox task: what lies in an archive, within bounds that no declared size can move. Runs in a cell.

Every member is unpacked, in memory and in small pieces, and counted as it is; archives in it are unpacked in turn.
Nothing is written anywhere, and no link is followed.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from typing import Protocol

import msgspec

from cenoby.protection.files.kinds import ARCHIVES, BZIP2, GZIP, OOXML, TAR, ZIP, Kind, kinds_of

_PIECE = 64 * 1024
_SMALL = 1024 * 1024
"""Bytes up to which no ratio is asked for: short runs of one letter are no bomb."""
_SHOWN = 100


class ArchiveLimits(msgspec.Struct, frozen=True):
    """How much an archive may hold.

    Attributes:
        members: of all archives in it together.
        total_bytes: of all members, unpacked.
        ratio: unpacked to packed.
        nesting: archives in archives.
    """

    members: int
    total_bytes: int
    ratio: int
    nesting: int


class Member(msgspec.Struct, frozen=True):
    """One member: its path, `inner.zip!/name` within another archive; its bytes; its type by content, or `link`."""

    path: str
    size: int
    kind: str


class Listing(msgspec.Struct, frozen=True):
    """What an archive holds.

    Attributes:
        problem: why it is not to be opened, for people; empty where it may be.
        members: all of them, in order.
        wanted: the bytes of the member that was asked for; None where there is none of that name.
    """

    problem: str = ""
    members: tuple[Member, ...] = ()
    wanted: bytes | None = None


class _Unsafe(Exception):
    """Why an archive is not to be opened."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def examine_archive(body: bytes, limits: dict[str, int], wanted: str = "", largest_wanted: int = 0) -> Listing:
    """Unpack everything in `body` and say what it is; stop at the first thing that is not as it should be.

    Args:
        body: the archive.
        limits: an `ArchiveLimits` as plain types.
        wanted: path of a member whose bytes are to be returned.
        largest_wanted: most bytes of that.
    """
    walk = _Walk(msgspec.convert(limits, ArchiveLimits), wanted, largest_wanted)
    try:
        walk.archive(body, "", 0)
    except _Unsafe as unsafe:
        return Listing(problem=str(unsafe))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - on damaged archives the libraries raise whatever comes up
        return Listing(problem=f"the archive is damaged ({type(error).__name__})")
    return Listing(members=tuple(walk.members), wanted=walk.found)


class _Walk:
    def __init__(self, limits: ArchiveLimits, wanted: str, largest_wanted: int) -> None:
        self._limits = limits
        self._wanted = wanted
        self._largest_wanted = largest_wanted
        self._left = limits.total_bytes
        self._counted = 0
        self.members: list[Member] = []
        self.found: bytes | None = None

    def archive(self, body: bytes, prefix: str, depth: int) -> None:
        if depth > self._limits.nesting:
            raise _Unsafe(f"archives are nested deeper than {self._limits.nesting}")
        kind = next(one for one in kinds_of(body) if one in ARCHIVES)
        packed = len(body)
        if kind in (ZIP, OOXML):
            self._zip(body, prefix, depth)
        elif kind is TAR:
            self._tar(body, prefix, depth, packed)
        else:
            plain = self._bounded(_unpacked(kind, body), packed)
            if TAR in kinds_of(plain):
                self._tar(plain, prefix, depth, packed)
            else:
                self._member(f"{prefix}(content)", plain, depth)

    def _zip(self, body: bytes, prefix: str, depth: int) -> None:
        names: set[str] = set()
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            for item in opened.infolist():
                path = self._path(prefix, item.filename)
                if path in names:
                    raise _Unsafe(f"two members are called {_shown(path)}")
                names.add(path)
                if item.flag_bits & 1:
                    raise _Unsafe(f"{_shown(path)} is protected by a password")
                if stat.S_ISLNK(item.external_attr >> 16):
                    target = self._bounded(opened.open(item), item.compress_size).decode("utf-8", "replace")
                    self._link(path, item.filename, target)
                elif item.is_dir():
                    self._count()
                else:
                    self._member(path, self._bounded(opened.open(item), item.compress_size), depth)

    def _tar(self, body: bytes, prefix: str, depth: int, packed: int) -> None:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as opened:
            for item in opened:
                path = self._path(prefix, item.name)
                if item.issym() or item.islnk():
                    self._link(path, item.name if item.issym() else "", item.linkname)
                elif item.isdir():
                    self._count()
                elif not item.isfile():
                    raise _Unsafe(f"{_shown(path)} is a device")
                else:
                    file = opened.extractfile(item)
                    assert file is not None, "a regular member has content"
                    # A sparse member claims what is not there: what it was packed into bounds it.
                    self._member(path, self._bounded(file, packed), depth)

    def _member(self, path: str, content: bytes, depth: int) -> None:
        self._count()
        kinds = kinds_of(content)
        self.members.append(Member(path, len(content), kinds[0].name))
        if path == self._wanted:
            if len(content) > self._largest_wanted:
                raise _Unsafe(f"{_shown(path)} has more than {self._largest_wanted} bytes")
            self.found = content
        if any(kind in ARCHIVES for kind in kinds):
            self.archive(content, f"{path}!/", depth + 1)

    def _link(self, path: str, name: str, target: str) -> None:
        folder = name.replace("\\", "/").rpartition("/")[0]
        place = f"{folder}/{target}" if folder else target
        if _leads_out(target, absolute_only=True) or _leads_out(place):
            raise _Unsafe(f"{_shown(path)} is a link out of the archive")
        self._count()
        self.members.append(Member(path, 0, "link"))

    def _path(self, prefix: str, name: str) -> str:
        if _leads_out(name):
            raise _Unsafe(f"member {_shown(name)} leads out of the archive")
        return prefix + name

    def _count(self) -> None:
        if self._counted == self._limits.members:
            raise _Unsafe(f"it has more than {self._limits.members} members")
        self._counted += 1

    def _bounded(self, source: _Readable, packed: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while piece := source.read(_PIECE):
            size += len(piece)
            self._left -= len(piece)
            if self._left < 0:
                raise _Unsafe(f"it unpacks to more than {self._limits.total_bytes} bytes")
            if size > _SMALL and size > max(packed, 1) * self._limits.ratio:
                raise _Unsafe(f"it unpacks to more than {self._limits.ratio} times its size")
            parts.append(piece)
        return b"".join(parts)


def _leads_out(name: str, *, absolute_only: bool = False) -> bool:
    plain = name.replace("\\", "/")
    if plain.startswith("/") or plain[1:2] == ":" or any(ord(sign) < 32 for sign in plain):
        return True
    depth = 0
    for part in () if absolute_only else plain.split("/"):
        depth += -1 if part == ".." else 1 if part not in ("", ".") else 0
        if depth < 0:
            return True
    return False


def _shown(name: str) -> str:
    return repr(name[:_SHOWN])


def _unpacked(kind: Kind, body: bytes) -> _Readable:
    packed = io.BytesIO(body)
    if kind is GZIP:
        return gzip.GzipFile(fileobj=packed)
    return bz2.BZ2File(packed) if kind is BZIP2 else lzma.LZMAFile(packed)


def _load() -> None:
    # Names in archives are in these, and in a cell nothing can be loaded any more.
    for name in ("cp437", "ascii", "utf-8", "latin-1"):
        codecs.lookup(name)
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", "b")
    with tarfile.open(fileobj=tarred, mode="w") as written:
        written.addfile(tarfile.TarInfo("a"))
    limits = {"members": 1, "total_bytes": 1, "ratio": 1, "nesting": 0}
    for sample in (zipped.getvalue(), tarred.getvalue()):
        if examine_archive(sample, limits).problem:
            raise ImportError("the archive libraries do not read the sample archives")


_load()
