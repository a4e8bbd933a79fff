"""Who agents are: their names and roles, and the tokens by which they are known.

A token's text is shown once, when it is made; only its SHA-256 is kept (a token is 32 random bytes, so a slow password
hash would add nothing). All agents and tokens are in memory after `load`; a change is durable before it is seen there,
except that a revocation takes effect at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from cenoby.access import sql
from cenoby.access.holds import Hold, Holds, Lapsed
from cenoby.access.principals import Kind, Principal
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.access.roster import AgentInfo, TokenInfo, agent_infos, token_info, token_state
from cenoby.access.sql import Agent, Token
from cenoby.kernel.clock import Clock
from cenoby.kernel.envelope import DEFAULT_TENANT
from cenoby.kernel.errors import CenobyError, Unauthenticated
from cenoby.kernel.ids import new_id
from cenoby.store.database import Database
from cenoby.store.private_file import read_private, write_private

OPERATOR = "operator"
_OPERATOR_FILE = "operator file"
_PREFIX = "cby_"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LONGEST_TTL = 100 * 365 * 86_400


class AccessUnauthenticated(Unauthenticated):
    """The caller is nobody we know."""

    codes = {
        "token_missing": "The call carries no token; send `Authorization: Bearer <token>`.",
        "token_unknown": "No agent has this token; have an operator make one with `cenoby token create`.",
        "token_expired": "The token's time is over; have an operator make a new one.",
        "token_revoked": "The token was revoked; have an operator make a new one.",
    }


class NewToken(NamedTuple):
    """A token just made: the only time its text is to be had."""

    id: str
    text: str


class Identities:
    """All agents and tokens of the colony.

    Args:
        database: where they last.
        clock: decides what has expired.
        roles: the roles in force; with it, a token for a role that does not exist is refused when it is made.
        reserved: names that no agent from outside gets, because a hosted MAD acts under them; asked at every new agent.
        remembered: how many token texts are kept in memory, so that a token in use is not hashed for every call.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        roles: RoleTable | None = None,
        *,
        reserved: Container[str] = (),
        remembered: int = 4096,
    ) -> None:
        self._database = database
        self._clock = clock
        self._roles = roles
        self._reserved = reserved
        self._remembered = remembered
        self._agents: dict[str, Agent] = {}
        self._tokens: dict[str, Token] = {}
        self._by_sha256: dict[str, str] = {}
        self._recent: dict[str, tuple[Principal, int | None]] = {}
        self._changing = asyncio.Lock()
        self._holds = Holds(self._problem, self._seconds_left)

    async def load(self) -> None:
        """Read all agents and tokens; once, before the first call."""
        agents = await self._database.read(sql.read_agents)
        tokens = await self._database.read(sql.read_tokens)
        self._agents = {agent.name: agent for agent in agents}
        self._tokens = {token.id: token for token in tokens}
        self._by_sha256 = {token.sha256: token.id for token in tokens}
        self._recent.clear()

    def authenticate(self, token: str) -> Principal:
        """The principal behind a token's text.

        Raises:
            AccessUnauthenticated: `token_missing`, `token_unknown`, `token_expired` or `token_revoked`.
        """
        try:
            principal, expires_ns = self._recent[token]
        except KeyError:
            return self._identify(token)
        if expires_ns is None or self._clock.now_ns() < expires_ns:
            return principal
        return self._identify(token)

    def hold(self, principal: Principal, lapsed: Lapsed) -> Hold:
        """Have `lapsed` called once the principal's token is revoked or expires, or its agent's roles change.

        For whatever outlasts the check that let it in: a stream, a session, a call that waits for news.

        Args:
            principal: as `authenticate` returned it.
            lapsed: called at most once, within the change itself; soon, where it has happened already.

        Returns:
            What is to be released when nothing stands open any more; also a context manager.
        """
        return self._holds.add(principal, lapsed)

    async def create_token(
        self,
        agent: str,
        roles: Iterable[str] = (),
        *,
        tenant: str | None = None,
        kind: Kind | None = None,
        ttl_seconds: float | None = None,
        replace_roles: bool = False,
    ) -> NewToken:
        """Make a token, and register its agent with it where the agent is new.

        Roles belong to the agent, not to the token. For an agent that exists, name the roles it has, or none; other
        roles are taken over only with `replace_roles`, and then hold for all of its tokens at once.

        Args:
            agent: its name: lower-case letters, digits, `-`, `_`; at most 63 characters.
            roles: names of roles; at least one for a new agent.
            tenant, kind: of a new agent, `default` and `agent` unless said; those of one that exists never change.
            ttl_seconds: seconds until the token expires; None means never.
            replace_roles: whether an agent that exists gets these roles instead of its own.

        Raises:
            AccessRefused: `agent_invalid`, `role_unknown` or `roles_differ`.
            StoreUnavailable: it could not be made durable; there is no token.
        """
        if ttl_seconds is not None and not 0 < ttl_seconds <= _LONGEST_TTL:
            raise AccessRefused("agent_invalid", f"A token cannot live {ttl_seconds} s; give more than 0, or no limit.")
        wanted = tuple(sorted(set(roles)))

        def admit() -> Agent:
            known = self._agents.get(agent)
            if known is None:
                return self._new_agent(agent, wanted, tenant or DEFAULT_TENANT, kind or "agent")
            return self._known_agent(known, wanted, tenant, kind, replace_roles=replace_roles)

        return await self._issue(admit, ttl_seconds)

    async def revoke(self, token_id: str) -> TokenInfo:
        """End a token for good. It stops working at once, even if the store then fails; doing it twice is fine.

        Raises:
            AccessRefused: `token_not_found`.
            StoreUnavailable: it could not be made durable; repeat it, or a restart brings the token back.
        """
        if token_id not in self._tokens:
            raise AccessRefused("token_not_found", f"There is no token {token_id!r}; `cenoby token list` shows them.")
        now_ns = self._clock.now_ns()
        self._revoke_in_memory([token_id], now_ns)
        await self._database.write(lambda connection: sql.revoke_tokens(connection, [token_id], now_ns))
        return token_info(self._tokens[token_id])

    def list_agents(self) -> list[AgentInfo]:
        """All agents by name."""
        return agent_infos(self._agents.values(), self._tokens.values(), self._clock.now_ns())

    def list_tokens(self, agent: str | None = None) -> list[TokenInfo]:
        """All tokens, or those of one agent, oldest first."""
        return [token_info(token) for token in self._tokens.values() if agent in (None, token.agent)]

    async def ensure_operator(self, file: Path) -> bool:
        """See to it that `file` holds a token of the agent `operator` that works, and nothing else; mode 0600.

        A file that is missing, or whose token no longer works, is written anew, and the token that was in it before is
        revoked.

        Returns:
            Whether a new token was made.

        Raises:
            OSError: the file cannot be written.
            StoreUnavailable: the token could not be made durable.
        """
        if self._is_operator(await asyncio.to_thread(read_private, file)):
            return False
        operator = Agent(OPERATOR, DEFAULT_TENANT, "person", (OPERATOR,), self._clock.now_ns())
        earlier = [token.id for token in self._tokens.values() if token.purpose == _OPERATOR_FILE]
        new = await self._issue(lambda: operator, None, purpose=_OPERATOR_FILE)
        await asyncio.to_thread(write_private, file, new.text)
        now_ns = self._clock.now_ns()
        self._revoke_in_memory(earlier, now_ns)
        await self._database.write(lambda connection: sql.revoke_tokens(connection, earlier, now_ns))
        return True

    def _is_operator(self, text: str) -> bool:
        try:
            principal = self._identify(text)
        except AccessUnauthenticated:
            return False
        return principal.agent == OPERATOR and OPERATOR in principal.roles

    async def _issue(self, admit: Callable[[], Agent], ttl: float | None, purpose: str = "") -> NewToken:
        # Shielded: a caller that gives up must not leave memory and store with different roles.
        return await asyncio.shield(self._issue_whole(admit, ttl, purpose))

    async def _issue_whole(self, admit: Callable[[], Agent], ttl: float | None, purpose: str) -> NewToken:
        async with self._changing:
            agent, text, now_ns = admit(), _PREFIX + secrets.token_urlsafe(32), self._clock.now_ns()
            token = Token(
                id=new_id(),
                agent=agent.name,
                sha256=_sha256(text),
                purpose=purpose,
                created_ns=now_ns,
                expires_ns=None if ttl is None else now_ns + round(ttl * 1e9),
                revoked_ns=None,
            )
            await self._database.write(lambda connection: sql.add_token(connection, agent, token))
            self._agents[agent.name] = agent
            self._tokens[token.id] = token
            self._by_sha256[token.sha256] = token.id
            self._recent.clear()
            self._holds.check(agent.name)
        return NewToken(token.id, text)

    def _new_agent(self, name: str, roles: tuple[str, ...], tenant: str, kind: Kind) -> Agent:
        for text in (name, tenant):
            if not _NAME.fullmatch(text):
                raise AccessRefused(
                    "agent_invalid", f"{text!r} is no name; use up to 63 lower-case letters, digits, '-' and '_'."
                )
        if name in self._reserved:
            raise AccessRefused("agent_invalid", f"{name!r} is the name of a MAD of this colony; take another.")
        if not roles:
            raise AccessRefused("agent_invalid", f"{name!r} is new; say at least one role for it.")
        self._require(roles)
        return Agent(name, tenant, kind, roles, self._clock.now_ns())

    def _known_agent(
        self, known: Agent, roles: tuple[str, ...], tenant: str | None, kind: Kind | None, *, replace_roles: bool
    ) -> Agent:
        if tenant not in (None, known.tenant) or kind not in (None, known.kind):
            raise AccessRefused(
                "roles_differ",
                f"{known.name!r} exists as {known.kind} of tenant {known.tenant!r}, and that never changes; "
                "take another name.",
            )
        if roles in ((), known.roles):
            return known
        if not replace_roles:
            raise AccessRefused(
                "roles_differ",
                f"{known.name!r} has the roles {', '.join(known.roles)}; leave them out to keep them, or say "
                "replace_roles to change them for all of its tokens.",
            )
        self._require(roles)
        return msgspec.structs.replace(known, roles=roles)

    def _require(self, roles: tuple[str, ...]) -> None:
        if self._roles is not None:
            self._roles.require(roles)

    def _identify(self, text: str) -> Principal:
        if not text:
            raise AccessUnauthenticated("token_missing", AccessUnauthenticated.codes["token_missing"])
        token_id = self._by_sha256.get(_sha256(text))
        if token_id is None:
            raise AccessUnauthenticated("token_unknown", AccessUnauthenticated.codes["token_unknown"])
        token = self._tokens[token_id]
        if (lapsed := self._lapsed(token)) is not None:
            raise lapsed
        agent = self._agents[token.agent]
        principal = Principal(agent.name, agent.tenant, agent.roles, agent.kind, token.id)
        if len(self._recent) >= self._remembered:
            del self._recent[next(iter(self._recent))]
        self._recent[text] = (principal, token.expires_ns)
        return principal

    def _lapsed(self, token: Token) -> AccessUnauthenticated | None:
        state = token_state(token, self._clock.now_ns())
        if state == "live":
            return None
        return AccessUnauthenticated(f"token_{state}", AccessUnauthenticated.codes[f"token_{state}"])

    def _problem(self, principal: Principal) -> CenobyError | None:
        token = self._tokens.get(principal.token_id)
        if token is None:
            return AccessUnauthenticated("token_unknown", AccessUnauthenticated.codes["token_unknown"])
        if self._agents[token.agent].roles != principal.roles:
            return AccessRefused("roles_changed", AccessRefused.codes["roles_changed"])
        return self._lapsed(token)

    def _seconds_left(self, token_id: str) -> float | None:
        expires_ns = self._tokens[token_id].expires_ns
        return None if expires_ns is None else (expires_ns - self._clock.now_ns()) / 1e9

    def _revoke_in_memory(self, identifiers: Sequence[str], now_ns: int) -> None:
        for token_id in identifiers:
            token = self._tokens[token_id]
            if token.revoked_ns is None:
                self._tokens[token_id] = msgspec.structs.replace(token, revoked_ns=now_ns)
        self._recent.clear()
        for agent in {self._tokens[token_id].agent for token_id in identifiers}:
            self._holds.check(agent)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
