"""Turing's tools for policies of secrets: who may use one for what, and why not."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.settings_secrets import SecretPermit
from cenoby.mads.turing.arguments import Name
from cenoby.mads.turing.ports import SecretPolicyKeeper
from cenoby.mads.turing.views import SecretPolicyView, UseView, policy_view, use_view


class PolicyTools:
    """The part of Turing that shows, explains and sets policies of secrets."""

    _policies: SecretPolicyKeeper

    @tool("secret:govern", effect="writes", idempotent=True, title="Set the policy of a secret")
    async def set_secret_policy(
        self,
        call: Call,
        name: Name,
        permits: Annotated[
            list[SecretPermit] | None,
            Field(
                max_length=64,
                description="What it may be used for; an empty list: nothing. Null: no policy but that of the "
                "settings, and whoever its readers are may read it.",
            ),
        ],
        reason: Annotated[str, Field(description="Why; the journal gets it.", min_length=1, max_length=500)],
    ) -> SecretPolicyView:
        """Give a secret another policy, from the next use on; only a person may. What the settings say holds beside it:
        both must let a use through."""
        principal = call.principal
        policies = await self._policies.set_policy(principal, principal.kind, name, permits, reason, record=call.note)
        return SecretPolicyView(name, [policy_view(one) for one in policies])

    @tool("secret:read", effect="reads", title="Show the policy of a secret")
    async def show_secret_policy(self, call: Call, name: Name) -> SecretPolicyView:
        """Show the policies of a secret that are in force; with none, its readers are all there is to ask."""
        return SecretPolicyView(name, [policy_view(one) for one in await self._policies.show(call.principal, name)])

    @tool("secret:read", effect="reads", title="Explain whether a secret may be used")
    async def explain_secret(
        self,
        call: Call,
        name: Name,
        agent: Annotated[str, Field(max_length=64, description="Who would be told it; left out: the caller.")] = "",
        mad: Annotated[
            str, Field(max_length=64, description="The MAD that would use it itself, instead of an agent.")
        ] = "",
        tool: Annotated[str, Field(max_length=64, description="By which tool.")] = "mads.turing.get_secret",
        to: Annotated[str, Field(max_length=260, description="In a header to which host:port; empty: told.")] = "",
    ) -> UseView:
        """Say what the policies of a secret decide on a use of it, and how each permit fits; nothing is told or
        counted."""
        explained = await self._policies.explain(call.principal, name, agent=agent, mad=mad, tool=tool, to=to)
        return use_view(name, explained)
