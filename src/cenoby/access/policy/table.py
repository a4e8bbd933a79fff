"""The table: policies by subject and action, so that a decision costs the same with fifty and with five thousand.

What fits a kind of subject (its roles, tenant, department, and its name where a policy names it), an action type and a
tool is worked out once and kept as a plan; a plan without conditions is a finished decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from cenoby.access.actions import RiskTier, is_known
from cenoby.access.policy.expressions import Expression
from cenoby.access.policy.policies import ANY, Policy
from cenoby.access.policy.request import Request, category_of, department_of, mad_of
from cenoby.access.policy.values import EvaluationFailed
from cenoby.access.principals import Principal
from cenoby.access.verdicts import Ask

Says = Literal["allow", "ask", "deny"]

_KEPT = 200_000
"""Plans that are kept; with more, all are worked out again as they are needed."""

_COMBINATIONS = 64
"""Outcomes of a plan's conditions whose decision is kept."""

_NAMED = 8
"""Policies that a decision names; a thousand that all permit the same are no news."""


class Decision(msgspec.Struct, frozen=True):
    """What policy says of one call.

    Attributes:
        says: allow, ask (a person must decide) or deny.
        policies: ids of the policies that decided; none where no policy permits. At most eight.
        asks: why a person must decide.
        failed: what could not be evaluated, where that is why it is denied.
    """

    says: Says
    policies: tuple[str, ...] = ()
    asks: tuple[Ask, ...] = ()
    failed: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What is known of a call before its arguments are.

    Attributes:
        policies: all whose scope fits.
        fixed: the decision, where no condition can change it.
        possible: whether some arguments could be allowed.
        tests: the conditional policies with their conditions.
        held: the permits that hold without one.
        otherwise: the decision where no condition is satisfied.
        known: decisions by which of the tests are satisfied, one bit each.
    """

    policies: tuple[Policy, ...]
    fixed: Decision | None
    possible: bool
    tests: tuple[tuple[Policy, Expression], ...]
    held: tuple[Policy, ...]
    otherwise: Decision
    known: dict[int, Decision]


_NO = Decision("deny")
_UNKNOWN = Plan((), _NO, False, (), (), _NO, {})
_Bucket = dict[str, list[Policy]]


class Table:
    """Policies that are in force together.

    Args:
        policies: all of them.
    """

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._by_subject: dict[tuple[str, str], _Bucket] = {}
        for policy in policies:
            bucket = self._by_subject.setdefault(policy.principal, {})
            for action in policy.actions or ("",):
                bucket.setdefault(action, []).append(policy)
        self._named = frozenset(name for kind, name in self._by_subject if kind == "Agent")
        self._plans: dict[tuple[Any, ...], Plan] = {}

    def decide(
        self,
        principal: Principal,
        action: str,
        tool: str,
        effect: str,
        risk: RiskTier,
        arguments: Mapping[str, Any],
        defaults: Mapping[str, Any],
        now_ns: int,
    ) -> Decision:
        """What policy says of a call; see `Request` for the arguments."""
        plan = self.plan(principal, action, tool)
        if plan.fixed is not None:
            return plan.fixed
        return evaluate(plan, Request(principal, action, tool, effect, risk, arguments, defaults, now_ns))

    def plan(self, principal: Principal, action: str, tool: str) -> Plan:
        """Which policies fit a call, and what follows from them without its arguments."""
        agent = principal.agent
        key = (
            action,
            tool,
            principal.roles,
            principal.tenant,
            department_of(principal),
            agent if agent in self._named else "",
        )
        plan = self._plans.get(key)
        return plan if plan is not None else self._make(key, principal)

    def _make(self, key: tuple[Any, ...], principal: Principal) -> Plan:
        action, tool = key[0], key[1]
        if not is_known(action):
            # Not kept: whoever declares it later must not meet an old "no".
            return _UNKNOWN
        plan = plan_of(self._fitting(principal, action, tool))
        if len(self._plans) >= _KEPT:
            self._plans.clear()
        self._plans[key] = plan
        return plan

    def _fitting(self, principal: Principal, action: str, tool: str) -> list[Policy]:
        subjects = [ANY, ("Agent", principal.agent), ("Tenant", principal.tenant)]
        subjects += [("Role", role) for role in principal.roles]
        if department := department_of(principal):
            subjects.append(("Department", department))
        mad, found = mad_of(tool), dict[str, Policy]()
        for subject in subjects:
            bucket = self._by_subject.get(subject)
            if bucket is None:
                continue
            for name in ("", action, category_of(action)):
                # By id, because a policy may name both an action type and its category.
                found |= {one.id: one for one in bucket.get(name, ()) if one.fits_resource(tool, mad)}
        return list(found.values())


def plan_of(policies: Iterable[Policy]) -> Plan:
    """The plan of policies that all fit."""
    fitting = tuple(sorted(policies, key=lambda one: (one.effect, one.id)))
    tests = tuple((one, one.test) for one in fitting if one.test is not None)
    bare = [one for one in fitting if one.test is None]
    forbids = tuple(one for one in bare if one.effect == "forbid")
    held = tuple(one for one in bare if one.effect == "permit")
    otherwise = _decided(forbids, held)
    # Without a permit nothing can be allowed; with a forbid that always holds, neither.
    possible = not forbids and any(one.effect == "permit" for one in fitting)
    fixed = otherwise if not tests or not possible else None
    return Plan(fitting, fixed, possible, tests, held, otherwise, {0: otherwise})


def evaluate(plan: Plan, request: Request) -> Decision:
    """The decision where conditions decide. Every condition is evaluated, and one that errs denies."""
    satisfied, bit = 0, 1
    for policy, test in plan.tests:
        try:
            if test(request):
                satisfied |= bit
        except EvaluationFailed as error:
            return Decision("deny", (policy.id,), failed=str(error))
        except Exception as error:  # noqa: BLE001 - a bug of ours must not let anything through, either
            return Decision("deny", (policy.id,), failed=f"{type(error).__name__}: {error}")
        bit <<= 1
    known = plan.known.get(satisfied)
    return known if known is not None else _combine(plan, satisfied)


def _combine(plan: Plan, satisfied: int) -> Decision:
    holding = [policy for place, (policy, _) in enumerate(plan.tests) if satisfied >> place & 1]
    decision = _decided(
        [one for one in holding if one.effect == "forbid"],
        [*plan.held, *(one for one in holding if one.effect == "permit")],
    )
    if len(plan.known) >= _COMBINATIONS:
        plan.known.clear()
    plan.known[satisfied] = decision
    return decision


def _decided(forbids: Iterable[Policy], permits: Iterable[Policy]) -> Decision:
    """Deny wins over ask, and ask over allow."""
    if denying := [one.id for one in forbids]:
        return Decision("deny", tuple(denying[:_NAMED]))
    permitting = list(permits)
    if not permitting:
        return _NO
    if asking := [one for one in permitting if one.ask]:
        asks = tuple(Ask(f"policy:{one.id}", one.ask) for one in asking)
        return Decision("ask", tuple(one.id for one in asking[:_NAMED]), asks)
    return Decision("allow", tuple(one.id for one in permitting[:_NAMED]))
