"""Which master key is in force, and going over to another so that a kill at any point leaves a vault that opens."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from cenoby.kernel.clock import Clock
from cenoby.protection.events import MasterKeyRotated
from cenoby.protection.secrets import Journalled
from cenoby.protection.vault import sql
from cenoby.protection.vault.cipher import rewrap
from cenoby.protection.vault.keys import KeySource, MasterKey, VaultError
from cenoby.store.database import Database
from cenoby.store.engine import Connection

Within = Callable[[Connection, MasterKey], None]
"""Told the key that is being put in force, in the transaction that does it."""


def _nothing(connection: Connection, key: MasterKey) -> None:
    del connection, key


class KeyRing:
    """The master key in force, and during a change the one after it; `open` makes a ring.

    Args:
        keys: the candidates for the key in force.
        within: told the key that is being put in force, in the transaction that does it.
    """

    def __init__(
        self, database: Database, source: KeySource, clock: Clock, keys: Sequence[MasterKey], within: Within = _nothing
    ) -> None:
        self._within = within
        self._database = database
        self._source = source
        self._clock = clock
        self._keys = {key.id: key for key in keys}
        self._changing = asyncio.Lock()

    @classmethod
    async def open(
        cls, database: Database, source: KeySource, clock: Clock, record: Journalled, within: Within = _nothing
    ) -> KeyRing:
        """Find the key that the database was left with, make the first one, or finish a change that was interrupted.

        Raises:
            VaultError: the key is missing, wrong, exposed or unusable; the message says what to do.
        """
        in_force = await database.read(sql.read_key_in_force)
        candidates = await asyncio.to_thread(source.candidates, in_force[0] if in_force else None)
        if in_force is None:
            key = candidates[0] if candidates else await asyncio.to_thread(source.create)
            now_ns = clock.now_ns()
            await database.write(lambda connection: _put_in_force(connection, key, now_ns, within))
            candidates = [key]
        else:
            _require(candidates, *in_force, source.place)
        ring = cls(database, source, clock, candidates, within)
        key, wanted = await ring._settle()
        if wanted.id != key.id:
            await record(MasterKeyRotated(key_id=wanted.id))
            await ring._go_over_to(wanted)
        return ring

    def keys(self) -> Mapping[str, MasterKey]:
        """The keys by id. Taken before a row is read, it holds the key of that row, whatever changes in between."""
        return self._keys

    def present(self, connection: Connection) -> MasterKey:
        """The key in force, asked within a transaction, so that no change which committed before it is missed."""
        return self._keys[_in_force(connection)]

    async def rotate(self, record: Journalled) -> str:
        """Put a new key in force and wrap every data key with it; the new key's id.

        Goes on to its end when the caller is cancelled.

        Raises:
            VaultError: `vault_key_fixed`, `vault_key_unusable`; `secret_damaged`, naming the secret to revoke first.
        """
        new = MasterKey.generate()
        await to_the_end(self._rotate_to(new, record))
        return new.id

    async def _rotate_to(self, new: MasterKey, record: Journalled) -> None:
        async with self._changing:
            await asyncio.to_thread(self._source.stage, new)
            self._keys[new.id] = new
            try:
                await record(MasterKeyRotated(key_id=new.id))
                await self._go_over_to(new)
            except BaseException:
                await self._settle()
                raise

    async def _go_over_to(self, new: MasterKey) -> None:
        now_ns = self._clock.now_ns()

        def change(connection: Connection) -> None:
            sql.rewrap_all(
                connection, new.id, lambda place, present, wrapped: rewrap(self._keys[present], new, place, wrapped)
            )
            _put_in_force(connection, new, now_ns, self._within)

        await self._database.write(change)
        await self._settle()

    async def _settle(self) -> tuple[MasterKey, MasterKey]:
        """Forget what is not in force, here and in the source; the key in force, and the one the source wants."""
        key = self._keys[await self._database.read(_in_force)]
        wanted = await asyncio.to_thread(self._source.settle, key, list(self._keys.values()))
        # A new mapping: who took the old one still needs what was in it.
        self._keys = {each.id: each for each in (wanted, key)}
        return key, wanted


def _put_in_force(connection: Connection, key: MasterKey, now_ns: int, within: Within) -> None:
    sql.write_key_in_force(connection, key.id, key.check_value, now_ns)
    within(connection, key)


def _in_force(connection: Connection) -> str:
    found = sql.read_key_in_force(connection)
    assert found is not None, "opening the ring put a key in force"
    return found[0]


def _require(candidates: Sequence[MasterKey], key_id: str, check_value: bytes, place: str) -> None:
    if any(key.id == key_id and hmac.compare_digest(key.check_value, check_value) for key in candidates):
        return
    if not candidates:
        raise VaultError(
            "vault_key_missing",
            f"The master key {key_id} of this colony's secrets is not in {place}; put it back from your backup.",
        )
    raise VaultError(
        "vault_key_wrong",
        f"The master key in {place} is {candidates[0].id}, but the secrets are encrypted with {key_id}; "
        "put that one back from your backup.",
    )


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it whole, also when the caller is cancelled meanwhile; that is raised afterwards."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
