"""Master keys that are given to the process at its start: by a variable, or as a credential of the service manager."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cenoby.protection.vault.keys import MasterKey, VaultError, unusable

VARIABLE = "CENOBY_MASTER_KEY"
CREDENTIAL = "cenoby-master-key"
_DIRECTORY = "CREDENTIALS_DIRECTORY"
_MOST_BYTES = 4096


class GivenKeySource:
    """32 bytes in base64. To change the key, start with `<new>,<old>`, and later with `<new>` alone.

    Args:
        place: what to call it.
        text: what was given; empty where nothing was.
        missing: what to do where nothing was given.
        again: how to start again with two keys.
    """

    def __init__(self, place: str, text: str, missing: str, again: str) -> None:
        self.place = place
        self._text = text
        self._missing = missing
        self._again = again

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        del key_id
        return [MasterKey.from_text(text, self.place) for text in self._text.split(",") if text.strip()]

    def create(self) -> MasterKey:
        raise VaultError("vault_key_missing", self._missing)

    def stage(self, key: MasterKey) -> None:
        del key
        raise VaultError("vault_key_fixed", f"The master key comes from {self.place}; to change it, {self._again}.")

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        return candidates[0] if candidates else key

    def forget(self, key_ids: Collection[str]) -> None:
        """Nothing: who gave it takes it away."""


def environment_key(environment: Mapping[str, str]) -> GivenKeySource:
    """CENOBY_MASTER_KEY."""
    command = f'export {VARIABLE}="$(head -c 32 /dev/urandom | base64)"'
    return GivenKeySource(
        VARIABLE,
        environment.get(VARIABLE, ""),
        f"{VARIABLE} is not set; make a key with `{command}`, and keep it safe.",
        f"start again with {VARIABLE}=<new key>,<old key>",
    )


def credential_key(environment: Mapping[str, str]) -> GivenKeySource:
    """The credential `cenoby-master-key` of systemd (systemd.exec(5), LoadCredential and LoadCredentialEncrypted).

    Raises:
        VaultError: `vault_key_unusable`.
    """
    folder, text = environment.get(_DIRECTORY, ""), ""
    if folder:
        try:
            with (Path(folder) / CREDENTIAL).open("rb") as file:
                text = file.read(_MOST_BYTES).decode("ascii", "replace")
        except FileNotFoundError:
            pass  # Said below, with what to do.
        except OSError as error:
            raise unusable(f"the credential {CREDENTIAL}", error.strerror) from error
    return GivenKeySource(
        f"the credential {CREDENTIAL}",
        text,
        f"The service manager gives no credential {CREDENTIAL}; add `LoadCredentialEncrypted={CREDENTIAL}:FILE` to the "
        "unit, and make FILE with `head -c 32 /dev/urandom | base64 | "
        f"systemd-creds encrypt --name={CREDENTIAL} - FILE`.",
        "give it <new key>,<old key> and start again",
    )
