"""What the vault journals, each before it is done, and what data protection saw; never a value."""

from __future__ import annotations

from cenoby.kernel.events import Event


class SecretSet(Event, frozen=True, tag="secret_set.v1"):
    """A version of a secret is about to be stored: its name and readers, never its value."""

    name: str
    readers: tuple[str, ...]
    colony_only: bool


class SecretRotated(Event, frozen=True, tag="secret_rotated.v1"):
    """A secret is about to get a new value for the same readers."""

    name: str
    readers: tuple[str, ...]
    colony_only: bool


class SecretRead(Event, frozen=True, tag="secret_read.v1"):
    """A value is about to be told, to the caller or to the colony itself.

    Attributes:
        name, version: which secret.
        tenant, mad: whose, and for which MAD, where the colony itself reads it.
    """

    name: str
    version: int
    tenant: str = ""
    mad: str = ""


class SecretRefused(Event, frozen=True, tag="secret_refused.v1"):
    """Somebody asked for a secret who may not; `reason` is the error code."""

    name: str
    version: int
    reason: str
    tenant: str = ""
    mad: str = ""


class SecretRevoked(Event, frozen=True, tag="secret_revoked.v1"):
    """The value of one version, or of all (`version` is null), is about to be destroyed."""

    name: str
    version: int | None


class MasterKeyRotated(Event, frozen=True, tag="master_key_rotated.v1"):
    """The key that protects all secrets is about to be replaced by the one with `key_id`."""

    key_id: str


class CanarySeen(Event, frozen=True, tag="canary_seen.v1"):
    """A call carried a planted text, and was refused: a security event.

    Attributes:
        tool: what was called.
        direction: `in`, `model` or `out`: in its arguments, in a prompt, or in its result.
        invocation: id of the call.
    """

    tool: str
    direction: str
    invocation: str
