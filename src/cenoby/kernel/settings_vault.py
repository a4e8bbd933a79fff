"""The settings of the vault: where its master key comes from, whether it starts sealed, and where secrets lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from cenoby.kernel.settings_section import Seconds, Section

_Path = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")]


class OpenBaoSettings(Section):
    """A KV engine (version 2) at an OpenBao or HashiCorp Vault server that keeps the secrets."""

    url: Annotated[str, Field(pattern=r"^https?://[^/?#]+/?$")]
    """The server, e.g. `https://bao.example:8200`; its host and port must be in `egress.allow` where it is inside."""
    credential: Path
    """A file, mode 0600, with a token, or with the secret id of `role_id`."""
    role_id: str = ""
    """Signs in by AppRole; empty: the file holds a token."""
    approle: _Path = "approle"
    """Where AppRole is mounted."""
    mount: _Path = "secret"
    """Where the KV engine is mounted."""
    prefix: _Path = "cenoby"
    """Folder in it; below are a folder for each tenant and then the names of secrets."""
    timeout: Seconds = 10
    """Seconds of one request."""
    insecure: bool = False
    """Allow plain HTTP to a server that is not on this machine's loopback."""

    @model_validator(mode="after")
    def _encrypted(self) -> OpenBaoSettings:
        host = urlsplit(self.url).hostname
        if self.url.startswith("http:") and host not in ("127.0.0.1", "::1", "localhost") and not self.insecure:
            raise ValueError("vault.openbao.url: use https, or say insecure: true")
        return self


class VaultSettings(Section):
    """Where secrets lie, and where the key that protects them comes from."""

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
    openbao: OpenBaoSettings | None = None
    """Keep secrets at an OpenBao or Vault server, which has a key and a seal of its own; null: in our database."""

    @model_validator(mode="after")
    def _one_seal(self) -> VaultSettings:
        if self.openbao is not None and self.seal != "none":
            raise ValueError("vault: seal is of our own database; an OpenBao server has its own")
        return self
