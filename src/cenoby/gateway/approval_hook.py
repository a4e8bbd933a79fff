"""`POST /approvals/{id}`: a person, or a service that acts with a person's token, decides from outside.

It is a call of `mads.grace.approve` or `deny` through the pipeline like any other: roles decide who may, and who asks
cannot. The body is JSON: `decision` (`approve` or `deny`), and what else those tools take, such as `reason`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from starlette.types import Receive, Scope, Send

from cenoby.access.tokens import Identities
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.gateway.answers import CLOSE, answer_json, bearer_token, header
from cenoby.gateway.errors import GatewayUnavailable
from cenoby.gateway.intake import BodyInvalid, Intake
from cenoby.gateway.places import Places
from cenoby.kernel.errors import CenobyError, Unauthenticated

PREFIX = "/approvals/"
CAUSE = "webhook"


class Decision(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What somebody decides."""

    decision: Literal["approve", "deny"]
    reason: str = ""
    scope: str = "once"
    minutes: int = 0
    any_arguments: bool = False


def approval_named(path: str) -> str:
    """The id of the request that a path names; empty where it is no such path."""
    identifier = path.removeprefix(PREFIX) if path.startswith(PREFIX) else ""
    return identifier if identifier.replace("-", "").isalnum() else ""


class ApprovalHook:
    """Takes decisions.

    Args:
        identities: who decides.
        run: the pipeline.
        inflight: places for requests under way.
        intake: takes bodies in.
        challenge: answers who is nobody we know.
    """

    def __init__(
        self,
        identities: Identities,
        run: Callable[[Invocation], Awaitable[Outcome]],
        inflight: Places,
        intake: Intake,
        challenge: Callable[[Scope, Send, Unauthenticated], Awaitable[None]],
    ) -> None:
        self._identities = identities
        self._run = run
        self._inflight = inflight
        self._intake = intake
        self._challenge = challenge

    async def __call__(self, approval_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one decision and answer with the request as it is then, or with the refusal.

        Args:
            approval_id: which request.
            scope, receive, send: of the HTTP request.
        """
        try:
            token = bearer_token(header(scope, b"authorization"))
            agent = self._identities.authenticate(token)
        except Unauthenticated as error:
            await self._challenge(scope, send, error)
            return
        try:
            with self._inflight.take(agent):
                body = await self._intake.read(scope, receive, agent.agent)
                self._intake.release(agent.agent, len(body))
                await self._decide(approval_id, body, token, send)
        except (BodyInvalid, GatewayUnavailable) as error:
            await answer_json(send, error.http_status, {"error": error.to_wire()}, [CLOSE])

    async def _decide(self, approval_id: str, body: bytes, token: str, send: Send) -> None:
        try:
            wanted = msgspec.json.decode(body, type=Decision)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BodyInvalid("body_malformed", f"The body is no decision: {error}.") from None
        arguments: dict[str, Any] = {"approval_id": approval_id, "reason": wanted.reason}
        if wanted.decision == "approve":
            arguments |= {"scope": wanted.scope, "minutes": wanted.minutes, "any_arguments": wanted.any_arguments}
        outcome = await self._run(Invocation(f"mads.grace.{wanted.decision}", arguments, token, causation=CAUSE))
        if outcome.error is not None:
            await answer_json(send, _status(outcome.error), {"error": outcome.error.to_wire()})
        else:
            await answer_json(send, 200, outcome.value)


def _status(error: CenobyError) -> int:
    if error.code in ("approval_decided", "approval_seconded"):
        return 409
    return 404 if error.code == "approval_unknown" else error.http_status
