"""Archives, opened within bounds: what is listed, and everything for which one is not opened at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from cenoby.kernel.settings import SandboxSettings
from cenoby.kernel.settings_files import ArchiveSettings
from cenoby.protection.files.archives import Listing, Member, examine_archive
from cenoby.sandbox.cell import Sandbox
from tests.bombs import tarred, zipped

MEMBERS = (("a/one.txt", b"one"), ("two.html", b"<!doctype html>two"))


def examined(body: bytes, wanted: str = "", **limits: int) -> Listing:
    return examine_archive(body, ArchiveSettings(**limits).model_dump(), wanted, 1000)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_lies_in_an_archive_is_listed_by_what_it_is(pack: Callable[[bytes], bytes]) -> None:
    """A zip, and a tar in every packing, list their files with the size and type that they really have."""
    inner = zipped(("deep.pdf", b"%PDF-1.4"))
    shown = (Member("a/one.txt", 3, "text/plain"), Member("two.html", 18, "text/html"))
    deep = (Member("in.zip", len(inner), "application/zip"), Member("in.zip!/deep.pdf", 8, "application/pdf"))
    for made in (pack(tarred(*MEMBERS, ("in.zip", inner))), zipped(*MEMBERS, ("in.zip", inner))):
        assert examined(made).members == shown + deep
        assert examined(made, "in.zip!/deep.pdf").wanted == b"%PDF-1.4"
        assert examined(made, "nobody").wanted is None


def test_a_single_packed_file_is_unpacked_within_bounds() -> None:
    """Gzip of a text is one member; several streams in a row count as one; one cut off is damaged."""
    packed = gzip.compress(b"text") + gzip.compress(b" more")
    assert examined(packed, "(content)").wanted == b"text more"
    assert "damaged" in examined(gzip.compress(bytes(100_000))[:-9]).problem


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (zipped(("../up", b"")), "leads out"),
        (zipped(("a/../../up", b"")), "leads out"),
        (zipped(("..\\up", b"")), "leads out"),
        (zipped(("C:up", b"")), "leads out"),
        (zipped(("a\x01b", b"")), "leads out"),
        (tarred(("/abs", b"")), "leads out"),
        (tarred(("a", "/etc/passwd")), "a link out"),
        (tarred(("a/b", "../../up")), "a link out"),
        (tarred(("a/b", "../up"), kind=tarfile.LNKTYPE), "a link out"),
        (tarred(("null", ""), kind=tarfile.CHRTYPE), "is a device"),
        (zipped(*((f"{n}", b"") for n in range(11))), "more than 10 members"),
        (zipped(("a", bytes(3_000_000))), "times its size"),
        (gzip.compress(bytes(3_000_000)), "times its size"),
        (zipped(*((f"{n}", b"%d" % n * 600_000) for n in range(10, 18))), "more than 8000000 bytes"),
        (zipped(("b.zip", zipped(("c.zip", zipped(("d.zip", zipped(("e", b"")))))))), "nested deeper than 2"),
        (b"PK\x03\x04 nothing", "damaged"),
    ],
)
def test_what_is_not_opened(body: bytes, problem: str) -> None:
    """Ways out, links out, devices, and every bound; the message says which."""
    found = examined(body, members=10, total_bytes=8_000_000, ratio=200 if "bytes" not in problem else 10**6)
    assert problem in found.problem and found.members == () and found.wanted is None


def test_a_link_within_the_archive_is_listed_and_not_followed() -> None:
    """It is shown as a link, and asking for it gives nothing."""
    found = examined(tarred(("a/b", b"x"), ("a/c", "b")), "a/c")
    assert found.members == (Member("a/b", 1, "text/plain"), Member("a/c", 0, "link")) and found.wanted is None


async def test_a_cell_opens_every_kind() -> None:
    """Locked in, where no further module or codec can be loaded, each packing is read, with names beyond ASCII."""
    sandbox = Sandbox(SandboxSettings(), modules=["cenoby.protection.files.archives"])
    members = (("ä/ö.txt", b"x" * 5000), ("b", b""))
    tar = tarred(*members)
    with zipfile.ZipFile(old := io.BytesIO(), "w") as opened:
        # A name without the mark for UTF-8 is read as cp437.
        opened.writestr("name", "x")
    made = [zipped(*members), old.getvalue(), tar, gzip.compress(tar), bz2.compress(tar), lzma.compress(tar)]
    try:
        for body in made:
            told = {"body": body, "limits": ArchiveSettings().model_dump()}
            listing: Listing = await sandbox.call(
                "cenoby.protection.files.archives:examine_archive", told, returns=Listing
            )
            assert listing.problem == "" and listing.members
    finally:
        await sandbox.close()
