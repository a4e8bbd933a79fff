"""What Turing's tools give back; a value is only in `Told`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cenoby.kernel.clock import iso_time
from cenoby.mads.turing.ports import PolicyInForce, UseExplained
from cenoby.protection.secrets import LeaseInfo, SecretInfo, VersionInfo


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of a secret, without its value. Times are RFC 3339 in UTC; `revoked_at` is null while it is good."""

    name: str
    version: int
    readers: list[str]
    colony_only: bool
    created_by: str
    created_at: str
    revoked_by: str | None
    revoked_at: str | None


@dataclass(frozen=True, slots=True)
class SecretView:
    """A secret by its newest version, without its value."""

    name: str
    owner: str
    versions: int
    newest: VersionView


@dataclass(frozen=True, slots=True)
class SecretList:
    """One page of secrets by name; `next_cursor` is the `cursor` of the following page, null on the last one."""

    secrets: list[SecretView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class VersionList:
    """All versions of a secret, the newest first."""

    versions: list[VersionView]


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease: until when its holder may hold the value, and up to when it can be renewed. Times are RFC 3339, UTC."""

    lease_id: str
    name: str
    version: int
    holder: str
    begun_at: str
    expires_at: str
    renewable_until: str


@dataclass(frozen=True, slots=True)
class LeaseList:
    """One page of leases by id; `next_cursor` is the `cursor` of the following page, null on the last one."""

    leases: list[LeaseView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class LeasesEnded:
    """The leases that were revoked just now."""

    leases: list[LeaseView]


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One policy of a secret that is in force; all of them must let a use through."""

    source: str
    """`settings`, or `set` by a person."""
    permits: list[dict[str, Any]]
    set_by: str
    set_at: str | None


@dataclass(frozen=True, slots=True)
class SecretPolicyView:
    """The policies of a secret; none: whoever its readers are may read it."""

    name: str
    policies: list[PolicyView]


@dataclass(frozen=True, slots=True)
class PermitConsidered:
    """A permit, and which of its parts the use fits; how often is counted apart."""

    source: str
    permit: dict[str, Any]
    who: bool
    tools: bool
    to: bool


@dataclass(frozen=True, slots=True)
class UseView:
    """Why the policies of a secret say what they say of a use."""

    name: str
    decision: str
    """`allow`, `deny`, or `no policy`."""
    because: str
    permits: list[PermitConsidered]


@dataclass(frozen=True, slots=True)
class Told:
    """A secret, told. Do not repeat the value in messages or arguments."""

    name: str
    version: int
    value: str
    lease: LeaseView | None = None

    def __repr__(self) -> str:
        return f"Told(name={self.name!r}, version={self.version})"


@dataclass(frozen=True, slots=True)
class Revoked:
    """The versions whose values were destroyed just now."""

    name: str
    versions: list[int]


@dataclass(frozen=True, slots=True)
class MasterKeyView:
    """The id of the master key in force; it tells nothing about the key."""

    key_id: str


def secret_view(info: SecretInfo) -> SecretView:
    """A secret without its value."""
    return SecretView(info.newest.name, info.owner, info.versions, version_view(info.newest))


def version_view(info: VersionInfo) -> VersionView:
    """A version without its value."""
    return VersionView(
        name=info.name,
        version=info.version,
        readers=list(info.readers),
        colony_only=info.colony_only,
        created_by=info.created_by,
        created_at=iso_time(info.created_ns),
        revoked_by=info.revoked_by or None,
        revoked_at=None if info.revoked_ns is None else iso_time(info.revoked_ns),
    )


def lease_view(lease: LeaseInfo) -> LeaseView:
    """A lease."""
    return LeaseView(
        lease_id=lease.id,
        name=lease.name,
        version=lease.version,
        holder=lease.holder,
        begun_at=iso_time(lease.begun_ns),
        expires_at=iso_time(lease.expires_ns),
        renewable_until=iso_time(lease.ends_ns),
    )


def policy_view(policy: PolicyInForce) -> PolicyView:
    """A policy in force."""
    return PolicyView(
        source=policy.source,
        permits=policy.plain(),
        set_by=policy.set_by,
        set_at=iso_time(policy.set_ns) if policy.set_ns else None,
    )


def use_view(name: str, explained: UseExplained) -> UseView:
    """What policies say of a use."""
    return UseView(
        name=name,
        decision=explained.decision,
        because=explained.because,
        permits=[
            PermitConsidered(policy.source, one.permit, one.who, one.tools, one.to)
            for policy, considered in explained.considered
            for one in considered
        ],
    )
