"""The settings of the vault: where its master key comes from, whether it starts sealed, and where secrets lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cenoby.kernel.settings_section import Seconds, Section


class VaultSettings(Section):
    """Where the key that protects all secrets comes from."""

    key: Literal["file", "keyring", "env", "systemd", "tpm"] = "file"
    """`file`: DATA/master.key, mode 0600, made at first start; `keyring`: the system key store; `env`: a variable;
    `systemd`: the credential `cenoby-master-key`; `tpm`: DATA/master.tpm, which this device's TPM 2.0 alone opens."""
    file: Path | None = None
    """The file of `file` or `tpm`, where it is another: nodes on one machine share it."""
    tpm: str = ""
    """Which TPM, as tpm2-tools name it, e.g. `device:/dev/tpmrm0`; empty: the one that they find."""
    seal: Literal["none", "passphrase", "shamir"] = "none"
    """Whether the colony starts without its master key, until people unseal it: with a passphrase, or with shares."""
    attempt_seconds: Seconds = 900
    """Seconds after which shares that were given are forgotten, where the last one does not come."""
