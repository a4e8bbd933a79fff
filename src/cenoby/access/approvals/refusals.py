"""What approvals refuse with: one function for each answer, so that all of them say what to do next."""

from __future__ import annotations

from cenoby.access.approvals.sql import Approval
from cenoby.access.limits import LimitExceeded
from cenoby.access.roles import AccessRefused
from cenoby.kernel.clock import iso_time

MAX_PENDING = 100
"""Undecided requests of one agent; more would bury the person who decides."""


def too_many(agent: str) -> LimitExceeded:
    """The agent has as many undecided requests as one may have."""
    return LimitExceeded(
        "approvals_full",
        f"{agent!r} has {MAX_PENDING} undecided requests; have some of them decided first.",
    )


def pending(request: Approval) -> AccessRefused:
    """The call is parked."""
    people = "a person's approval" if request.needed == 1 else f"the approval of {request.needed} people"
    return AccessRefused(
        "approval_pending",
        f"{request.tool} needs {people} ({request.action}): the call is parked as {request.id}, and runs by itself "
        f"once it is approved. mads.grace.get_parked with approval_id={request.id} has its state and then its result; "
        "so has the same call with exactly these arguments.",
        details={"approval_id": request.id, "created": iso_time(request.created_ns)},
    )


def running(request: Approval) -> AccessRefused:
    """The call was approved and is under way."""
    return AccessRefused(
        "approval_running",
        f"{request.tool} was approved and runs just now; mads.grace.get_parked with approval_id={request.id} has the "
        "result when it is there.",
        retry_after=1.0,
        details={"approval_id": request.id, "created": iso_time(request.created_ns)},
    )


def denied(request: Approval) -> AccessRefused:
    """Somebody, or time, said no."""
    return AccessRefused(
        "approval_denied",
        f"{request.decided_by!r} said no to this call of {request.tool}; the reason is in the details, as data. "
        "Do something else, or speak with them.",
        details={"approval_id": request.id, "reason": request.reason},
    )


def unknown(approval_id: str) -> AccessRefused:
    """There is no such request for this caller."""
    return AccessRefused("approval_unknown", f"There is no request {approval_id!r}; list those that are open.")


def lost(request: Approval) -> AccessRefused:
    """Another run of the call has the approval."""
    return AccessRefused(
        "approval_lost", f"Request {request.id} was used by another run of this call ({request.used_by}); ask for it."
    )


def own(approver: str) -> AccessRefused:
    """Who asks decides."""
    return AccessRefused("approval_own", f"{approver!r} asked for this, or works for whom it was; another must decide.")


def decided(request: Approval) -> AccessRefused:
    """It was decided before."""
    by = f" by {request.decided_by!r}" if request.decided_by else ""
    return AccessRefused(
        "approval_decided",
        f"Request {request.id} is {request.status}{by}; nothing was changed.",
        details={"status": request.status, "decided_by": request.decided_by},
    )


def seconded(request: Approval) -> AccessRefused:
    """The same person agrees twice."""
    return AccessRefused(
        "approval_seconded",
        f"{request.seconded_by!r} has agreed to request {request.id}; another person must agree, too.",
    )


def no_person(approver: str) -> AccessRefused:
    """Somebody who is no person decides what is critical."""
    return AccessRefused(
        "approver_not_person",
        f"{approver!r} is no person; two people decide this (`mads.grace.create_token` with kind=person makes tokens).",
    )
