"""What Turing is given: the vault, and its leases and policies as callers may use them. Errors are the vault's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from cenoby.kernel.settings_secrets import SecretPermit
from cenoby.protection.secrets import Caller, Journalled, LeaseInfo, SecretInfo, SecretValue, VersionInfo


class SecretKeeper(Protocol):
    """The vault, as Turing sees it."""

    async def set_secret(
        self,
        caller: Caller,
        name: str,
        value: str,
        *,
        readers: Sequence[str] | None = None,
        colony_only: bool | None = None,
        permits: Sequence[SecretPermit] | None = None,
        record: Journalled,
    ) -> VersionInfo: ...

    async def get_secret(
        self,
        caller: Caller,
        name: str,
        version: int | None = None,
        *,
        tool: str = "",
        lease_seconds: float | None = None,
        record: Journalled,
    ) -> SecretValue: ...

    async def list_secrets(self, caller: Caller, *, after: str = "", limit: int = 100) -> list[SecretInfo]: ...

    async def list_versions(self, caller: Caller, name: str) -> list[VersionInfo]: ...

    async def rotate_secret(
        self,
        caller: Caller,
        name: str,
        new_value: str | None = None,
        *,
        length: int = 32,
        make: Callable[[], Awaitable[str]] | None = None,
        record: Journalled,
    ) -> VersionInfo: ...

    async def break_glass(
        self, caller: Caller, name: str, version: int | None, reason: str, *, seconds: float, record: Journalled
    ) -> SecretValue: ...

    async def revoke_secret(
        self, caller: Caller, name: str, version: int | None = None, *, record: Journalled
    ) -> list[int]: ...

    async def rotate_master_key(self, *, record: Journalled) -> str: ...


class Renewer(Protocol):
    """What the settings say of how secrets are renewed."""

    def maker(self, tenant: str, name: str) -> Callable[[], Awaitable[str]] | None: ...


class LeaseKeeper(Protocol):
    """Leases, as Turing sees them."""

    async def renew(
        self, caller: Caller, identifier: str, seconds: float | None, *, tool: str = "", record: Journalled
    ) -> LeaseInfo: ...

    async def end(
        self, caller: Caller, *, lease: str = "", agent: str = "", name: str = "", record: Journalled
    ) -> list[LeaseInfo]: ...

    async def list(
        self, caller: Caller, *, holder: str = "", name: str = "", after: str = "", limit: int = 100
    ) -> list[LeaseInfo]: ...


class Considered(Protocol):
    """One permit, and which of its parts a use fits."""

    @property
    def permit(self) -> dict[str, Any]: ...
    @property
    def who(self) -> bool: ...
    @property
    def tools(self) -> bool: ...
    @property
    def to(self) -> bool: ...


class PolicyInForce(Protocol):
    """A policy, where it is from, and who set it when."""

    @property
    def source(self) -> str: ...
    @property
    def set_by(self) -> str: ...
    @property
    def set_ns(self) -> int: ...
    def plain(self) -> list[dict[str, Any]]: ...


class UseExplained(Protocol):
    """What policies say of a use."""

    @property
    def decision(self) -> str: ...
    @property
    def because(self) -> str: ...
    @property
    def considered(self) -> Sequence[tuple[PolicyInForce, Sequence[Considered]]]: ...


class SecretPolicyKeeper(Protocol):
    """Policies of secrets, as Turing sees them."""

    async def set_policy(
        self,
        caller: Caller,
        kind: str,
        name: str,
        permits: Sequence[SecretPermit] | None,
        reason: str,
        *,
        record: Journalled,
    ) -> Sequence[PolicyInForce]: ...

    async def show(self, caller: Caller, name: str) -> Sequence[PolicyInForce]: ...

    async def explain(
        self, caller: Caller, name: str, *, agent: str = "", mad: str = "", tool: str = "", to: str = ""
    ) -> UseExplained: ...
