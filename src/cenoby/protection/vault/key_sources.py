"""Which place keeps the master key: the choice that the settings make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cenoby.kernel.settings_vault import VaultSettings
from cenoby.protection.vault.key_file import FileKeySource
from cenoby.protection.vault.key_given import credential_key, environment_key
from cenoby.protection.vault.key_store import KeyringKeySource
from cenoby.protection.vault.key_tpm import tpm_key_source
from cenoby.protection.vault.keys import KeySource


def key_source(settings: VaultSettings, data: Path, environment: Mapping[str, str]) -> KeySource:
    """The source that the setting `vault.key` names.

    Args:
        settings: the vault's.
        data: the colony's directory, for a file that the settings do not name.
        environment: the process's variables.

    Raises:
        VaultError: `vault_key_unusable`.
    """
    if settings.key == "keyring":
        return KeyringKeySource()
    if settings.key == "tpm":
        return tpm_key_source(settings.file or data / "master.tpm", settings.tpm)
    if settings.key == "systemd":
        return credential_key(environment)
    return (
        environment_key(environment) if settings.key == "env" else FileKeySource(settings.file or data / "master.key")
    )
