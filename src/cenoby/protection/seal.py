"""The vault's seal as those see it who show it and open it: how far it is, and what may be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from cenoby.kernel.errors import InvalidInput, Refused, Unavailable
from cenoby.protection.secrets import Journalled

SealKind = Literal["none", "passphrase", "shamir"]
Purpose = Literal["", "unseal", "confirm", "rekey"]
"""What an attempt is for: opening the vault, giving new shares back before they hold, or making new ones."""
SHORTEST_PASSPHRASE, LONGEST_PASSPHRASE = 12, 1024
"""Characters."""
MOST_SHARES = 32


class VaultSealed(Unavailable):
    """A secret was asked for while the master key is not there."""

    codes = {
        "vault_sealed": "The vault is sealed; people open it with `cenoby vault unseal`.",
        "vault_not_initialised": "The settings ask for a seal that was never made; run `cenoby vault init`.",
    }


class SealRefused(Refused):
    """What was given does not open the vault; nothing is lost, and it may be tried again."""

    codes = {
        "seal_passphrase_wrong": "The passphrase is not the one that the vault is sealed with.",
        "seal_share_wrong": "The share is damaged, mistyped, or of another set than the one that is asked for.",
        "seal_attempt_other": "Another attempt is under way than the one that was named; `cenoby vault status`.",
    }


class SealInvalid(InvalidInput):
    """What was asked of the seal does not fit the state that it is in."""

    codes = {
        "seal_state": "The vault has no seal, or is not initialised, or is already; the message says what to do.",
        "seal_arguments": "The passphrase is too short, or the numbers of shares do not fit.",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SealStatus:
    """How the vault is closed, and how far an attempt is.

    Attributes:
        seal: the kind.
        initialised: whether the seal was made; always where there is none.
        sealed: whether secrets are out of reach.
        shares, threshold: how many shares there are and how many open the vault; 0 where there are none.
        attempt: name of the attempt under way; "" where none is.
        purpose: what it is for.
        given, needed: shares of this attempt.
        expires_ns: when it is forgotten, wall time; None where none is under way.
    """

    seal: SealKind
    initialised: bool
    sealed: bool
    shares: int = 0
    threshold: int = 0
    attempt: str = ""
    purpose: Purpose = ""
    given: int = 0
    needed: int = 0
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealAnswer:
    """What became of it. Its representation leaves the shares out, so that no log or traceback shows them."""

    status: SealStatus
    shares: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"SealAnswer(status={self.status!r}, shares={len(self.shares)})"


class SealKeeper(Protocol):
    """The seal, as Grace sees it. Every method records through `record` before it acts, never what it was given.

    All raise SealInvalid: `seal_state`, and the codes named with each.
    """

    def status(self) -> SealStatus:
        """How it stands now."""
        ...

    async def init(self, passphrase: str, shares: int, threshold: int, *, record: Journalled) -> SealAnswer:
        """Make the seal: with a passphrase, at once; with shares, once `threshold` of them were given back.

        Raises:
            SealInvalid: `seal_arguments`.
        """
        ...

    async def unseal(self, given: str, attempt: str = "", *, record: Journalled) -> SealAnswer:
        """Take a passphrase, or one share of an attempt; the last one that is needed does what the attempt is for.

        Raises:
            SealRefused: `seal_passphrase_wrong`, `seal_share_wrong`, `seal_attempt_other`.
        """
        ...

    async def close(self, *, record: Journalled) -> SealAnswer:
        """Forget the master key, and every attempt."""
        ...

    async def rekey(
        self, passphrase: str, new_passphrase: str, shares: int, threshold: int, *, record: Journalled
    ) -> SealAnswer:
        """Put another passphrase and another master key in force; with shares, begin an attempt that does it.

        Raises:
            SealRefused: `seal_passphrase_wrong`.
            SealInvalid: `seal_arguments`.
        """
        ...
