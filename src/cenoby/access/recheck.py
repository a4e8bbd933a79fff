"""Asking again, on the node that is about to do the work, whether a caller that another node names may still do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cenoby.access.actions import RiskTier
from cenoby.access.blocked import is_blocked
from cenoby.access.identity_sql import read_agent, read_token
from cenoby.access.kills import Kills
from cenoby.access.oauth.resource import PREFIX as FOREIGN
from cenoby.access.oauth.resource import parts_of
from cenoby.access.principals import Principal
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.kernel.clock import Clock
from cenoby.store.database import Database
from cenoby.store.engine import Connection

_FRESH_NS = 1_000_000_000
_KEPT = 8192

Standing = tuple[Principal, int | None, int | None]
"""Of a token: whom it names, when it expires, when it was revoked."""


class Recheck:
    """Compares a principal with the store, which is believed for one second.

    Args:
        database: the colony's store.
        roles: the roles in force on this node.
        clock: the time.
        mad: as whom a MAD calls by itself.
        kills: the switches in force.
    """

    def __init__(
        self, database: Database, roles: RoleTable, clock: Clock, mad: Callable[[str], Principal], kills: Kills
    ) -> None:
        self._database = database
        self._roles = roles
        self._clock = clock
        self._mad = mad
        self._kills = kills
        self._read: dict[str, tuple[int, Standing | None]] = {}
        self._blocked: dict[Principal, tuple[int, bool]] = {}

    async def confirm(
        self,
        principal: Principal,
        action: str,
        tool: str,
        effect: str = "",
        risk: RiskTier = RiskTier.HIGH,
        arguments: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """Pass if the principal is what the store says of its token, and this node's policies do not deny the call.

        Where they want a person to decide, the caller's node has seen to it: the approval is used up there.

        A MAD that calls by itself has no token: its node vouches for it with its signature, and it has the tenant and
        the roles that every such MAD has. Nobody else goes without a token. Whom another authority vouches for is in no
        store: the signing node verified that token, and here it must not have expired nor been blocked.

        Raises:
            AccessRefused: `roles_changed`: it is no longer what it was; `killed`; else as `RoleTable.authorise`.
            StoreUnavailable: the store cannot be asked.
        """
        if principal.token_id.startswith(FOREIGN):
            await self._confirm_foreign(principal)
        elif principal.token_id:
            standing = await self._standing(principal.token_id)
            if standing is None or not self._agrees(principal, standing):
                raise AccessRefused("roles_changed", AccessRefused.codes["roles_changed"])
        elif principal != self._mad(principal.agent):
            raise AccessRefused("roles_changed", f"{principal.agent!r} came to another node without a token.")
        self._kills.check(principal, tool.split(".")[1], tool, action)
        risk, now_ns = self._roles.risk_of(action, risk), self._clock.now_ns()
        self._roles.authorise(principal, action, tool, effect, risk, arguments or {}, defaults or {}, now_ns)

    async def _confirm_foreign(self, principal: Principal) -> None:
        expires, token = parts_of(principal.token_id)
        now_ns, known = self._clock.monotonic_ns(), self._blocked.get(principal)
        if known is None or now_ns - known[0] >= _FRESH_NS:
            blocked = await self._database.read(
                lambda connection: is_blocked(connection, principal.tenant, principal.agent, token)
            )
            if len(self._blocked) >= _KEPT:
                self._blocked.clear()
            self._blocked[principal] = known = now_ns, blocked
        if known[1] or "#" not in principal.agent or self._clock.now_ns() >= expires * 1_000_000_000:
            raise AccessRefused("roles_changed", AccessRefused.codes["roles_changed"])

    async def _standing(self, token_id: str) -> Standing | None:
        now_ns = self._clock.monotonic_ns()
        known = self._read.get(token_id)
        if known is not None and now_ns - known[0] < _FRESH_NS:
            return known[1]
        standing = await self._database.read(lambda connection: _read_standing(connection, token_id))
        if len(self._read) >= _KEPT:
            self._read.clear()
        self._read[token_id] = now_ns, standing
        return standing

    def _agrees(self, principal: Principal, standing: Standing) -> bool:
        known, expires_ns, revoked_ns = standing
        lives = revoked_ns is None and (expires_ns is None or self._clock.now_ns() < expires_ns)
        return lives and known == principal


def _read_standing(connection: Connection, token_id: str) -> Standing | None:
    token = read_token(connection, token_id)
    agent = None if token is None else read_agent(connection, token.agent)
    if token is None or agent is None:
        return None
    return agent.principal(token.id), token.expires_ns, token.revoked_ns
