"""Leases as callers ask for them: their own, and for those who administer secrets, everybody's in their tenant."""

from __future__ import annotations

from collections.abc import Collection

from cenoby.protection.secrets import Caller, Journalled, LeaseInfo, Use
from cenoby.protection.vault.leases import over, unknown
from cenoby.protection.vault.policies import SecretPolicies
from cenoby.protection.vault.rule import check_read
from cenoby.protection.vault.vault import Vault


class LeaseCalls:
    """What a caller may do with leases.

    Args:
        vault: whose leases.
        stewards: roles that see and revoke those of others.
    """

    def __init__(self, vault: Vault, stewards: Collection[str] = ("operator",)) -> None:
        self._vault = vault
        self._leases = vault.leases
        self._policies: SecretPolicies = vault.policies
        self._stewards = stewards

    async def renew(
        self, caller: Caller, identifier: str, seconds: float | None, *, tool: str = "", record: Journalled
    ) -> LeaseInfo:
        """Make one of the caller's own leases last longer. Readers and policy are asked again; no use is counted.

        Raises:
            SecretNotFound: `secret_lease_unknown`, `secret_revoked`.
            SecretRefused: `secret_lease_over`, `secret_not_reader`, `secret_colony_only`, `secret_policy`.
        """
        lease = await self._own(caller, identifier)
        if lease.ends_ns <= lease.expires_ns:
            raise over(lease)
        await self._vault.recheck(
            Use(tenant=caller.tenant, agent=caller.agent, roles=caller.roles, tool=tool),
            lease,
            lambda info: check_read(caller, info),
            record,
        )
        return await self._leases.renew(lease, seconds, record)

    async def end(
        self, caller: Caller, *, lease: str = "", agent: str = "", name: str = "", record: Journalled
    ) -> list[LeaseInfo]:
        """Revoke one lease, or all of a holder, of a secret, or of a holder for a secret; those that held until now.

        Raises:
            SecretNotFound: `secret_lease_unknown`: there is none, or it is another's.
        """
        if lease:
            found = await self._leases.get(caller.tenant, lease)
            if found.holder != caller.agent and not self._is_steward(caller):
                raise unknown(lease)
            return await self._leases.end([found] if found.ended_ns is None else [], "revoked", record)
        holder = agent if self._is_steward(caller) else caller.agent
        if agent and agent != holder:
            raise unknown(agent)
        held = await self._leases.live(caller.tenant, holder=holder, name=name)
        return await self._leases.end(held, "revoked", record)

    async def list(
        self, caller: Caller, *, holder: str = "", name: str = "", after: str = "", limit: int = 100
    ) -> list[LeaseInfo]:
        """Leases that hold, by id: the caller's own, or for a steward those of the tenant."""
        if not self._is_steward(caller):
            if holder not in ("", caller.agent):
                return []
            holder = caller.agent
        return await self._leases.live(caller.tenant, holder=holder, name=name, after=after, limit=limit)

    async def _own(self, caller: Caller, identifier: str) -> LeaseInfo:
        found = await self._leases.get(caller.tenant, identifier)
        if found.holder != caller.agent:
            raise unknown(identifier)
        return found

    def _is_steward(self, caller: Caller) -> bool:
        return not set(self._stewards).isdisjoint(caller.roles)
