"""The master key, and the three places it can be kept: a file, the system's key store, an environment variable.

Changing it must survive a kill at any point, with the key and the database in different places. So a new key is first
put beside the old one (`stage`), then the database goes over to it in one transaction, then the old one is forgotten
(`settle`). The database says which key is in force; whichever place holds both can therefore serve either state.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from cenoby.kernel.errors import Fault
from cenoby.store.private_file import sync_directory, write_private

_KEY_BYTES = 32
VARIABLE = "CENOBY_MASTER_KEY"
_SERVICE = "cenoby"


class VaultError(Fault):
    """The vault cannot be opened or trusted as it stands."""

    codes = {
        "vault_key_missing": "The master key that protects the secrets is not where the settings say; put it back.",
        "vault_key_wrong": "The master key is not the one that the secrets are encrypted with; put the right one back.",
        "vault_key_exposed": "Others may read or change the file with the master key; the message has the command.",
        "vault_key_invalid": "The master key is not 32 bytes in base64.",
        "vault_key_unusable": "The place of the master key cannot be read or written; the message says why.",
        "vault_key_fixed": "A master key from the environment is changed by starting again with another.",
        "secret_not_renewed": "What the settings name to renew a secret gave no value; it keeps the one it has.",
        "secret_damaged": "A secret does not open with its key: it was changed or moved in the database.",
    }


class MasterKey:
    """A key-encryption key. Shows its id, never itself.

    Args:
        secret: 32 bytes.
    """

    __slots__ = ("id", "secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _KEY_BYTES:
            raise VaultError("vault_key_invalid", f"A master key has {_KEY_BYTES} bytes, not {len(secret)}.")
        self.secret = secret
        self.id = self._derive("id")[:8].hex()

    @classmethod
    def generate(cls) -> MasterKey:
        """A new random key."""
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def from_text(cls, text: str, place: str) -> MasterKey:
        """A key from base64, standard or URL-safe; `place` is named where that fails.

        Raises:
            VaultError: `vault_key_invalid`.
        """
        try:
            secret = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != _KEY_BYTES:
            raise VaultError("vault_key_invalid", f"{place} does not hold {_KEY_BYTES} bytes in base64.")
        return cls(secret)

    @property
    def check_value(self) -> bytes:
        """32 bytes that show whether a key is this one, and tell nothing about it."""
        return self._derive("check")

    def to_text(self) -> str:
        """The key in base64, for the place that keeps it."""
        return base64.b64encode(self.secret).decode()

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id!r})"

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self.secret, f"cenoby master key {purpose}".encode(), "sha256")


class KeySource(Protocol):
    """A place that keeps the master key. Its methods block, so the vault calls them on a thread.

    All raise VaultError: `vault_key_unusable`, and the codes named with each.
    """

    place: str
    """What to call it in a message to a person."""

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        """The keys that may be in force; `key_id` is the one that the database was left with, where it knows.

        Raises:
            VaultError: `vault_key_exposed`, `vault_key_invalid`.
        """
        ...

    def create(self) -> MasterKey:
        """The first key, made and kept; only called where there is no key and no secret yet.

        Raises:
            VaultError: `vault_key_missing`, where keys are not made by us.
        """
        ...

    def stage(self, key: MasterKey) -> None:
        """Keep `key` beside the one in force, durably.

        Raises:
            VaultError: `vault_key_fixed`.
        """
        ...

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        """`key` is in force: forget the other candidates. Returns the key that should be in force from now on."""
        ...


class FileKeySource:
    """A file of its own, mode 0600: one line of base64. A staged key lies beside it as `<name>.next`."""

    def __init__(self, file: Path) -> None:
        self.place = str(file)
        self._file = file
        self._next = file.with_name(file.name + ".next")

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        del key_id
        return [key for key in map(_read_key_file, (self._file, self._next)) if key is not None]

    def create(self) -> MasterKey:
        key = MasterKey.generate()
        _write_key_file(self._file, key)
        return key

    def stage(self, key: MasterKey) -> None:
        _write_key_file(self._next, key)

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        staged = _read_key_file(self._next)
        try:
            if staged is not None and staged.id == key.id:
                self._next.replace(self._file)
            else:
                self._next.unlink(missing_ok=True)
            sync_directory(self._file.parent)
        except OSError as error:
            raise _unusable(self.place, error.strerror) from error
        return key


class Keyring(Protocol):
    """The part of the `keyring` library that is used here."""

    def get_password(self, service_name: str, username: str) -> str | None: ...
    def set_password(self, service_name: str, username: str, password: str) -> None: ...
    def delete_password(self, service_name: str, username: str) -> None: ...


class KeyringKeySource:
    """The system's key store. Each key has its own entry, named by its id, so colonies never meet there."""

    place = "the system's key store"

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        text = self._ask("get_password", key_id) if key_id else None
        return [MasterKey.from_text(text, self.place)] if text else []

    def create(self) -> MasterKey:
        key = MasterKey.generate()
        self.stage(key)
        return key

    def stage(self, key: MasterKey) -> None:
        self._ask("set_password", key.id, key.to_text())

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        for other in candidates:
            if other.id != key.id:
                self._ask("delete_password", other.id)
        return key

    def _ask(self, method: Literal["get_password", "set_password", "delete_password"], *arguments: str) -> str | None:
        from keyring.errors import KeyringError

        try:
            if self._keyring is None:
                import keyring

                self._keyring = keyring.get_keyring()
            return getattr(self._keyring, method)(_SERVICE, *arguments)
        except (KeyringError, RuntimeError, OSError) as error:
            raise _unusable(self.place, f"{error}. On a machine without one, set vault.key to file or env") from error


class EnvironmentKeySource:
    """CENOBY_MASTER_KEY: 32 bytes in base64. To change it, start with `<new>,<old>`, and later with `<new>` alone."""

    place = VARIABLE

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._text = environment.get(VARIABLE, "")

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        del key_id
        return [MasterKey.from_text(text, self.place) for text in self._text.split(",") if text.strip()]

    def create(self) -> MasterKey:
        command = f'export {VARIABLE}="$(head -c 32 /dev/urandom | base64)"'
        raise VaultError("vault_key_missing", f"{VARIABLE} is not set; make a key with `{command}`, and keep it safe.")

    def stage(self, key: MasterKey) -> None:
        del key
        raise VaultError(
            "vault_key_fixed",
            f"The master key comes from {VARIABLE}; to change it, start again with {VARIABLE}=<new key>,<old key>.",
        )

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        return candidates[0] if candidates else key


def key_source(kind: Literal["file", "keyring", "env"], file: Path, environment: Mapping[str, str]) -> KeySource:
    """The source that the setting `vault.key` names.

    Args:
        kind: the setting.
        file: the file of the kind `file`.
        environment: the process's variables.
    """
    if kind == "keyring":
        return KeyringKeySource()
    return FileKeySource(file) if kind == "file" else EnvironmentKeySource(environment)


def _read_key_file(file: Path) -> MasterKey | None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(str(file), error.strerror) from error
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
            raise _unusable(str(file), "it is not a regular file")
        return MasterKey.from_text(opened.read(256).decode("ascii", "replace"), str(file))


def _write_key_file(file: Path, key: MasterKey) -> None:
    try:
        write_private(file, key.to_text() + "\n")
    except OSError as error:
        raise _unusable(str(file), error.strerror) from error


def _unusable(place: str, reason: str | None) -> VaultError:
    return VaultError("vault_key_unusable", f"The master key cannot be kept or read in {place}: {reason}.")
