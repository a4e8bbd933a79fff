"""What happens to the vault's seal, each journalled before it is done; never a passphrase, a share or a key."""

from __future__ import annotations

from cenoby.kernel.events import Event


class SealMade(Event, frozen=True, tag="seal_made.v1"):
    """The vault is about to be sealed in a new way, and to get a new master key.

    Attributes:
        seal: `passphrase` or `shamir`.
        shares, threshold: how many shares there are, and how many open it; 0 for a passphrase.
    """

    seal: str
    shares: int
    threshold: int


class SharesMade(Event, frozen=True, tag="shares_made.v1"):
    """New shares are about to be told; they hold once `threshold` of them were given back."""

    shares: int
    threshold: int


class ShareGiven(Event, frozen=True, tag="share_given.v1"):
    """A share that is of the right set is about to be counted.

    Attributes:
        attempt: of which attempt.
        purpose: `unseal`, `confirm` or `rekey`.
        share: its number, which tells nothing of it.
        given, needed: with this one.
    """

    attempt: str
    purpose: str
    share: int
    given: int
    needed: int


class UnsealRefused(Event, frozen=True, tag="unseal_refused.v1"):
    """Somebody gave a passphrase or a share that does not open the vault; `reason` is the error code."""

    reason: str


class VaultUnsealed(Event, frozen=True, tag="vault_unsealed.v1"):
    """The vault is about to be opened."""


class VaultClosed(Event, frozen=True, tag="vault_closed.v1"):
    """The master key is about to be forgotten by this process: a person sealed the vault."""
