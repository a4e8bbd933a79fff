"""The settings of files: what they may be, how large, and how much an archive may hold."""

from __future__ import annotations

from cenoby.kernel.settings_section import Count, Section


class ArchiveSettings(Section):
    """How much an archive may hold; one that holds more is not opened at all."""

    members: Count = 2000
    """Members, of archives in it, too."""
    total_bytes: Count = 64 * 1024 * 1024
    """Bytes of all members, unpacked."""
    ratio: Count = 200
    """How many times its packed size a member may have (from 1 MiB on)."""
    nesting: Count = 2
    """Archives in archives."""


class FileSettings(Section):
    """What is looked at before anything opens it."""

    archives: ArchiveSettings = ArchiveSettings()
