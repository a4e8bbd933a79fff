"""What happens to the rules of egress."""

from __future__ import annotations

from cenoby.kernel.events import Event


class EgressRulesLoaded(Event, frozen=True, tag="egress_rules_loaded.v1"):
    """Rules on what may leave are in force from here on.

    Attributes:
        digest: SHA-256 of the file.
        before: that of the file before it; empty at the start.
        rules: their names.
        node: where.
    """

    digest: str
    before: str
    rules: tuple[str, ...]
    node: str


class EgressRulesRejected(Event, frozen=True, tag="egress_rules_rejected.v1"):
    """The file changed and cannot be used: what held before holds on; `notes` says what is wrong.

    Attributes:
        kept: digest of the file that stays in force.
        node: where.
    """

    kept: str
    node: str
