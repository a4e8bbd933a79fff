"""One attempt at a time to bring shares together: named, counted, and forgotten when its time is over."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from cenoby.protection.seal import Purpose, SealRefused
from cenoby.protection.vault.seals.closing import ClosingKey, ShamirFacts
from cenoby.protection.vault.seals.shamir import combine
from cenoby.protection.vault.seals.shares import Share


@dataclass(slots=True)
class Attempt:
    """Shares of one set, given one after the other for one purpose.

    Attributes:
        purpose: what happens when there are enough.
        facts: which shares are asked for.
        expires_ns: when it is forgotten, monotonic.
        new: of a `confirm`, the key that is to close the vault from then on.
        wanted: of a `rekey`, how many shares are to be made, and how many of these will be needed.
        name: random; whoever gives a share says which attempt is meant, so that two never mix.
    """

    purpose: Purpose
    facts: ShamirFacts
    expires_ns: int
    new: ClosingKey | None = None
    wanted: tuple[int, int] = (0, 0)
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    _given: dict[int, bytes] = field(default_factory=dict[int, bytes], repr=False)

    def require(self, name: str) -> None:
        """Pass if `name` means this attempt; without a name, only one that has no share yet is meant.

        Raises:
            SealRefused: `seal_attempt_other`.
        """
        if name != self.name and (name or self._given):
            raise SealRefused(
                "seal_attempt_other", f"The attempt {self.name} is under way, not {name or 'a new one'}; name it."
            )

    def with_share(self, share: Share) -> int:
        """How many different shares there would be with this one."""
        return len(self._given.keys() | {share.index})

    def take(self, share: Share) -> bool:
        """Count a share of the set; whether there are enough now."""
        self._given[share.index] = share.value
        return len(self._given) >= self.facts.threshold

    @property
    def given(self) -> int:
        """Different shares so far."""
        return len(self._given)

    def key(self) -> ClosingKey:
        """The key that the shares give."""
        return ClosingKey(combine(self._given), self.facts)
