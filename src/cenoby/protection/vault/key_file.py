"""A file that keeps the master key."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from cenoby.protection.vault.keys import MasterKey, VaultError, unusable
from cenoby.store.private_file import sync_directory, write_private


def read_key_file(file: Path) -> MasterKey | None:
    """The key in a file; None where there is no file.

    Raises:
        VaultError: `vault_key_exposed`, `vault_key_invalid`, `vault_key_unusable`.
    """
    text = read_unexposed(file, 256)
    return None if text is None else MasterKey.from_text(text, str(file))


def read_unexposed(file: Path, most_bytes: int) -> str | None:
    """What a file holds that nobody else may read; None where there is no file.

    Raises:
        VaultError: `vault_key_exposed`, `vault_key_unusable`.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(str(file), error.strerror) from error
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(opened.fileno())
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid not in (os.geteuid(), 0):
            mode = stat.S_IMODE(status.st_mode)
            raise VaultError(
                "vault_key_exposed",
                f"{file} has mode {mode:04o} and owner {status.st_uid}: others could read the key of all secrets. "
                f"If nobody did, run `chmod 600 {file}` as its owner.",
            )
        if not stat.S_ISREG(status.st_mode):
            raise unusable(str(file), "it is not a regular file")
        return opened.read(most_bytes).decode("ascii", "replace")


def write_key_file(file: Path, key: MasterKey) -> None:
    """Put a key in a file.

    Raises:
        VaultError: `vault_key_unusable`.
    """
    try:
        write_private(file, key.to_text() + "\n")
    except OSError as error:
        raise unusable(str(file), error.strerror) from error


class FileKeySource:
    """A file of its own, mode 0600: one line of base64. A staged key lies beside it as `<name>.next`.

    Args:
        file: the file.
        read, write: how one file holds one key; `read` gives None where there is no file.
    """

    def __init__(
        self,
        file: Path,
        read: Callable[[Path], MasterKey | None] = read_key_file,
        write: Callable[[Path, MasterKey], None] = write_key_file,
    ) -> None:
        self.place = str(file)
        self._read = read
        self._write = write
        self._file = file
        self._next = file.with_name(file.name + ".next")

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        del key_id
        return [key for key in map(self._read, (self._file, self._next)) if key is not None]

    def create(self) -> MasterKey:
        key = MasterKey.generate()
        self._write(self._file, key)
        return key

    def stage(self, key: MasterKey) -> None:
        self._write(self._next, key)

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        staged = self._read(self._next)
        try:
            if staged is not None and staged.id == key.id:
                self._next.replace(self._file)
            else:
                self._next.unlink(missing_ok=True)
            sync_directory(self._file.parent)
        except OSError as error:
            raise unusable(self.place, error.strerror) from error
        return key

    def forget(self, key_ids: Collection[str]) -> None:
        for file in (self._file, self._next):
            key = self._read(file)
            if key is not None and key.id in key_ids:
                self._remove(file)

    def _remove(self, file: Path) -> None:
        try:
            # What lay there is overwritten, for what that is worth on today's disks.
            write_private(file, "0" * 44 + "\n")
            file.unlink()
            sync_directory(file.parent)
        except OSError as error:
            raise unusable(self.place, error.strerror) from error
