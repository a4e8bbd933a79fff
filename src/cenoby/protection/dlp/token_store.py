"""The values that tokens stand for: sealed, by tenant, until they expire."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_dlp import TokenKeeping
from cenoby.protection.dlp.tokens import TOKEN, open_value, seal_value, token_of
from cenoby.store.database import Database
from cenoby.store.engine import Connection

DataKey = Callable[[str], Awaitable[bytes]]
"""The 32 bytes under which a tenant's values are sealed; the same each time. May raise a CenobyError."""
_DAY_NS = 86_400 * 1_000_000_000
_MOST_KEYS = 1024


class Made(NamedTuple):
    """A token that was made of a value, not yet kept."""

    token: str
    kind: str
    value: str


class TokenMaker:
    """Makes the tokens of one call; `TokenStore.maker` makes one.

    Attributes:
        made: by their tokens.
    """

    def __init__(self, key: bytes, scope: str) -> None:
        self._key = key
        self._scope = scope
        self.made: dict[str, Made] = {}

    def __call__(self, kind: str, value: str) -> str:
        """The token that stands for a value."""
        token = token_of(self._key, kind, self._scope, value)
        self.made[token] = Made(token, kind, value)
        return token


class TokenStore:
    """Keeps and opens tokens.

    Args:
        database: where sealed values are.
        clock: the time.
        settings: for how long, and within what a token is the same.
        key: of a tenant.
    """

    def __init__(self, database: Database, clock: Clock, settings: TokenKeeping, key: DataKey) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._key = key
        self._keys: dict[str, bytes] = {}

    async def maker(self, tenant: str, conversation: str) -> TokenMaker:
        """What makes tokens for a call of a tenant.

        Raises:
            CenobyError: the tenant's key cannot be had.
        """
        scope = conversation if self._settings.per == "conversation" else ""
        return TokenMaker(await self._key_of(tenant), scope)

    async def keep(self, tenant: str, made: Collection[Made], *, made_by: str, subject: str = "") -> None:
        """Keep values, sealed; they are durable when this returns. Those that expired meanwhile are deleted.

        Args:
            tenant: whose.
            made: what a maker made.
            made_by: the agent whose call they were in.
            subject: whom they are about, where that is known; empty where not.

        Raises:
            StoreUnavailable: they are not kept; nobody may be given their tokens.
        """
        key, now_ns = await self._key_of(tenant), self._clock.now_ns()
        expires_ns = now_ns + round(self._settings.days * _DAY_NS)
        sealed = [(one, seal_value(key, tenant, one.token, one.value)) for one in made]

        def put(connection: Connection) -> None:
            connection.execute(_EXPIRE, (now_ns,))
            for one, value in sealed:
                row = (tenant, one.token, one.kind, subject, value, made_by, now_ns, expires_ns)
                connection.execute(_PUT, row)

        await self._database.write(put, size=sum(len(value) + 256 for _, value in sealed))

    async def open(self, tenant: str, tokens: Collection[str]) -> Mapping[str, str]:
        """What tokens of a tenant stand for. One that is another's, expired, deleted or made up is simply not in it.

        Raises:
            CenobyError: the tenant's key, or the store, cannot be had.
        """
        wanted = [token for token in tokens if TOKEN.fullmatch(token)]
        if not wanted:
            return {}
        now_ns = self._clock.now_ns()

        def read(connection: Connection) -> dict[str, bytes]:
            found = {token: connection.execute(_GET, (tenant, token, now_ns)).fetchone() for token in wanted}
            return {token: bytes(row[0]) for token, row in found.items() if row is not None}

        sealed = await self._database.read(read)
        key = await self._key_of(tenant)
        opened = {token: open_value(key, tenant, token, one) for token, one in sealed.items()}
        return {token: value for token, value in opened.items() if value is not None}

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete what is kept about somebody, for good; how many values that were.

        Raises:
            StoreUnavailable: nothing was deleted.
        """
        return await self._database.write(lambda connection: connection.execute(_FORGET, (tenant, subject)).rowcount)

    async def _key_of(self, tenant: str) -> bytes:
        key = self._keys.get(tenant)
        if key is None:
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            key = self._keys[tenant] = await self._key(tenant)
        return key


_GET = "SELECT sealed FROM pii_tokens WHERE tenant = ? AND token = ? AND expires_ns > ?"
_PUT = (
    "INSERT INTO pii_tokens (tenant, token, kind, subject, sealed, made_by, made_ns, expires_ns)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, token) DO UPDATE SET expires_ns = excluded.expires_ns"
)
_EXPIRE = "DELETE FROM pii_tokens WHERE expires_ns <= ?"
_FORGET = "DELETE FROM pii_tokens WHERE tenant = ? AND subject = ?"
