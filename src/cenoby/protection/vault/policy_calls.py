"""Policies of secrets as people set them and callers ask about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cenoby.kernel.settings_secrets import SecretPermit
from cenoby.protection.secrets import Caller, Journalled, Use
from cenoby.protection.vault.policies import PolicyInForce, UseExplained
from cenoby.protection.vault.rule import check_person
from cenoby.protection.vault.vault import Vault

RolesOf = Callable[[str, str], tuple[str, ...]]
"""The roles of an agent `(agent, tenant)`; none for one that is not known."""


class PolicyCalls:
    """What a caller may do with policies.

    Args:
        vault: whose policies.
        roles_of: the roles of those who are asked about.
    """

    def __init__(self, vault: Vault, roles_of: RolesOf) -> None:
        self._vault = vault
        self._roles_of = roles_of

    async def set_policy(
        self,
        caller: Caller,
        kind: str,
        name: str,
        permits: Sequence[SecretPermit] | None,
        reason: str,
        *,
        record: Journalled,
    ) -> list[PolicyInForce]:
        """Give a secret another policy, or none; what is in force then, that of the settings included.

        Args:
            kind: what the caller is: only a `person` may.
            permits: None for no policy.
            reason: why, for the journal.

        Raises:
            SecretRefused: `secret_person`.
            SecretNotFound: `secret_unknown`.
        """
        check_person(kind, "The policy of a secret")
        await self._vault.list_versions(caller, name)
        await self._vault.policies.set(caller, name, permits, reason, record)
        return await self.show(caller, name)

    async def show(self, caller: Caller, name: str) -> list[PolicyInForce]:
        """The policies of a secret that are in force; none where its readers are all there is."""
        return await self._vault.policies.of(caller.tenant, name)

    async def explain(
        self, caller: Caller, name: str, *, agent: str = "", mad: str = "", tool: str = "", to: str = ""
    ) -> UseExplained:
        """What a secret's policies say of a use in the caller's tenant; of the caller's own where nobody is named."""
        asked = agent or ("" if mad else caller.agent)
        roles = caller.roles if asked == caller.agent else self._roles_of(asked, caller.tenant) if asked else ()
        use = Use(tenant=caller.tenant, agent=asked, roles=roles, mad=mad, tool=tool, to=to)
        return await self._vault.policies.explain(name, use)
