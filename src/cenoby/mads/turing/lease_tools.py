"""Turing's tools for leases: until when somebody may hold a value that was told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.mads.turing.arguments import Seconds
from cenoby.mads.turing.ports import LeaseKeeper
from cenoby.mads.turing.views import LeaseList, LeasesEnded, LeaseView, lease_view

_PAGE = 100
LeaseId = Annotated[str, Field(min_length=1, max_length=64)]
Holder = Annotated[str, Field(max_length=80)]
SecretName = Annotated[str, Field(max_length=128)]


class LeaseTools:
    """The part of Turing that renews, revokes and lists leases."""

    _leases: LeaseKeeper

    @tool("secret:read", effect="writes", title="Renew a lease")
    async def renew_lease(
        self,
        call: Call,
        lease_id: Annotated[LeaseId, Field(description="Of a lease of the caller's own.")],
        seconds: Annotated[
            Seconds | None, Field(description="For how long from now; left out: as the settings say.")
        ] = None,
    ) -> LeaseView:
        """Make a lease of one's own last longer, never beyond `renewable_until`. A lease that is over is not renewed:
        read the secret again."""
        lease = await self._leases.renew(call.principal, lease_id, seconds, tool=call.tool, record=call.note)
        return lease_view(lease)

    @tool("secret:read", effect="writes", idempotent=True, title="Revoke leases")
    async def revoke_lease(
        self,
        call: Call,
        lease_id: Annotated[
            LeaseId | None, Field(description="One lease; or name a holder, a secret, or both.")
        ] = None,
        holder: Annotated[Holder, Field(description="All leases of this agent, or of `mad:<name>`.")] = "",
        name: Annotated[SecretName, Field(description="All leases of this secret.")] = "",
    ) -> LeasesEnded:
        """End leases: one's own, or as an operator anybody's in the tenant. Whoever may still read the secret gets a
        new lease by reading it again; to keep them out, change its policy or revoke it."""
        if bool(lease_id) is bool(holder or name):
            raise CallInvalid("arguments_invalid", "Name one lease, or a holder, a secret, or both.")
        ended = await self._leases.end(call.principal, lease=lease_id or "", agent=holder, name=name, record=call.note)
        return LeasesEnded([lease_view(one) for one in ended])

    @tool("secret:read", effect="reads", title="List leases")
    async def list_leases(
        self,
        call: Call,
        holder: Annotated[Holder, Field(description="Only of this agent, or of `mad:<name>`.")] = "",
        name: Annotated[SecretName, Field(description="Only of this secret.")] = "",
        cursor: Annotated[
            str | None, Field(max_length=64, description="`next_cursor` of the page before; null for the first page.")
        ] = None,
        limit: Annotated[int, Field(ge=1, le=500, description="Leases on one page.")] = _PAGE,
    ) -> LeaseList:
        """List leases that hold: one's own, or as an operator all of the tenant. Never with values."""
        found = await self._leases.list(call.principal, holder=holder, name=name, after=cursor or "", limit=limit + 1)
        page = found[:limit]
        return LeaseList([lease_view(one) for one in page], page[-1].id if len(found) > limit else None)
