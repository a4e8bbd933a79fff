"""What the journal keeps of approvals: every parking, decision, escalation, time-out and end of a parked call."""

from __future__ import annotations

from typing import Any

from cenoby.kernel.events import BusEvent, Event, reason_to_notes


class ApprovalDecision(Event, frozen=True):
    """Base of a person's decisions; `notes` says why, which was `reason` in the first version.

    Attributes:
        approval_id: which request.
        agent, tool, digest: who asked, for which tool, and the digest of exactly that call.
    """

    approval_id: str
    agent: str
    tool: str
    digest: str
    upgraders = {1: reason_to_notes}


class ApprovalApproved(ApprovalDecision, frozen=True, tag="approval_approved.v2"):
    """A person let one call through, once; `digest` says which call exactly."""


class ApprovalDenied(ApprovalDecision, frozen=True, tag="approval_denied.v2"):
    """A person said no to one call."""


class ApprovalSeconded(Event, frozen=True, tag="approval_seconded.v1"):
    """The first of two people agreed to a call; another one must still.

    Attributes:
        approval_id: which request.
        agent, tool, digest: who asked, for which tool, and the digest of exactly that call.
    """

    approval_id: str
    agent: str
    tool: str
    digest: str


class ApprovalGranted(Event, frozen=True, tag="approval_granted.v1"):
    """A person approved more than the one call: calls of this agent and tool, until a time.

    Attributes:
        grant: its id.
        approval_id: the decision it came with.
        agent, tool: who may call what.
        digest: of the arguments that it is bound to; empty for any arguments.
        conversation: in which it holds; empty for all.
        until: RFC 3339, UTC.
    """

    grant: str
    approval_id: str
    agent: str
    tool: str
    digest: str
    conversation: str
    until: str


class ApprovalGrantRevoked(Event, frozen=True, tag="approval_grant_revoked.v1"):
    """What a person approved beyond one call holds no more.

    Attributes:
        approval_id: the decision it came with.
        grants: how many grants ended.
    """

    approval_id: str
    grants: int


class CallParked(Event, frozen=True, tag="call_parked.v1"):
    """A call waits for a person; its whole context is kept, sealed.

    Attributes:
        approval_id: the request it waits under.
        agent, tool, digest: who asked, for which tool, and the digest of exactly that call.
        asked_by: which checks want a person.
        risk: the risk tier.
        people: how many must agree.
        until: when time decides, RFC 3339; null where only people do.
    """

    approval_id: str
    agent: str
    tool: str
    digest: str
    asked_by: tuple[str, ...]
    risk: str
    people: int
    until: str | None


class ApprovalEscalated(Event, frozen=True, tag="approval_escalated.v1"):
    """Nobody decided in time; the next in the chain are told.

    Attributes:
        approval_id: which request.
        level: the step of the chain, from 1.
        to: who is told.
    """

    approval_id: str
    level: int
    to: tuple[str, ...]


class ApprovalTimedOut(Event, frozen=True, tag="approval_timed_out.v1"):
    """Nobody decided a request, and its time is over.

    Attributes:
        approval_id: which request.
        verdict: what the settings say of it: `approve` (low risk only) or `deny`.
    """

    approval_id: str
    verdict: str


class ParkedCallCancelled(Event, frozen=True, tag="parked_call_cancelled.v1"):
    """The caller wants a parked call no more."""

    approval_id: str


class ParkedCallResumed(Event, frozen=True, tag="parked_call_resumed.v1"):
    """The engine runs a parked call that was approved.

    Attributes:
        approval_id: the request it waited under.
        run: the invocation; the journal has its decision and outcome.
    """

    approval_id: str
    run: str


class ParkedCallEnded(Event, frozen=True, tag="parked_call_ended.v1"):
    """A parked call has come to its end, and its caller can have the result.

    Attributes:
        approval_id: the request it waited under.
        outcome: ok, error, refused, denied, expired, cancelled, repeated (its caller ran it by calling again) or
            unknown (a process died in the midst of it, and nobody ran it again).
        run: the invocation that ran it, where one did.
    """

    approval_id: str
    outcome: str
    run: str = ""


class ApprovalNews(BusEvent, frozen=True, tag="approval_news.v1"):
    """What the webhook of approvals tells: something happened to a request.

    Attributes:
        kind: parked, seconded, approved, denied, cancelled, escalated, or `ended:<outcome>`.
        approval: the request as a person may see it, plain JSON types without secrets.
    """

    kind: str
    approval: dict[str, Any]
