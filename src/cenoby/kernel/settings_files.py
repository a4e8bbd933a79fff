"""The settings of files: which may pass in which direction, how large, and how much an archive may hold."""

from __future__ import annotations

from typing import Literal

from cenoby.kernel.settings_section import Count, Section

_MIB = 1024 * 1024
_MEDIA = [
    "text/plain", "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff", "image/svg+xml",
    "audio/wav", "audio/mpeg", "audio/ogg", "audio/flac", "video/mp4", "video/webm", "application/pdf",
    "application/vnd.openxmlformats-officedocument", "application/zip", "application/gzip", "application/x-tar",
    "application/x-bzip2", "application/x-xz",
]  # fmt: skip
_FETCHED = [*_MEDIA, "text/html", "application/octet-stream"]

ActiveContent = Literal["script", "launch", "embedded", "macros"]


class FileRules(Section):
    """Which files may pass in one direction."""

    types: list[str] = _MEDIA
    """Media types that may pass, as a file's content says them; `application/octet-stream` is what nobody knows."""
    max_bytes: Count = 8 * _MIB
    """Largest file, bytes."""
    sizes: dict[str, Count] = {}
    """Largest file of single types, bytes, where it differs."""
    active: list[ActiveContent] = []
    """What may be in a file that acts: `script` (PDF, SVG, HTML), `launch` and `embedded` (PDF), `macros` (Office)."""
    any_text: bool = False
    """Whether HTML, SVG and other text may be said to be one another."""


class ArchiveSettings(Section):
    """How much an archive may hold; one that holds more is not opened at all."""

    members: Count = 2000
    """Members, of archives in it, too."""
    total_bytes: Count = 64 * _MIB
    """Bytes of all members, unpacked."""
    ratio: Count = 200
    """How many times its packed size a member may have (from 1 MiB on)."""
    nesting: Count = 2
    """Archives in archives."""


class FileSettings(Section):
    """What is looked at before anything opens it: files in arguments, in results, and what Marco fetches."""

    arguments: FileRules = FileRules()
    """Files that callers attach."""
    results: FileRules = FileRules()
    """Files in results, of other colonies, too."""
    fetched: FileRules = FileRules(types=_FETCHED, max_bytes=64 * _MIB, active=["script", "embedded"], any_text=True)
    """What Marco fetched, within `egress.max_bytes`; only text is taken from it, in a cell."""
    archives: ArchiveSettings = ArchiveSettings()
