"""Small files that nobody else may read: tokens and keys."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def read_private(file: Path) -> str:
    """All that `file` holds, or an empty text where there is none; its mode is set to 0600.

    Raises:
        OSError: it is there and cannot be read or given that mode.
    """
    try:
        text = file.read_bytes().decode("ascii", "replace")
        file.chmod(0o600)
    except FileNotFoundError:
        return ""
    return text


def write_private(file: Path, text: str) -> None:
    """Put ASCII `text` in `file`, whole or not at all, durable, mode 0600 from the first byte on.

    Raises:
        OSError: the directory is missing or cannot be written.
    """
    beside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(text.encode("ascii"))
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Make durable which names a directory holds.

    Raises:
        OSError: it cannot be opened or synchronised.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
