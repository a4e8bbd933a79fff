"""The system's key store as the place of the master key."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

from cenoby.protection.vault.keys import MasterKey, unusable

_SERVICE = "cenoby"


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

    def forget(self, key_ids: Collection[str]) -> None:
        for key_id in key_ids:
            if self._ask("get_password", key_id) is not None:
                self._ask("delete_password", key_id)

    def _ask(self, method: Literal["get_password", "set_password", "delete_password"], *arguments: str) -> str | None:
        from keyring.errors import KeyringError

        try:
            if self._keyring is None:
                import keyring

                self._keyring = keyring.get_keyring()
            return getattr(self._keyring, method)(_SERVICE, *arguments)
        except (KeyringError, RuntimeError, OSError) as error:
            raise unusable(self.place, f"{error}. On a machine without one, set vault.key to file or env") from error
