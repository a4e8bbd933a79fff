"""Grace's tools for the vault's seal: how it stands, and making, opening, closing and changing it.

Passphrases and shares are neither journalled nor redacted; who gave one, to which attempt, is journalled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.colony.errors import CallInvalid
from cenoby.colony.home import require_home
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.kernel.envelope import Priority
from cenoby.protection.seal import MOST_SHARES, SealAnswer, SealKeeper, SealStatus

Shares = Annotated[
    int, Field(ge=0, le=MOST_SHARES, description="How many shares are made; 0 where the seal is a passphrase.")
]
Threshold = Annotated[int, Field(ge=0, le=MOST_SHARES, description="How many of them open the vault.")]
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class SealView:
    """How the vault is closed. `attempt`, `purpose`, `given` and `needed` tell of shares that are being brought
    together; `expires_at` is RFC 3339 in UTC, null where there is no attempt."""

    seal: str
    initialised: bool
    sealed: bool
    shares: int
    threshold: int
    attempt: str
    purpose: str
    given: int
    needed: int
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class SharesView:
    """How the vault is closed now, and new shares, where there are some: each goes to another person, at once."""

    status: SealView
    shares: list[str]

    def __repr__(self) -> str:
        return f"SharesView(status={self.status!r}, shares={len(self.shares)})"


class SealTools:
    """The part of Grace that speaks to the vault's seal."""

    _seal: SealKeeper | None

    @tool("colony:read", effect="reads", title="Status of the vault", priority=Priority.SYSTEM)
    async def vault_status(self, call: Call) -> SealView:
        """Show whether the vault is sealed, and how many shares of an attempt were given."""
        del call
        return _view(self._seal.status() if self._seal else SealStatus(seal="none", initialised=True, sealed=False))

    @tool(
        "colony:admin",
        effect="writes",
        title="Make the vault's seal",
        sensitive=("passphrase",),
        sensitive_result=True,
        priority=Priority.SYSTEM,
    )
    async def init_vault(
        self,
        call: Call,
        passphrase: Annotated[str, Field(max_length=_LONGEST, description="Where the seal is a passphrase.")] = "",
        shares: Shares = 0,
        threshold: Threshold = 0,
    ) -> SharesView:
        """Seal the vault for the first time. Shares hold once enough of them were given back with unseal_vault."""
        seal = self._asked(call)
        return _answer(await seal.init(passphrase, shares, threshold, record=call.note))

    @tool(
        "colony:admin",
        effect="writes",
        title="Unseal the vault",
        sensitive=("given",),
        sensitive_result=True,
        priority=Priority.SYSTEM,
    )
    async def unseal_vault(
        self,
        call: Call,
        given: Annotated[str, Field(min_length=1, max_length=_LONGEST, description="The passphrase, or one share.")],
        attempt: Annotated[
            str, Field(max_length=64, description="Which attempt the share is for; vault_status has its name.")
        ] = "",
    ) -> SharesView:
        """Give the passphrase or one share. The last share that is needed opens the vault, confirms new shares, or
        makes new ones, whatever the attempt is for."""
        seal = self._asked(call)
        return _answer(await seal.unseal(given, attempt, record=call.note))

    @tool("colony:admin", effect="writes", idempotent=True, title="Seal the vault", priority=Priority.SYSTEM)
    async def seal_vault(self, call: Call) -> SealView:
        """Forget the master key until the vault is unsealed, and every share that was given."""
        seal = self._asked(call)
        return _view((await seal.close(record=call.note)).status)

    @tool(
        "colony:admin",
        effect="writes",
        title="Change the vault's seal",
        sensitive=("passphrase", "new_passphrase"),
        sensitive_result=True,
        priority=Priority.SYSTEM,
    )
    async def rekey_vault(
        self,
        call: Call,
        passphrase: Annotated[str, Field(max_length=_LONGEST, description="The present one.")] = "",
        new_passphrase: Annotated[str, Field(max_length=_LONGEST, description="The next one.")] = "",
        shares: Shares = 0,
        threshold: Threshold = 0,
    ) -> SharesView:
        """Change the passphrase and the master key; or begin an attempt that changes the shares: present shares are
        given with unseal_vault, then new ones are told, and hold once enough of them were given back."""
        seal = self._asked(call)
        return _answer(await seal.rekey(passphrase, new_passphrase, shares, threshold, record=call.note))

    def _asked(self, call: Call) -> SealKeeper:
        require_home(call)
        if self._seal is None:
            raise CallInvalid("arguments_invalid", "This vault has no seal; set vault.seal to passphrase or shamir.")
        return self._seal


def _answer(answer: SealAnswer) -> SharesView:
    return SharesView(_view(answer.status), list(answer.shares))


def _view(status: SealStatus) -> SealView:
    return SealView(
        seal=status.seal,
        initialised=status.initialised,
        sealed=status.sealed,
        shares=status.shares,
        threshold=status.threshold,
        attempt=status.attempt,
        purpose=status.purpose,
        given=status.given,
        needed=status.needed,
        expires_at=None if status.expires_ns is None else iso_time(status.expires_ns),
    )
