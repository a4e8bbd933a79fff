"""What Grace journals: whom somebody let in, and what a person decided."""

from __future__ import annotations

from cenoby.kernel.events import Event, reason_to_notes


class TokenCreated(Event, frozen=True, tag="token_created.v1"):
    """A token was made: for whom, with which roles, until when; never its text.

    Attributes:
        token_id, agent, roles: which, whose, and what the agent may be.
        expires: RFC 3339, UTC; null means no limit.
    """

    token_id: str
    agent: str
    roles: tuple[str, ...]
    expires: str | None


class TokenRotated(Event, frozen=True, tag="token_rotated.v1"):
    """A token was replaced by a new one of the same agent.

    Attributes:
        token_id, successor, agent: which, by which, and whose they are.
        ends: until when the old one works beside it, RFC 3339, UTC.
        expires: when the new one expires; null means no limit.
    """

    token_id: str
    successor: str
    agent: str
    ends: str
    expires: str | None


class SubjectBlocked(Event, frozen=True, tag="subject_blocked.v1"):
    """An agent that another authority vouches for is kept out; `notes` says why.

    Attributes:
        agent: which.
        token: only this token of it (`jti`); empty for all.
    """

    agent: str
    token: str


class SubjectUnblocked(Event, frozen=True, tag="subject_unblocked.v1"):
    """An agent that another authority vouches for is let in again."""

    agent: str
    token: str


class TokenRevoked(Event, frozen=True, tag="token_revoked.v1"):
    """A token was revoked."""

    token_id: str
    agent: str


class FlagSet(Event, frozen=True, tag="flag_set.v2"):
    """A MAD or a tool is on for a share of the agents, and for some by name; `notes` says why.

    Attributes:
        flag: `mads.<mad>` or a tool's canonical name.
        percentage: share of the agents, 0 to 100.
        agents: for whom it is on in any case.
    """

    flag: str
    percentage: int
    agents: tuple[str, ...]
    upgraders = {1: reason_to_notes}


class FlagRemoved(Event, frozen=True, tag="flag_removed.v1"):
    """What the flag was for is on for everybody again."""

    flag: str


class KillSwitchThrown(Event, frozen=True, tag="kill_switch_thrown.v1"):
    """An agent, a MAD, a tool, a tenant, or all was stopped on every node; `notes` says why.

    Attributes:
        scope: agent, mad, tool, tenant or all.
        name: of what; empty for all.
    """

    scope: str
    name: str


class KillSwitchLifted(Event, frozen=True, tag="kill_switch_lifted.v1"):
    """What a kill switch had stopped goes on."""

    scope: str
    name: str


class AutonomySet(Event, frozen=True, tag="autonomy_set.v1"):
    """A person set a level of autonomy; `notes` says why.

    Attributes:
        scope, name: whose: an agent's, a department's or the company's, whose name is empty.
        level: full, semi, supervised or locked; `inherit` where one that was set was taken back.
        was, now: the level in force before and after.
    """

    scope: str
    name: str
    level: str
    was: str
    now: str


class NodeEnrolled(Event, frozen=True, tag="node_enrolled.v1"):
    """An operator had the signature of a node believed."""

    node: str
    public_key: str


class NodeRevoked(Event, frozen=True, tag="node_revoked.v1"):
    """An operator had a node believed no more."""

    node: str
    public_key: str


class CanaryCreated(Event, frozen=True, tag="canary_created.v1"):
    """A text to be planted was made; never the text.

    Attributes:
        canary: its id.
        label: where it is to be planted, by its owner's words.
        kind: what it looks like.
    """

    canary: str
    label: str
    kind: str


class CanaryDeleted(Event, frozen=True, tag="canary_deleted.v1"):
    """A planted text is looked for no more."""

    canary: str


class PiiRevealed(Event, frozen=True, tag="pii_revealed.v1"):
    """Somebody asked what a token stands for, and is about to be told; `notes` says why.

    Attributes:
        token: which.
        found: whether it stands for anything in the caller's tenant.
    """

    token: str
    found: bool
