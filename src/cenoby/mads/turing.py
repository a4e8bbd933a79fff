"""Turing keeps secrets. His tools tell a value to whoever may know it, once, and say everything else without it.

What the tools need: get_secret, list_secrets and list_versions `secret:read`, set_secret and revoke_secret
`secret:write`, rotate_secret `secret:rotate`, rotate_master_key `colony:admin`. Beyond the capability each secret may
name its readers. Values are neither journalled nor redacted; that they were read is journalled before they are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field

from cenoby.colony.home import require_home
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.kernel.events import by_name
from cenoby.protection.events import (
    MasterKeyRotated,
    SecretRead,
    SecretRefused,
    SecretRevoked,
    SecretRotated,
    SecretSet,
)
from cenoby.protection.secrets import (
    LONGEST_VALUE,
    MOST_READERS,
    NAME_FORM,
    READER_FORM,
    Caller,
    Journalled,
    SecretInfo,
    SecretValue,
    VersionInfo,
    value_problem,
)

Name = Annotated[
    str,
    Field(
        pattern=f"^{NAME_FORM}$",
        description="Name of the secret: letters, digits and _ . - /, at most 128, e.g. `models/openai`.",
    ),
]
Version = Annotated[int, Field(ge=1)]
Reader = Annotated[str, Field(pattern=f"^{READER_FORM}$")]
_PAGE = 100


def _checked(value: str) -> str:
    # The schema counts characters; what the vault keeps is bytes, and it must not say so after the call is on record.
    if problem := value_problem(value):
        raise ValueError(problem)
    return value


Value = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_VALUE,
        description=f"The value, at most {LONGEST_VALUE} bytes in UTF-8; never journalled or shown.",
    ),
    AfterValidator(_checked),
]


class SecretKeeper(Protocol):
    """The vault, as Turing sees it. Errors are CenobyErrors of the vault's own."""

    async def set_secret(
        self,
        caller: Caller,
        name: str,
        value: str,
        *,
        readers: Sequence[str] | None = None,
        colony_only: bool | None = None,
        record: Journalled,
    ) -> VersionInfo: ...

    async def get_secret(
        self, caller: Caller, name: str, version: int | None = None, *, record: Journalled
    ) -> SecretValue: ...

    async def list_secrets(self, caller: Caller, *, after: str = "", limit: int = 100) -> list[SecretInfo]: ...

    async def list_versions(self, caller: Caller, name: str) -> list[VersionInfo]: ...

    async def rotate_secret(
        self, caller: Caller, name: str, new_value: str | None = None, *, length: int = 32, record: Journalled
    ) -> VersionInfo: ...

    async def revoke_secret(
        self, caller: Caller, name: str, version: int | None = None, *, record: Journalled
    ) -> list[int]: ...

    async def rotate_master_key(self, *, record: Journalled) -> str: ...


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
class Told:
    """A secret, told. Do not repeat the value in messages or arguments."""

    name: str
    version: int
    value: str

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


class Turing(Mad):
    """Keeps secrets.

    Args:
        keeper: the vault.
    """

    name = "turing"
    summary = "Keeps secrets: encrypted, versioned, told only to those who may know, every access on record."
    events = by_name(SecretSet, SecretRotated, SecretRead, SecretRefused, SecretRevoked, MasterKeyRotated)

    def __init__(self, *, keeper: SecretKeeper) -> None:
        self._keeper = keeper

    @tool("secret:write", effect="writes", title="Store a secret", sensitive=("value",))
    async def set_secret(
        self,
        call: Call,
        name: Name,
        value: Value,
        readers: Annotated[
            list[Reader] | None,
            Field(
                max_length=MOST_READERS,
                description="Who may read it, as `role:<name>` or `agent:<name>`; empty: every caller who may read "
                "secrets; left out: as before, and empty for a new secret.",
            ),
        ] = None,
        colony_only: Annotated[
            bool | None,
            Field(
                description="True: for the colony's own use (a model's key), told to nobody; left out: as before, and "
                "false for a new secret."
            ),
        ] = None,
    ) -> VersionView:
        """Store a secret, as version 1 or as the next version of an existing one. Returns everything but the value."""
        info = await self._keeper.set_secret(
            call.principal, name, value, readers=readers, colony_only=colony_only, record=call.note
        )
        return _version(info)

    @tool("secret:read", effect="reads", title="Read a secret", sensitive_result=True)
    async def get_secret(
        self,
        call: Call,
        name: Name,
        version: Annotated[Version | None, Field(description="Which version; left out: the newest.")] = None,
    ) -> Told:
        """Read the value of a secret. The reading is journalled before the value is told."""
        told = await self._keeper.get_secret(call.principal, name, version, record=call.note)
        return Told(told.name, told.version, told.value)

    @tool("secret:read", effect="reads", title="List secrets")
    async def list_secrets(
        self,
        call: Call,
        cursor: Annotated[
            str | None, Field(max_length=128, description="`next_cursor` of the page before; null for the first page.")
        ] = None,
        limit: Annotated[int, Field(ge=1, le=500, description="Secrets on one page.")] = _PAGE,
    ) -> SecretList:
        """List the names of secrets with their owners, readers and versions, never with values."""
        found = await self._keeper.list_secrets(call.principal, after=cursor or "", limit=limit + 1)
        page = found[:limit]
        return SecretList([_secret(info) for info in page], page[-1].newest.name if len(found) > limit else None)

    @tool("secret:read", effect="reads", title="List versions of a secret")
    async def list_versions(self, call: Call, name: Name) -> VersionList:
        """List the versions of a secret, the newest first, never with values."""
        return VersionList([_version(info) for info in await self._keeper.list_versions(call.principal, name)])

    @tool("secret:rotate", effect="writes", title="Rotate a secret", sensitive=("new_value",))
    async def rotate_secret(
        self,
        call: Call,
        name: Name,
        new_value: Annotated[
            Value | None, Field(description="The new value; left out: random letters and digits.")
        ] = None,
        length: Annotated[int, Field(ge=16, le=1024, description="Characters of a random value.")] = 32,
    ) -> VersionView:
        """Give a secret a new value, for the same readers. The value is never returned; older versions stay readable
        until they are revoked."""
        info = await self._keeper.rotate_secret(call.principal, name, new_value, length=length, record=call.note)
        return _version(info)

    @tool("secret:write", effect="writes", idempotent=True, title="Revoke a secret")
    async def revoke_secret(
        self,
        call: Call,
        name: Name,
        version: Annotated[Version | None, Field(description="Which version; left out: all of them.")] = None,
    ) -> Revoked:
        """Destroy the value of one version of a secret, or of all, for good. Its name and history stay."""
        return Revoked(name, await self._keeper.revoke_secret(call.principal, name, version, record=call.note))

    @tool("colony:admin", effect="writes", title="Rotate the master key")
    async def rotate_master_key(self, call: Call) -> MasterKeyView:
        """Replace the key that protects all secrets; secrets keep their values. Older backups need the former key."""
        require_home(call)
        return MasterKeyView(await self._keeper.rotate_master_key(record=call.note))


def _secret(info: SecretInfo) -> SecretView:
    return SecretView(info.newest.name, info.owner, info.versions, _version(info.newest))


def _version(info: VersionInfo) -> VersionView:
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
