"""Turing keeps secrets. His tools tell a value to whoever may know it, once, and say everything else without it.

What the tools need: get_secret, list_secrets, list_versions and those of leases `secret:read`, set_secret and
revoke_secret `secret:write`, rotate_secret `secret:rotate`, set_secret_policy `secret:govern`, break_glass
`secret:break-glass` and two people each time, rotate_master_key `colony:admin`. Beyond the capability each secret may
name its readers, and have a policy. Values are neither journalled nor redacted; that they were read is journalled
before they are told.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cenoby.access.flows.labels import FlowMarks
from cenoby.colony.home import require_home
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from cenoby.kernel.events import by_name
from cenoby.kernel.settings_secrets import SecretPermit
from cenoby.mads.turing.arguments import Name, Reader, Seconds, Value, Version
from cenoby.mads.turing.lease_tools import LeaseTools
from cenoby.mads.turing.policy_tools import PolicyTools
from cenoby.mads.turing.ports import LeaseKeeper, Renewer, SecretKeeper, SecretPolicyKeeper
from cenoby.mads.turing.views import (
    MasterKeyView,
    Revoked,
    SecretList,
    Told,
    VersionList,
    VersionView,
    lease_view,
    secret_view,
    version_view,
)
from cenoby.protection import events
from cenoby.protection.secrets import MOST_READERS
from cenoby.telemetry.logs import get_logger

_PAGE = 100
_log = get_logger("mads.turing")


class Turing(LeaseTools, PolicyTools, Mad):
    """Keeps secrets.

    Args:
        keeper: the vault.
        leases: who holds which value, and until when.
        policies: who may use which secret for what.
        renewals: how secrets get another value where the settings say it.
        break_glass_seconds: how long a value may be held that was read under break-glass.
    """

    name = "turing"
    summary = "Keeps secrets: encrypted, versioned, told only to those who may know, every access on record."
    events = by_name(
        events.SecretSet,
        events.SecretRotated,
        events.SecretRead,
        events.SecretRefused,
        events.SecretRevoked,
        events.SecretPolicySet,
        events.SecretLeased,
        events.SecretLeaseRenewed,
        events.SecretLeaseEnded,
        events.GlassBroken,
        events.SecretRenewalFailed,
        events.MasterKeyRotated,
    )

    def __init__(
        self,
        *,
        keeper: SecretKeeper,
        leases: LeaseKeeper,
        policies: SecretPolicyKeeper,
        renewals: Renewer,
        break_glass_seconds: float,
    ) -> None:
        self._keeper = keeper
        self._leases = leases
        self._policies = policies
        self._renewals = renewals
        self._break_glass_seconds = break_glass_seconds

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
        permits: Annotated[
            list[SecretPermit] | None,
            Field(
                max_length=64,
                description="The policy of a new secret: who may use it, by which tools, sent where, how often; what "
                "no permit names is refused. A secret that exists gets another policy by set_secret_policy.",
            ),
        ] = None,
    ) -> VersionView:
        """Store a secret, as version 1 or as the next version of an existing one. Returns everything but the value."""
        info = await self._keeper.set_secret(
            call.principal,
            name,
            value,
            readers=readers,
            colony_only=colony_only,
            permits=permits,
            record=call.note,
        )
        return version_view(info)

    @tool("secret:read", effect="reads", title="Read a secret", sensitive_result=True)
    async def get_secret(
        self,
        call: Call,
        name: Name,
        version: Annotated[Version | None, Field(description="Which version; left out: the newest.")] = None,
        lease_seconds: Annotated[
            Seconds | None,
            Field(
                description="For how long it will be held, at most as the settings allow: the answer names a lease, "
                "which renew_lease prolongs; forget the value when it is over. Left out: no lease."
            ),
        ] = None,
    ) -> Told:
        """Read the value of a secret. The reading is journalled before the value is told."""
        told = await self._keeper.get_secret(
            call.principal, name, version, tool=call.tool, lease_seconds=lease_seconds, record=call.note
        )
        return Told(told.name, told.version, told.value, None if told.lease is None else lease_view(told.lease))

    @tool(
        "secret:break-glass",
        effect="writes",  # so that its intent is on record, and a crash never makes two reads of one approval
        title="Break the glass",
        sensitive_result=True,
        flow=FlowMarks(labels=("reads:secret",)),
        people=2,
    )
    async def break_glass(
        self,
        call: Call,
        name: Name,
        reason: Annotated[
            str, Field(description="Why; those who decide and the journal get it.", min_length=8, max_length=500)
        ],
        version: Annotated[Version | None, Field(description="Which version; left out: the newest.")] = None,
    ) -> Told:
        """Read a secret once that neither its readers nor its policy give the caller. Two people must agree to it, in
        an emergency that the reason names; it comes with a lease that is not renewed."""
        _log.warning("glass_broken", name=name, agent=call.principal.agent, correlation=call.correlation)
        seconds = self._break_glass_seconds
        told = await self._keeper.break_glass(call.principal, name, version, reason, seconds=seconds, record=call.note)
        return Told(told.name, told.version, told.value, None if told.lease is None else lease_view(told.lease))

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
        return SecretList([secret_view(info) for info in page], page[-1].newest.name if len(found) > limit else None)

    @tool("secret:read", effect="reads", title="List versions of a secret")
    async def list_versions(self, call: Call, name: Name) -> VersionList:
        """List the versions of a secret, the newest first, never with values."""
        return VersionList([version_view(info) for info in await self._keeper.list_versions(call.principal, name)])

    @tool("secret:rotate", effect="writes", title="Rotate a secret", sensitive=("new_value",), timeout=120)
    async def rotate_secret(
        self,
        call: Call,
        name: Name,
        new_value: Annotated[
            Value | None,
            Field(description="The new value; left out: as the settings renew it, else random letters and digits."),
        ] = None,
        length: Annotated[int, Field(ge=16, le=1024, description="Characters of a random value.")] = 32,
    ) -> VersionView:
        """Give a secret a new value, for the same readers. The value is never returned; older versions stay readable
        until they are revoked."""
        make = None if new_value is not None else self._renewals.maker(call.principal.tenant, name)
        info = await self._keeper.rotate_secret(
            call.principal, name, new_value, length=length, make=make, record=call.note
        )
        return version_view(info)

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
