"""What the vault journals, each before it is done, and what data protection saw; never a value."""

from __future__ import annotations

from typing import Any

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


class SecretRead(Event, frozen=True, tag="secret_read.v2"):
    """A value is about to be told, to the caller or to the colony itself.

    Attributes:
        name, version: which secret.
        tenant, mad: whose, and for which MAD, where the colony itself reads it.
        tool, to: which tool is being served meanwhile, and to which host:port it goes in a header; since version 2.
        lease: the lease under which it is told; since version 2.
    """

    name: str
    version: int
    tenant: str = ""
    mad: str = ""
    tool: str = ""
    to: str = ""
    lease: str = ""
    upgraders = {1: dict}


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


class SecretPolicySet(Event, frozen=True, tag="secret_policy_set.v1"):
    """The policy of a secret is about to become another one, or none (`permits` is null); `notes` says why.

    Attributes:
        name: which secret of the caller's tenant.
        permits: the policy, as plain JSON types.
    """

    name: str
    permits: list[dict[str, Any]] | None


class SecretLeased(Event, frozen=True, tag="secret_leased.v1"):
    """Somebody is about to hold a value until a time.

    Attributes:
        lease: its id.
        name, version: which secret.
        holder: an agent, or `mad:<name>`.
        until, renewable_until: RFC 3339, UTC.
        tenant: whose secret, where the colony itself holds it.
    """

    lease: str
    name: str
    version: int
    holder: str
    until: str
    renewable_until: str
    tenant: str = ""


class SecretLeaseRenewed(Event, frozen=True, tag="secret_lease_renewed.v1"):
    """A secret lease is about to last until another time."""

    lease: str
    name: str
    holder: str
    until: str
    tenant: str = ""


class SecretLeaseEnded(Event, frozen=True, tag="secret_lease_ended.v1"):
    """A secret lease is over: `expired`, `revoked` by somebody, or `destroyed` with the value it was for.

    Attributes:
        lease: its id.
        name, holder: which secret, and who held it.
        why: expired, revoked or destroyed.
        tenant: whose secret, where the colony itself ends it.
    """

    lease: str
    name: str
    holder: str
    why: str
    tenant: str = ""


class GlassBroken(Event, frozen=True, tag="glass_broken.v1"):
    """Two people let somebody read a secret once that no policy gives them; `notes` says why.

    Attributes:
        name, version: which secret.
        agent: who is about to be told it.
    """

    name: str
    version: int
    agent: str


class SecretRenewalFailed(Event, frozen=True, tag="secret_renewal_failed.v1"):
    """A secret was due for another value and keeps the one it has; `notes` has the code of the error.

    Attributes:
        name: which secret.
        failures: how often in a row by now.
        again: when it is tried again; RFC 3339, UTC.
    """

    name: str
    failures: int
    again: str


class MasterKeyRotated(Event, frozen=True, tag="master_key_rotated.v1"):
    """The key that protects all secrets is about to be replaced by the one with `key_id`."""

    key_id: str


class CanarySeen(Event, frozen=True, tag="canary_seen.v2"):
    """A call carried a planted text, and was refused: a security event.

    Where the text is another tenant's than the caller's, both journals have it: the caller's without the label, and the
    owner's without the caller.

    Attributes:
        canary: the label that its owner gave the text.
        tool: what was called.
        direction: `in`, `model` or `out`: in its arguments, in a prompt, or in its result.
        invocation: id of the call.
    """

    tool: str
    direction: str
    invocation: str
    canary: str = ""
    upgraders = {1: dict[str, Any]}
