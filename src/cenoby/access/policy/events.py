"""What happens to the policies in force."""

from __future__ import annotations

from cenoby.kernel.events import Event


class PolicyLoaded(Event, frozen=True, tag="policy_loaded.v1"):
    """A set of policies is in force from here on, read from its files.

    Attributes:
        digest: SHA-256 of what it was made of; records of decisions have its first twelve digits.
        before: that of the set before it; empty at the start.
        policies: how many there are.
        node: where.
        added, removed, changed: ids of policies, at most 50 each; none at the start.
        files: what it was read from.
    """

    digest: str
    before: str
    policies: int
    node: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    files: tuple[str, ...]


class PolicyRejected(Event, frozen=True, tag="policy_rejected.v1"):
    """Policy files changed and cannot be used: what held before holds on; `notes` says what is wrong.

    Attributes:
        kept: digest of the set that stays in force.
        node: where.
        files: what was read.
    """

    kept: str
    node: str
    files: tuple[str, ...]
