"""Grace's tools for identities: agents, their tokens, and whom another authority vouches for in vain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.access.blocked import Block
from cenoby.access.principals import Autonomy, Kind, Seniority
from cenoby.access.registration import Wish
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.access.tokens import Identities, NewToken
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import Clock, iso_time
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.settings_identity import TokenSettings
from cenoby.mads.grace import views
from cenoby.mads.grace.events import SubjectBlocked, SubjectUnblocked, TokenCreated, TokenRevoked, TokenRotated

AgentName = Annotated[str, Field(description="Name of the agent.", min_length=1, max_length=63)]
Label = Annotated[str | None, Field(max_length=63)]
Words = Annotated[str, Field(description="Why.", max_length=500)]
TokenId = Annotated[str, Field(description="Id of the token, from list_tokens.", max_length=100)]


@dataclass(frozen=True, slots=True)
class BlockView:
    agent: str
    token: str
    """Only this token of it (`jti`); empty for all."""
    reason: str
    blocked_by: str
    blocked: str


@dataclass(frozen=True, slots=True)
class BlockList:
    blocked: list[BlockView]


class IdentityTools:
    """The part of Grace that lets agents in, and keeps them out."""

    _identities: Identities
    _roles: RoleTable
    _token_settings: TokenSettings
    _clock: Clock

    @tool("colony:admin", effect="reads", title="List agents")
    async def list_agents(self, call: Call) -> views.AgentList:
        """List the agents of the caller's tenant with their roles and how many live tokens each has."""
        known = self._identities.list_agents()
        return views.AgentList([views.agent_view(one) for one in known if one.tenant == call.principal.tenant])

    @tool("colony:admin", effect="writes", title="Create a token", sensitive_result=True)
    async def create_token(
        self,
        call: Call,
        agent: AgentName,
        roles: Annotated[list[str] | None, Field(description="Roles of a new agent; may be left out later.")] = None,
        role: Annotated[str | None, Field(description="One role, instead of `roles`.")] = None,
        ttl_hours: Annotated[
            float | None, Field(gt=0, description="Hours it lives; `tokens.hours` of the settings unless said.")
        ] = None,
        forever: Annotated[bool, Field(description="Whether it never expires; rather leave that be.")] = False,
        kind: Annotated[Kind | None, Field(description="What a new agent is; `agent` unless said.")] = None,
        department: Annotated[Label, Field(description="Where it works.")] = None,
        seniority: Annotated[Seniority | None, Field(description="How far it has come.")] = None,
        autonomy: Annotated[Autonomy | None, Field(description="A new agent's own autonomy level.")] = None,
        parent: Annotated[Label, Field(description="The agent for which a new agent works.")] = None,
        reason: Words = "",
        tenant: Annotated[Label, Field(description="Of a new agent; only the home tenant's operator says it.")] = None,
        bind: Annotated[
            str,
            Field(description="Thumbprint (RFC 7638) of the key that its holder must prove to have.", max_length=64),
        ] = "",
        replace_roles: Annotated[
            bool, Field(description="Give an agent that exists these roles, department and seniority.")
        ] = False,
        beyond_parent: Annotated[bool, Field(description="Let it have rights that its parent lacks.")] = False,
    ) -> views.NewTokenView:
        """Make a token for an agent, and register the agent if it is new. The token is shown this once."""
        if tenant not in (None, call.principal.tenant) and call.principal.tenant != DEFAULT_TENANT:
            raise AccessRefused("agent_invalid", f"Only an operator of {DEFAULT_TENANT!r} lets other tenants in.")
        wish = Wish(
            name=agent,
            roles=tuple(sorted({*(roles or []), *([role] if role else [])})),
            tenant=tenant or call.principal.tenant,
            kind=kind,
            department=department,
            seniority=seniority,
            autonomy=autonomy,
            parent=parent,
            reason=reason,
            replace=replace_roles,
            beyond_parent=beyond_parent,
        )
        hours = None if forever else ttl_hours or self._token_settings.hours
        made = await self._identities.issue(wish, ttl_seconds=hours and hours * 3600, bound_to=bind)
        view = self._new_token_view(made)
        await call.note(
            TokenCreated(token_id=made.id, agent=agent, roles=tuple(view.roles), expires=view.expires, notes=reason)
        )
        return view

    @tool("colony:admin", effect="reads", title="List tokens")
    async def list_tokens(
        self, call: Call, agent: Annotated[str | None, Field(description="Only those of this agent.")] = None
    ) -> views.TokenList:
        """List tokens, oldest first: whose, since when, until when, and whether they work. Never their text."""
        now_ns, own = self._clock.now_ns(), self._own_agents(call)
        tokens = [one for one in self._identities.list_tokens(agent) if one.agent in own]
        return views.TokenList([views.token_view(one, now_ns) for one in tokens])

    @tool("token:rotate", effect="writes", title="Rotate a token", sensitive_result=True)
    async def rotate_token(
        self,
        call: Call,
        token_id: Annotated[TokenId, Field(description="Id of the token; the caller's own where left out.")] = "",
        grace_seconds: Annotated[
            float | None,
            Field(ge=0, le=3600, description="Seconds the old one works on; `tokens.rotation_grace` unless said."),
        ] = None,
    ) -> views.NewTokenView:
        """Replace a token by a new one of the same agent and life time: the caller's own, or as an operator any."""
        wanted = token_id or call.principal.token_id
        if wanted != call.principal.token_id:
            self._roles.authorise(call.principal, "colony:admin", "mads.grace.rotate_token of another agent")
        self._require_own(call, wanted)
        grace = self._token_settings.rotation_grace if grace_seconds is None else grace_seconds
        made = await self._identities.rotate(wanted, grace_seconds=grace)
        view, old = self._new_token_view(made), self._identities.token(wanted)
        ends = iso_time(old.expires_ns or 0)
        await call.note(
            TokenRotated(token_id=wanted, successor=made.id, agent=view.agent, ends=ends, expires=view.expires)
        )
        return view

    @tool("colony:admin", effect="writes", idempotent=True, title="Revoke a token")
    async def revoke_token(self, call: Call, token_id: TokenId) -> views.TokenView:
        """Revoke a token; it stops working at once, and calls under way with it are not told their results."""
        self._require_own(call, token_id)
        revoked = await self._identities.revoke(token_id)
        await call.note(TokenRevoked(token_id=token_id, agent=revoked.agent))
        return views.token_view(revoked, self._clock.now_ns())

    @tool("colony:admin", effect="reads", title="List blocked subjects")
    async def list_blocked(self, call: Call) -> BlockList:
        """List whom another authority vouches for and who is kept out all the same."""
        return BlockList([_view(one) for one in self._identities.blocks.list(call.principal.tenant)])

    @tool("colony:admin", effect="writes", idempotent=True, title="Block a subject")
    async def block_subject(
        self,
        call: Call,
        agent: Annotated[str, Field(description="As the journal has it: `<issuer>#<subject>`.", max_length=63)],
        token: Annotated[str, Field(description="Only this token of it (`jti`).", max_length=64)] = "",
        reason: Words = "",
    ) -> BlockView:
        """Keep an agent out that another authority vouches for: in this process at once, on others within a second."""
        if "#" not in agent:
            raise AccessRefused("agent_invalid", f"{agent!r} has tokens of this colony; revoke those.")
        block = await self._identities.blocks.add(agent, token, reason, call.principal)
        await call.note(SubjectBlocked(agent=agent, token=token, notes=reason))
        return _view(block)

    @tool("colony:admin", effect="writes", title="Unblock a subject")
    async def unblock_subject(
        self,
        call: Call,
        agent: Annotated[str, Field(description="From list_blocked.", max_length=63)],
        token: Annotated[str, Field(description="As list_blocked has it.", max_length=64)] = "",
    ) -> BlockList:
        """Let an agent in again that another authority vouches for; returns who is still kept out."""
        if not await self._identities.blocks.remove(agent, token, call.principal):
            raise AccessRefused("token_not_found", f"{agent!r} is not blocked; list_blocked shows who is.")
        await call.note(SubjectUnblocked(agent=agent, token=token))
        return await self.list_blocked(call)

    def _new_token_view(self, made: NewToken) -> views.NewTokenView:
        token = self._identities.token(made.id)
        roles = next(list(one.roles) for one in self._identities.list_agents() if one.name == token.agent)
        expires = views.time_or_none(token.expires_ns)
        return views.NewTokenView(token_id=made.id, agent=token.agent, roles=roles, expires=expires, token=made.text)

    def _require_own(self, call: Call, token_id: str) -> None:
        own = self._own_agents(call)
        if not any(one.id == token_id for one in self._identities.list_tokens() if one.agent in own):
            raise AccessRefused("token_not_found", f"There is no token {token_id!r}; list_tokens shows them.")

    def _own_agents(self, call: Call) -> set[str]:
        tenant = call.principal.tenant
        return {one.name for one in self._identities.list_agents() if one.tenant == tenant}


def _view(one: Block) -> BlockView:
    return BlockView(one.agent, one.token, one.reason, one.blocked_by, iso_time(one.blocked_ns))
