"""The keys that sign checkpoints: one, or while it is being replaced, the new one and those before.

They are read anew for every checkpoint, so that a rotation needs no restart. Each checkpoint has a signature of every
key in the file: who holds the old public key can check it until it is retired.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from cenoby.kernel.signing import KeyInvalid, SigningKey
from cenoby.protection.evidence.errors import EvidenceFailed
from cenoby.store.private_file import write_private

VARIABLE = "CENOBY_LOG_KEY"


class LogKeys:
    """Where the signing keys are; its methods block for a small file.

    Args:
        kind: the setting `evidence.key`.
        file: the file of the kind `file`: one key a line, the newest first.
        environment: the process's variables; CENOBY_LOG_KEY has keys with commas between.
    """

    def __init__(self, kind: Literal["file", "env"], file: Path, environment: Mapping[str, str]) -> None:
        self._kind = kind
        self._file = file
        self._environment = environment
        self.place = str(file) if kind == "file" else VARIABLE

    def read(self) -> list[SigningKey]:
        """All keys that sign, the newest first; empty where there is none yet.

        Raises:
            EvidenceFailed: log_key_unusable.
        """
        text = self._read_file() if self._kind == "file" else self._environment.get(VARIABLE, "")
        try:
            return [SigningKey.from_text(one) for one in text.replace(",", "\n").split()]
        except (KeyInvalid, ValueError):
            raise self._unusable("it holds something that is no key `ed25519:BASE64`") from None

    def ensure(self) -> list[SigningKey]:
        """As `read`; makes the first key where there is none and the file is ours to write.

        Raises:
            EvidenceFailed: log_key_unusable.
        """
        keys = self.read()
        if keys:
            return keys
        if self._kind == "env":
            raise self._unusable(f"it is not set; make a key with `cenoby evidence key --new` and set {VARIABLE} to it")
        return self.write([SigningKey.generate()])

    def write(self, keys: list[SigningKey]) -> list[SigningKey]:
        """Keep these keys, and no others.

        Raises:
            EvidenceFailed: log_key_unusable.
        """
        if self._kind == "env":
            raise self._unusable("its keys are changed where the variable is set")
        try:
            write_private(self._file, "".join(f"{key.to_text()}\n" for key in keys))
        except OSError as error:
            raise self._unusable(error.strerror) from error
        return keys

    def _read_file(self) -> str:
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise self._unusable(error.strerror) from error
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077:
                raise self._unusable(f"others could read it; if nobody did, run `chmod 600 {self._file}`")
            return opened.read(64 * 1024).decode("ascii", "replace")

    def _unusable(self, reason: str | None) -> EvidenceFailed:
        return EvidenceFailed("log_key_unusable", f"The log's key in {self.place} cannot be used: {reason}.")
