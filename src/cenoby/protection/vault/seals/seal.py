"""The seal of a vault: closed at the start, opened by people, and changed so that a kill at any point loses nothing.

The closed master key lies in the database, so a change of it, of the data keys under it and of what closes it is one
transaction. New shares hold only once enough of them were given back: until then the old ones do, and an answer that
never arrives costs nothing. While the vault is open the key that closes it stays in memory, for the next master key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from cenoby.kernel.clock import Clock
from cenoby.kernel.settings_vault import VaultSettings
from cenoby.protection.seal import (
    LONGEST_PASSPHRASE,
    MOST_SHARES,
    Purpose,
    SealAnswer,
    SealInvalid,
    SealKind,
    SealRefused,
    SealStatus,
    VaultSealed,
)
from cenoby.protection.seal_events import SealMade, ShareGiven, SharesMade, UnsealRefused, VaultClosed, VaultUnsealed
from cenoby.protection.secrets import Journalled
from cenoby.protection.vault.key_ring import KeyRing, to_the_end
from cenoby.protection.vault.keys import KeySource, MasterKey, VaultError
from cenoby.protection.vault.seals import sql
from cenoby.protection.vault.seals.attempts import Attempt
from cenoby.protection.vault.seals.closing import (
    Closed,
    ClosingKey,
    PassphraseFacts,
    ShamirFacts,
    check_passphrase,
    damaged,
    from_new_shares,
    from_passphrase,
)
from cenoby.protection.vault.seals.shares import Share
from cenoby.protection.vault.sql import read_key_in_force
from cenoby.store.database import Database
from cenoby.store.engine import Connection

F = TypeVar("F", PassphraseFacts, ShamirFacts)
_RETRY_SECONDS = 10.0


class VaultSeal:
    """One vault's seal; `open_seal` makes one.

    Args:
        database: where the closed master key lies.
        clock: dates changes, and forgets attempts.
        settings: which seal.
        source: where the master key lay before there was a seal.
        closed: the closed master key, where one was made.
    """

    def __init__(
        self, database: Database, clock: Clock, settings: VaultSettings, source: KeySource, closed: Closed | None
    ) -> None:
        assert settings.seal != "none", "a vault without seal has none of these"
        self._kind: SealKind = settings.seal
        self._attempt_ns = int(settings.attempt_seconds * 1e9)
        self._database = database
        self._clock = clock
        self._source = source
        self._closed = closed
        self._ring: KeyRing | None = None
        self._attempt: Attempt | None = None
        self._changing = asyncio.Lock()
        self.opened = asyncio.Event()
        """Set while the vault is open."""

    def ring(self) -> KeyRing:
        """The master key.

        Raises:
            VaultSealed: it is not there.
        """
        if self._ring is None:
            code = "vault_sealed" if self._closed is not None else "vault_not_initialised"
            raise VaultSealed(code, VaultSealed.codes[code], retry_after=_RETRY_SECONDS)
        return self._ring

    def status(self) -> SealStatus:
        """See `SealKeeper`."""
        facts = self._closed.read() if self._closed is not None else None
        shares = (len(facts.digests), facts.threshold) if isinstance(facts, ShamirFacts) else (0, 0)
        status = SealStatus(
            seal=self._kind,
            initialised=self._closed is not None,
            sealed=self._ring is None,
            shares=shares[0],
            threshold=shares[1],
        )
        if (attempt := self._current()) is None:
            return status
        return replace(
            status,
            attempt=attempt.name,
            purpose=attempt.purpose,
            given=attempt.given,
            needed=attempt.facts.threshold,
            expires_ns=self._clock.now_ns() + attempt.expires_ns - self._clock.monotonic_ns(),
        )

    async def init(self, passphrase: str, shares: int, threshold: int, *, record: Journalled) -> SealAnswer:
        """See `SealKeeper`. A vault that was open by another key gets a new one; the former is destroyed."""
        async with self._changing:
            await self._refresh()
            if self._closed is not None:
                raise SealInvalid("seal_state", "The seal was made already; change it with `cenoby vault rekey`.")
            if self._kind == "shamir":
                return await self._make_shares(shares, threshold, record)
            check_passphrase(passphrase)
            await self._put_in_force(await asyncio.to_thread(from_passphrase, passphrase), record)
            return SealAnswer(status=self.status())

    async def unseal(self, given: str, attempt: str = "", *, record: Journalled) -> SealAnswer:
        """See `SealKeeper`."""
        async with self._changing:
            await self._refresh()
            if self._kind == "passphrase":
                self._require_sealed()
                key, master = await self._checked(given, record)
                await self._open(key, master, record)
                return SealAnswer(status=self.status())
            return await self._take(given, attempt, record)

    async def close(self, *, record: Journalled) -> SealAnswer:
        """See `SealKeeper`."""
        async with self._changing:
            await record(VaultClosed())
            self._ring = self._attempt = None
            self.opened.clear()
            return SealAnswer(status=self.status())

    async def rekey(
        self, passphrase: str, new_passphrase: str, shares: int, threshold: int, *, record: Journalled
    ) -> SealAnswer:
        """See `SealKeeper`."""
        async with self._changing:
            await self._refresh()
            self.ring()
            if self._kind == "shamir":
                _check_numbers(shares, threshold)
                self._attempt = self._new_attempt("rekey", self._facts(ShamirFacts), wanted=(shares, threshold))
                return SealAnswer(status=self.status())
            check_passphrase(new_passphrase)
            await self._checked(passphrase, record)
            await self._put_in_force(await asyncio.to_thread(from_passphrase, new_passphrase), record)
            return SealAnswer(status=self.status())

    async def _take(self, text: str, name: str, record: Journalled) -> SealAnswer:
        attempt = self._current()
        if attempt is None:
            self._require_sealed()
            if name:
                raise SealRefused(
                    "seal_attempt_other", f"The attempt {name} is over; begin anew, and look at `cenoby vault status`."
                )
            attempt = self._new_attempt("unseal", self._facts(ShamirFacts))
        else:
            attempt.require(name)
        try:
            share = Share.from_text(text)
            attempt.facts.shares.check(share)
        except SealRefused as refusal:
            await record(UnsealRefused(reason=refusal.code))
            raise
        await record(
            ShareGiven(
                attempt=attempt.name,
                purpose=attempt.purpose,
                share=share.index,
                given=attempt.with_share(share),
                needed=attempt.facts.threshold,
            )
        )
        self._attempt = attempt
        if not attempt.take(share):
            return SealAnswer(status=self.status())
        self._attempt = None
        return await self._complete(attempt, record)

    async def _complete(self, attempt: Attempt, record: Journalled) -> SealAnswer:
        key = attempt.key()
        if attempt.new is not None:
            await self._put_in_force(attempt.new, record)
            return SealAnswer(status=self.status())
        master = key.open(self._row())
        if master is None:
            # Every share was as it was made, so it is the row that is not.
            raise damaged()
        if attempt.purpose == "rekey":
            return await self._make_shares(*attempt.wanted, record)
        await self._open(key, master, record)
        return SealAnswer(status=self.status())

    async def _make_shares(self, shares: int, threshold: int, record: Journalled) -> SealAnswer:
        _check_numbers(shares, threshold)
        await record(SharesMade(shares=shares, threshold=threshold))
        key, held = from_new_shares(threshold, shares)
        assert isinstance(key.facts, ShamirFacts), "shares give such a key"
        self._attempt = self._new_attempt("confirm", key.facts, new=key)
        return SealAnswer(status=self.status(), shares=tuple(one.to_text() for one in held))

    async def _checked(self, passphrase: str, record: Journalled) -> tuple[ClosingKey, MasterKey]:
        master = None
        if len(passphrase) <= LONGEST_PASSPHRASE:
            key = await asyncio.to_thread(from_passphrase, passphrase, self._facts(PassphraseFacts))
            if (master := key.open(self._row())) is not None:
                return key, master
        await record(UnsealRefused(reason="seal_passphrase_wrong"))
        raise SealRefused(
            "seal_passphrase_wrong", "This passphrase does not open the vault; nothing was changed. Try again."
        )

    async def _open(self, key: ClosingKey, master: MasterKey, record: Journalled) -> None:
        await record(VaultUnsealed())
        former = self._row().former
        self._ring = await self._ring_of([master], key, former, record)
        self.opened.set()
        # A kill between the change and this left the key of before where it was.
        await asyncio.to_thread(self._source.forget, former)

    async def _put_in_force(self, key: ClosingKey, record: Journalled) -> None:
        """Close a new master key with `key`, from now on; the vault is open then. Goes on to its end when cancelled."""
        facts = key.facts
        shares = (len(facts.digests), facts.threshold) if isinstance(facts, ShamirFacts) else (0, 0)
        await record(SealMade(seal=key.kind, shares=shares[0], threshold=shares[1]))
        await to_the_end(self._change(key, record))

    async def _change(self, key: ClosingKey, record: Journalled) -> None:
        before = self._ring
        kept = list(before.keys().values()) if before is not None else await self._kept_elsewhere(record)
        former = () if before is not None else tuple(one.id for one in kept)
        try:
            ring = await self._ring_of(kept, key, former, record)
            # From now on, so that who reads meanwhile finds both keys.
            self._ring = ring
            if kept:
                await ring.rotate(record)
        finally:
            # Whatever happened on the way: what the database says holds.
            self._closed = await self._database.read(sql.read_closed)
            if self._closed is None or key.open(self._closed) is None:
                self._ring = before
        self.opened.set()
        await asyncio.to_thread(self._source.forget, former)

    async def _kept_elsewhere(self, record: Journalled) -> list[MasterKey]:
        """The master key of a vault that has no seal yet, from where it lies."""
        if await self._database.read(read_key_in_force) is None:
            return []
        ring = await KeyRing.open(self._database, self._source, self._clock, record)
        return list(ring.keys().values())

    async def _ring_of(
        self, held: Sequence[MasterKey], key: ClosingKey, former: tuple[str, ...], record: Journalled
    ) -> KeyRing:
        """A ring whose master key, and every one after it, lies closed with `key`."""

        def within(connection: Connection, master: MasterKey) -> None:
            sql.write_closed(connection, key.close(master, former), self._clock.now_ns())

        return await KeyRing.open(self._database, _Held(held), self._clock, record, within)

    async def _refresh(self) -> None:
        """What another process of the colony changed: its master key is not ours, so this one is sealed again."""
        self._closed = await self._database.read(sql.read_closed)
        held = self._ring.keys() if self._ring is not None else None
        if held is not None and (self._closed is None or self._closed.key_id not in held):
            self._ring = self._attempt = None
            self.opened.clear()

    def _current(self) -> Attempt | None:
        if self._attempt is not None and self._attempt.expires_ns <= self._clock.monotonic_ns():
            self._attempt = None
        return self._attempt

    def _new_attempt(
        self,
        purpose: Purpose,
        facts: ShamirFacts,
        *,
        new: ClosingKey | None = None,
        wanted: tuple[int, int] = (0, 0),
    ) -> Attempt:
        return Attempt(purpose, facts, self._clock.monotonic_ns() + self._attempt_ns, new, wanted)

    def _require_sealed(self) -> None:
        if self._closed is None:
            raise SealInvalid("seal_state", "The seal was not made yet; make it with `cenoby vault init`.")
        if self._ring is not None:
            raise SealInvalid("seal_state", "The vault is open already.")

    def _row(self) -> Closed:
        if self._closed is None:
            raise SealInvalid("seal_state", "The seal was not made yet; make it with `cenoby vault init`.")
        return self._closed

    def _facts(self, kind: type[F]) -> F:
        facts = self._row().read()
        if not isinstance(facts, kind):
            raise damaged()
        return facts


class _Held:
    """The master key in memory; where it lies is the closed one in the database, which the ring's hook writes."""

    place = "the vault's seal"

    def __init__(self, keys: Collection[MasterKey]) -> None:
        self._keys = list(keys)

    def candidates(self, key_id: str | None) -> Sequence[MasterKey]:
        # The one in force comes first, because a message names the first.
        return sorted(self._keys, key=lambda one: one.id != key_id)

    def create(self) -> MasterKey:
        return MasterKey.generate()

    def stage(self, key: MasterKey) -> None:
        """Nothing: the ring holds it, and the database keeps it closed."""

    def settle(self, key: MasterKey, candidates: Sequence[MasterKey]) -> MasterKey:
        del candidates
        return key

    def forget(self, key_ids: Collection[str]) -> None:
        self._keys = [one for one in self._keys if one.id not in key_ids]


async def open_seal(database: Database, clock: Clock, settings: VaultSettings, source: KeySource) -> VaultSeal | None:
    """The seal that the settings ask for; None where they ask for none.

    Raises:
        VaultError: `vault_seal_set`: the database was sealed otherwise than the settings say; `vault_seal_damaged`.
    """
    closed = await database.read(sql.read_closed)
    if closed is None:
        return None if settings.seal == "none" else VaultSeal(database, clock, settings, source, None)
    kind = "passphrase" if isinstance(closed.read(), PassphraseFacts) else "shamir"
    if settings.seal != kind:
        raise VaultError(
            "vault_seal_set",
            f"The vault of this colony is sealed with {kind}, and the settings say `vault.seal: {settings.seal}`; set "
            f"`vault.seal: {kind}`.",
        )
    return VaultSeal(database, clock, settings, source, closed)


def _check_numbers(shares: int, threshold: int) -> None:
    if not 2 <= threshold <= shares <= MOST_SHARES:
        raise SealInvalid(
            "seal_arguments",
            f"{threshold} of {shares} shares cannot be: 2 to {MOST_SHARES} shares, and as many or fewer that open it.",
        )
