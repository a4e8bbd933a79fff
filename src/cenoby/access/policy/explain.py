"""Why policy says what it says: the policies whose scope fits, and how each of their conditions came out."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cenoby.access.policy.expressions import Json, clause_expression, conjuncts
from cenoby.access.policy.policies import Policy
from cenoby.access.policy.policy_set import PolicySet
from cenoby.access.policy.request import Request
from cenoby.access.policy.source import clause_text
from cenoby.access.policy.table import Decision, Says, evaluate
from cenoby.access.policy.values import EvaluationFailed

Outcome = Literal["true", "false", "failed", "not reached"]


class Condition(msgspec.Struct, frozen=True):
    """One condition of a policy.

    Attributes:
        text: as Cedar writes it, with `when` or `unless` in front.
        outcome: true where it lets the policy hold; `not reached` behind one that did not.
        problem: why it failed.
    """

    text: str
    outcome: Outcome
    problem: str = ""


class Considered(msgspec.Struct, frozen=True):
    """A policy whose scope fits the call.

    Attributes:
        id, effect, place, ask: which, what it says, and where it stands.
        holds: whether all its conditions are satisfied.
        decided: whether the decision rests on it.
        conditions: each of them.
    """

    id: str
    effect: str
    place: str
    ask: str
    holds: bool
    decided: bool
    conditions: tuple[Condition, ...]


class Explanation(msgspec.Struct, frozen=True):
    """The answer to why.

    Attributes:
        decision: allow, ask or deny.
        by: ids of the policies that decided; none where no policy permits.
        because: one sentence for people.
        agent, tool, action, risk: what was asked.
        set: first digits of the set's digest.
        policies: those whose scope fits.
    """

    decision: Says
    by: tuple[str, ...]
    because: str
    agent: str
    tool: str
    action: str
    risk: str
    set: str
    policies: tuple[Considered, ...]


def explain(policies: PolicySet, request: Request) -> Explanation:
    """Decide a request as a call is decided, and say how it came to that."""
    plan = policies.table.plan(request.principal, request.action, request.tool)
    decision = plan.fixed or evaluate(plan, request)
    return Explanation(
        decision=decision.says,
        by=decision.policies,
        because=_because(decision),
        agent=request.principal.agent,
        tool=request.tool,
        action=request.action,
        risk=str(request.risk),
        set=policies.name,
        policies=tuple(_considered(one, request, decision) for one in plan.policies),
    )


def _because(decision: Decision) -> str:
    named = ", ".join(decision.policies)
    if decision.failed:
        return f"{named} cannot be evaluated, which denies: {decision.failed}."
    if decision.says == "deny":
        return f"{named} forbids it." if named else "No policy permits it."
    return f"{named} permits it" + (", after a person decides." if decision.says == "ask" else ".")


def _considered(policy: Policy, request: Request, decision: Decision) -> Considered:
    conditions: list[Condition] = []
    open_ = True
    for clause in policy.clauses:
        for part in _parts(clause):
            text = f"{clause['kind']} {clause_text(part)}"
            found = _outcome(text, clause["kind"], part, request) if open_ else Condition(text, "not reached")
            open_ = open_ and found.outcome == "true"
            conditions.append(found)
    return Considered(
        id=policy.id,
        effect=policy.effect,
        place=policy.place,
        ask=policy.ask,
        holds=open_,
        decided=policy.id in decision.policies,
        conditions=tuple(conditions),
    )


def _parts(clause: Json) -> list[Json]:
    """What is evaluated one by one: the operands of `&&` in a `when`; an `unless` as a whole."""
    return conjuncts(clause["body"]) if clause["kind"] == "when" else [clause["body"]]


def _outcome(text: str, kind: str, part: Json, request: Request) -> Condition:
    clause: dict[str, Any] = {"kind": kind, "body": part}
    try:
        return Condition(text, "true" if clause_expression(clause)(request) else "false")
    except EvaluationFailed as error:
        return Condition(text, "failed", str(error))
