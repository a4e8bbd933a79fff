"""Who a caller is by now: a call that was parked runs as whoever its caller has become, or not at all."""

from __future__ import annotations

from msgspec.structs import replace

from cenoby.access.oauth.resource import PREFIX as FOREIGN
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused
from cenoby.access.tokens import AccessUnauthenticated, Identities


def still(identities: Identities, principal: Principal) -> Principal:
    """The principal with the roles that its agent has now.

    A token that ran out meanwhile does not matter, for it was good when its call came in, and people take their time;
    one that was revoked does. Who came without a token, from inside, is who it was; whom another authority vouches for
    is, too, unless blocked meanwhile.

    Raises:
        AccessUnauthenticated: `token_revoked`, or `token_unknown`: the token is gone.
        AccessRefused: `roles_changed`: the agent is gone, or another tenant's.
    """
    if not principal.token_id:
        return principal
    if principal.token_id.startswith(FOREIGN):
        if (problem := identities.ended(principal)) is not None:
            raise problem
        return principal
    token = next((one for one in identities.list_tokens(principal.agent) if one.id == principal.token_id), None)
    if token is None:
        raise AccessUnauthenticated("token_unknown", f"The token by which {principal.agent!r} called is gone.")
    if token.revoked_ns is not None:
        raise AccessUnauthenticated("token_revoked", f"The token by which {principal.agent!r} called was revoked.")
    agent = next((one for one in identities.list_agents() if one.name == principal.agent), None)
    if agent is None or agent.tenant != principal.tenant:
        raise AccessRefused("roles_changed", f"{principal.agent!r} is not who it was when it called.")
    return replace(principal, roles=agent.roles, kind=agent.kind)
