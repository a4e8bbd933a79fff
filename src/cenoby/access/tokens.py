"""Who agents are: their names and roles, and the tokens by which they are known.

A token's text is shown once, when it is made; only its SHA-256 is kept (a token is 32 random bytes, so a slow password
hash would add nothing). All agents and tokens are kept in memory (`store/table_cache.py`); a change is durable before
it is seen there, except that a revocation takes effect at once in the process that was asked for it. Other processes of
the colony see a change within `cache.follow` seconds.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Container, Iterable
from typing import NamedTuple

import msgspec

from cenoby.access import identity_sql as sql
from cenoby.access.blocked import Blocks
from cenoby.access.errors import AccessUnauthenticated
from cenoby.access.holds import Hold, Holds, Lapsed
from cenoby.access.identity_sql import Agent, Token
from cenoby.access.kills import Kills
from cenoby.access.oauth.resource import PREFIX as FOREIGN
from cenoby.access.oauth.resource import ForeignTokens, parts_of
from cenoby.access.principals import Credential, Kind, Principal
from cenoby.access.proofs import check_binding
from cenoby.access.registration import Registration, Wish
from cenoby.access.roles import AccessRefused, RoleTable
from cenoby.access.roster import AgentInfo, TokenInfo, agent_infos, token_info, token_state
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.ids import new_id
from cenoby.store.engine import Connection
from cenoby.store.table_cache import Change, TableCache

_PREFIX = "cby_"
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST_TTL = 100 * 365 * 86_400


class NewToken(NamedTuple):
    """A token just made: the only time its text is to be had."""

    id: str
    text: str


class Identities:
    """All agents and tokens of the colony.

    Args:
        cache: keeps them; its tables `agents` and `tokens` are ours.
        clock: decides what has expired.
        roles: the roles in force; with it, a token for a role that does not exist is refused when it is made.
        reserved: names that no agent from outside gets, because a hosted MAD acts under them; asked at every new agent.
        kills: who is stopped is refused like one whose token is over, also by what stands open already.
        remembered: how many token texts are kept in memory, so that a token in use is not hashed for every call.
    """

    def __init__(
        self,
        cache: TableCache,
        clock: Clock,
        roles: RoleTable | None = None,
        *,
        reserved: Container[str] = (),
        kills: Kills | None = None,
        remembered: int = 16_384,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._registration = Registration(clock, roles, reserved)
        self._remembered = remembered
        self._agents = cache.table("agents", sql.read_agents, self._agents_changed)
        self._tokens = cache.table("tokens", sql.read_tokens, self._tokens_changed)
        self.blocks = Blocks(cache, clock)
        """Whom of those that others vouch for nobody lets in."""
        self.blocks.changed = self._blocked_changed
        self.foreign: ForeignTokens | None = None
        """What other authorities vouch for, where the settings name any."""
        self.ends = 0
        """Grows whenever a token or an agent changed; who remembers it knows whether to ask `ended`, or `still`."""
        self._by_sha256: dict[str, str] = {}
        self._revoking: set[str] = set()
        """Tokens whose revocation was asked for, and may not be on disk."""
        self._recent: dict[Credential, tuple[Principal, int | None]] = {}
        self._holds = Holds(self._problem, self._seconds_left)
        self._kills = kills
        if kills is not None:
            kills.listen(self._kills_changed)

    def authenticate(self, token: Credential) -> Principal:
        """The principal behind a token's text, or behind that and the key that its sender proved to have.

        Raises:
            AccessUnauthenticated: `token_missing`, `token_unknown`, `token_expired`, `token_revoked`, `token_bound`
                or `proof_invalid`.
            AccessRefused: killed.
            StoreUnavailable: store_cold: the tokens were not read yet.
        """
        try:
            principal, expires_ns = self._recent[token]
        except KeyError:
            return self._identify(token)
        if expires_ns is None or self._clock.now_ns() < expires_ns:
            return principal
        return self._identify(token)

    def ended(self, principal: Principal) -> AccessUnauthenticated | None:
        """Why a principal that was let in may not be answered any more: its token was revoked. An expiry is none."""
        if principal.token_id.startswith(FOREIGN):
            problem = self._problem(principal)
            return problem if isinstance(problem, AccessUnauthenticated) and problem.code == "token_revoked" else None
        token = self._tokens.all().get(principal.token_id)
        if token is None or (token.revoked_ns is None and token.id not in self._revoking):
            return None
        return self._lapsed(token)

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
        bound_to: str = "",
    ) -> NewToken:
        """Make a token, and register its agent with it where the agent is new: `issue` with the usual properties."""
        wish = Wish(name=agent, roles=tuple(sorted(set(roles))), tenant=tenant, kind=kind, replace=replace_roles)
        return await self.issue(wish, ttl_seconds=ttl_seconds, bound_to=bound_to)

    async def issue(
        self, wish: Wish, *, ttl_seconds: float | None = None, bound_to: str = "", purpose: str = ""
    ) -> NewToken:
        """Make a token, and register its agent with it where the agent is new.

        Roles belong to the agent, not to the token. For an agent that exists, name the roles it has, or none; other
        roles are taken over only with `replace`, and then hold for all of its tokens at once.

        Args:
            wish: the agent.
            ttl_seconds: seconds until the token expires; None means never.
            bound_to: thumbprint (RFC 7638, SHA-256) of the key that whoever sends the token must prove to have.
            purpose: what it is for, where `ids_of` is to find it.

        Raises:
            AccessRefused: `agent_invalid`, `role_unknown`, `roles_differ` or `lineage_exceeded`.
            StoreUnavailable: it could not be made durable; there is no token.
        """
        if ttl_seconds is not None and not 0 < ttl_seconds <= _LONGEST_TTL:
            raise AccessRefused("agent_invalid", f"A token cannot live {ttl_seconds} s; give more than 0, or no limit.")
        if bound_to and not _THUMBPRINT.fullmatch(bound_to):
            raise AccessRefused("agent_invalid", "A key's thumbprint (RFC 7638) has 43 letters, digits, '-' and '_'.")
        token, text = self._new_token(wish.name, ttl_seconds, purpose, bound_to)

        def add(connection: Connection) -> tuple[None, list[Change]]:
            agents = self._registration.admit(connection, wish)
            for agent in agents:
                sql.put_agent(connection, agent)
            sql.add_token(connection, agents[0].tenant, token)
            return None, [(self._agents, {one.name: one for one in agents}), (self._tokens, {token.id: token})]

        await self._cache.write(add)
        return NewToken(token.id, text)

    async def declare(self, wishes: Iterable[Wish]) -> list[Agent]:
        """Register agents as the settings declare them, and change those that are there to it; none gets a token.

        Returns:
            Those that are new or changed.

        Raises:
            AccessRefused: as for `issue`; nothing was changed.
        """
        wanted = list(wishes)

        def put(connection: Connection) -> tuple[list[Agent], list[Change]]:
            made: dict[str, Agent] = {}
            for wish in wanted:
                known = sql.read_agent(connection, wish.name)
                # The settings are the operator's word, and so is a level in them.
                if known is not None and wish.autonomy is not None and known.autonomy != wish.autonomy:
                    sql.put_agent(connection, msgspec.structs.replace(known, autonomy=wish.autonomy))
                for agent in self._registration.admit(connection, wish):
                    if agent != known:
                        sql.put_agent(connection, agent)
                        made[agent.name] = agent
            return list(made.values()), [(self._agents, made)] if made else []

        return await self._cache.write(put) if wanted else []

    async def rotate(self, token_id: str, *, grace_seconds: float) -> NewToken:
        """Replace a token by a new one of the same agent, life time and key; the old one works for the grace.

        Args:
            token_id: of a token that works; each is rotated once, so whoever stole one and rotates it is found out.
            grace_seconds: seconds for which the old token works on; 0 ends it at once.

        Raises:
            AccessRefused: `token_not_found` or `token_rotated`.
            AccessUnauthenticated: it does not work any more.
            StoreUnavailable: nothing was changed.
        """
        old = self._tokens.all().get(token_id)
        if old is None:
            raise _no_token(token_id)
        if (lapsed := self._lapsed(old)) is not None:
            raise lapsed
        now_ns = self._clock.now_ns()
        end_ns = now_ns + round(max(grace_seconds, 0.0) * 1e9)
        end_ns = end_ns if old.expires_ns is None else min(end_ns, old.expires_ns)
        ttl = None if old.expires_ns is None else (old.expires_ns - old.created_ns) / 1e9
        new_token, text = self._new_token(old.agent, ttl, old.purpose, old.bound_to)

        def replace(connection: Connection) -> tuple[None, list[Change]]:
            agent, ended = (
                sql.read_agent(connection, old.agent),
                sql.succeed_token(connection, old.id, new_token.id, end_ns),
            )
            if agent is None or ended is None:
                raise AccessRefused("token_rotated", f"The token {old.id} was rotated before; use what followed it.")
            sql.add_token(connection, agent.tenant, new_token)
            return None, [(self._tokens, {ended.id: ended, new_token.id: new_token})]

        await self._cache.write(replace)
        return NewToken(new_token.id, text)

    async def revoke(self, token_id: str) -> TokenInfo:
        """End a token for good. It stops working at once, even if the store then fails; doing it twice is fine.

        Raises:
            AccessRefused: `token_not_found`.
            StoreUnavailable: it could not be made durable; repeat it, or a restart brings the token back.
        """
        now_ns = self._clock.now_ns()

        def end(connection: Connection) -> tuple[Token, list[Change]]:
            token = sql.revoke_token(connection, token_id, now_ns)
            if token is None:
                raise _no_token(token_id)
            return token, [(self._tokens, {token_id: token})]

        if token_id in self._tokens.all():
            self._revoking.add(token_id)
            self._tokens_changed([token_id])
        token = await self._cache.write(end)
        self._revoking.discard(token_id)
        return token_info(token)

    def token(self, token_id: str) -> TokenInfo:
        """One token.

        Raises:
            AccessRefused: `token_not_found`.
        """
        found = self._tokens.all().get(token_id)
        if found is None:
            raise _no_token(token_id)
        return token_info(found)

    def ids_of(self, purpose: str) -> list[str]:
        """The tokens that were made for that purpose, whether they work or not."""
        return [token.id for token in self._tokens.all().values() if token.purpose == purpose]

    def list_agents(self) -> list[AgentInfo]:
        """All agents by name."""
        return agent_infos(self._agents.all().values(), self._tokens.all().values(), self._clock.now_ns())

    def list_tokens(self, agent: str | None = None) -> list[TokenInfo]:
        """All tokens, or those of one agent, oldest first."""
        found = [token_info(token) for token in self._tokens.all().values() if agent in (None, token.agent)]
        return sorted(found, key=lambda token: (token.created_ns, token.id))

    def sign_out(self, credential: str) -> None:
        """Forget a credential that `ForeignTokens.sign_in` made."""
        self._recent.pop(credential, None)
        if self.foreign is not None:
            self.foreign.sign_out(credential)

    def _new_token(self, agent: str, ttl: float | None, purpose: str, bound_to: str) -> tuple[Token, str]:
        text, now_ns = _PREFIX + secrets.token_urlsafe(32), self._clock.now_ns()
        expires_ns = None if ttl is None else now_ns + round(ttl * 1e9)
        return Token(new_id(), agent, _sha256(text), purpose, now_ns, expires_ns, None, bound_to), text

    def _identify(self, shown: Credential) -> Principal:
        text, key = (shown, "") if isinstance(shown, str) else shown
        if not text:
            raise AccessUnauthenticated("token_missing", AccessUnauthenticated.codes["token_missing"])
        if self.foreign is not None and (admitted := self.foreign.get(text)) is not None:
            check_binding(admitted.bound_to, key)
            return self._remember(shown, admitted.principal, admitted.expires_ns)
        agents, tokens, sha256 = self._agents.all(), self._tokens.all(), _sha256(text)
        token = tokens.get(self._by_sha256.get(sha256, ""))
        if token is None or token.sha256 != sha256 or token.agent not in agents:
            raise AccessUnauthenticated("token_unknown", AccessUnauthenticated.codes["token_unknown"])
        if (lapsed := self._lapsed(token)) is not None:
            raise lapsed
        check_binding(token.bound_to, key)
        principal = agents[token.agent].principal(token.id)
        return self._remember(shown, principal, token.expires_ns)

    def _remember(self, shown: Credential, principal: Principal, expires_ns: int | None) -> Principal:
        if (killed := self._barred(principal)) is not None:
            raise killed
        if len(self._recent) >= self._remembered:
            del self._recent[next(iter(self._recent))]
        self._recent[shown] = (principal, expires_ns)
        return principal

    def _lapsed(self, token: Token) -> AccessUnauthenticated | None:
        state = "revoked" if token.id in self._revoking else token_state(token, self._clock.now_ns())
        if state == "live":
            return None
        return AccessUnauthenticated(f"token_{state}", AccessUnauthenticated.codes[f"token_{state}"])

    def _problem(self, principal: Principal) -> CenobyError | None:
        if self.foreign is not None and principal.token_id.startswith(FOREIGN):
            return self.foreign.problem(principal) or self._barred(principal)
        token, agent = self._tokens.all().get(principal.token_id), self._agents.all().get(principal.agent)
        if token is None or agent is None:
            return AccessUnauthenticated("token_unknown", AccessUnauthenticated.codes["token_unknown"])
        if agent.roles != principal.roles:
            return AccessRefused("roles_changed", AccessRefused.codes["roles_changed"])
        return self._lapsed(token) or self._barred(principal)

    def _barred(self, principal: Principal) -> AccessRefused | None:
        return None if self._kills is None else self._kills.barred(principal)

    def _seconds_left(self, token_id: str) -> float | None:
        foreign = token_id.startswith(FOREIGN)
        expires_ns = parts_of(token_id)[0] * 10**9 if foreign else self._tokens.all()[token_id].expires_ns
        return None if expires_ns is None else (expires_ns - self._clock.now_ns()) / 1e9

    def _kills_changed(self) -> None:
        self._recent.clear()
        for agent in self._holds.agents():
            self._holds.check(agent)

    def _blocked_changed(self, names: Collection[str]) -> None:
        self._agents_changed(names)

    def _agents_changed(self, names: Collection[str]) -> None:
        self._recent.clear()
        self.ends += 1
        for name in names:
            self._holds.check(name)

    def _tokens_changed(self, identifiers: Collection[str]) -> None:
        self._recent.clear()
        self.ends += 1
        tokens = self._tokens.all()
        found = [tokens[token_id] for token_id in identifiers if token_id in tokens]
        self._by_sha256.update((token.sha256, token.id) for token in found)
        # Whose a token was that is gone, nobody can say any more.
        gone = len(found) < len(identifiers)
        for agent in self._holds.agents() if gone else {token.agent for token in found}:
            self._holds.check(agent)


def _no_token(token_id: str) -> AccessRefused:
    return AccessRefused("token_not_found", f"There is no token {token_id!r}; `cenoby token list` shows them.")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
