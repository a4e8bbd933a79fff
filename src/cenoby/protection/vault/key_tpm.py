"""A TPM 2.0 as what opens the master key: its file is of no use on another device.

The key is the data of a sealed object (TCG TPM 2.0 Library, part 3, TPM2_Create and TPM2_Unseal) under a primary key of
the owner's hierarchy, which is derived in the TPM from a seed that never leaves it. The file holds the object's public
and private part, as the TPM gave them out. Spoken by the commands of tpm2-tools, one after the other, in a directory of
their own; the key goes to them and comes from them by pipes and is never in a file or an argument.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import msgspec

from cenoby.protection.vault.key_file import FileKeySource, read_unexposed
from cenoby.protection.vault.keys import MasterKey, VaultError, unusable
from cenoby.store.private_file import write_private

_SECONDS = 60
_MOST_BYTES = 16 * 1024
_PRIMARY, _PUBLIC, _PRIVATE, _OBJECT = "primary.ctx", "object.pub", "object.priv", "object.ctx"


class _Blob(msgspec.Struct, frozen=True):
    public: bytes
    private: bytes


def tpm_key_source(file: Path, tcti: str = "") -> FileKeySource:
    """A file with a key that this device's TPM alone opens.

    Args:
        file: the file.
        tcti: which TPM, as tpm2-tools name it (`device:/dev/tpmrm0`); empty: what they find themselves.
    """
    return FileKeySource(file, partial(_read, tcti), partial(_write, tcti))


def _read(tcti: str, file: Path) -> MasterKey | None:
    text = read_unexposed(file, _MOST_BYTES)
    if text is None:
        return None
    try:
        blob = msgspec.json.decode(text, type=_Blob)
    except msgspec.MsgspecError:
        raise VaultError("vault_key_invalid", f"{file} does not hold a key that a TPM closed.") from None
    with tempfile.TemporaryDirectory(prefix="cenoby-tpm-") as folder:
        (Path(folder) / _PUBLIC).write_bytes(blob.public)
        (Path(folder) / _PRIVATE).write_bytes(blob.private)
        tpm = _Tpm(tcti, folder)
        tpm.make_primary()
        try:
            tpm.run("tpm2_load", "-C", _PRIMARY, "-u", _PUBLIC, "-r", _PRIVATE, "-c", _OBJECT)
        except VaultError as error:
            # The primary key is there, so the TPM works: this file is of another one, or was changed.
            raise VaultError(
                "vault_key_wrong",
                f"The TPM of this device does not open {file}: it was made on another device, or the TPM was cleared. "
                f"Put the key back from your backup of it. ({error.message})",
            ) from error
        secret = tpm.run("tpm2_unseal", "-c", _OBJECT)
    return MasterKey.from_text(base64.b64encode(secret).decode(), str(file))


def _write(tcti: str, file: Path, key: MasterKey) -> None:
    with tempfile.TemporaryDirectory(prefix="cenoby-tpm-") as folder:
        tpm = _Tpm(tcti, folder)
        tpm.make_primary()
        tpm.run(
            "tpm2_create", "-C", _PRIMARY, "-g", "sha256", "-i", "-", "-u", _PUBLIC, "-r", _PRIVATE, given=key.secret
        )
        blob = _Blob((Path(folder) / _PUBLIC).read_bytes(), (Path(folder) / _PRIVATE).read_bytes())
    try:
        write_private(file, msgspec.json.encode(blob).decode() + "\n")
    except OSError as error:
        raise unusable(str(file), error.strerror) from error


class _Tpm:
    """One sitting with the TPM, in a directory for what the commands hand to each other."""

    def __init__(self, tcti: str, folder: str) -> None:
        self._tcti = ["-T", tcti] if tcti else []
        self._folder = folder

    def make_primary(self) -> None:
        # The same seed and template give the same key each time, so that it need not be kept anywhere.
        self.run("tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", _PRIMARY)

    def run(self, command: str, *arguments: str, given: bytes = b"") -> bytes:
        """What a command gives out. It leaves no object behind: without a resource manager there is room for three."""
        out = self._command(command, *arguments, given=given)
        self._command("tpm2_flushcontext", "-t")
        return out

    def _command(self, command: str, *arguments: str, given: bytes = b"") -> bytes:
        if shutil.which(command) is None:
            raise unusable("the TPM", f"there is no command {command}; install tpm2-tools")
        try:
            done = subprocess.run(  # noqa: S603 - a command of tpm2-tools, with arguments that are written here
                [command, *arguments, *self._tcti],
                input=given,
                capture_output=True,
                cwd=self._folder,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise unusable("the TPM", f"{command} did not end within {_SECONDS} s") from None
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            reason = next((line for line in said if line.startswith("ERROR")), "nothing")
            raise unusable("the TPM", f"{command} ends with {done.returncode} and says {reason[:200]!r}")
        return done.stdout
