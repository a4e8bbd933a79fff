"""A table of expected decisions, and where policy decides otherwise: the tests of a set of policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import yaml

from cenoby.access.actions import tier_of
from cenoby.access.policy.errors import PolicyInvalid, Problem
from cenoby.access.policy.explain import explain
from cenoby.access.policy.policy_set import PolicySet
from cenoby.access.policy.request import Request
from cenoby.access.policy.table import Says
from cenoby.access.policy.vocabulary import ToolFact
from cenoby.access.principals import Principal

_HOUR_NS = 3600 * 1_000_000_000


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table.

    Attributes:
        expect: the decision.
        tool: canonical name of a tool; or leave it out and give an action type.
        action: the action type, where no tool is given, or another than the tool's.
        agent: its name, where its roles are not given one that is known.
        roles, tenant, kind: what the agent is.
        arguments: of the call.
        by: id of a policy that must be among those that decided.
        hour: of the day, UTC, 0 to 23.
    """

    expect: Says
    tool: str = ""
    action: str = ""
    agent: str = ""
    roles: tuple[str, ...] | None = None
    tenant: str = "default"
    kind: Literal["agent", "person", "mad"] = "agent"
    arguments: dict[str, Any] = {}
    by: str = ""
    hour: int = 12


class Failure(msgspec.Struct, frozen=True):
    """A case that came out otherwise.

    Attributes:
        number: of the case in the table, from 1.
        subject, tool: who and what.
        expected, decided: the two decisions.
        because: why it was decided so.
    """

    number: int
    subject: str
    tool: str
    expected: str
    decided: str
    because: str


def read_cases(file: Path) -> list[Case]:
    """The cases of a table: a YAML list, or a list under `cases`.

    Raises:
        PolicyInvalid: it cannot be read, or is no such table.
    """
    try:
        tree: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyInvalid.of([Problem(str(file), 0, "", f"cannot be read: {error}")]) from None
    listed = cast(Mapping[str, Any], tree).get("cases") if isinstance(tree, dict) else tree
    if not isinstance(listed, list) or not listed:
        raise PolicyInvalid.of([Problem(str(file), 0, "", "it must be a list of cases, each with `expect`")])
    cases: list[Case] = []
    problems: list[Problem] = []
    for number, one in enumerate(cast(list[Any], listed), 1):
        try:
            cases.append(msgspec.convert(one, Case))
        except msgspec.ValidationError as error:
            problems.append(Problem(str(file), 0, f"case {number}", str(error)))
    if problems:
        raise PolicyInvalid.of(problems)
    return cases


def failures(
    policies: PolicySet, cases: list[Case], tools: Mapping[str, ToolFact], find: Callable[[str], Principal | None]
) -> list[Failure]:
    """The cases that come out otherwise than expected.

    Args:
        policies: what is tested.
        cases: the table.
        tools: known tools by name.
        find: a known agent by its name; None where it is not known.

    Raises:
        PolicyInvalid: `policy_subject_unknown`: a case names a tool or an agent that is not known.
    """
    found: list[Failure] = []
    for number, case in enumerate(cases, 1):
        request = request_of(case, policies, tools, find)
        answer = explain(policies, request)
        by = f" by {case.by}" if case.by else ""
        if answer.decision != case.expect or (case.by and case.by not in answer.by):
            subject = request.principal.agent or ", ".join(request.principal.roles)
            decided = f"{answer.decision} by {', '.join(answer.by) or 'no policy'}"
            what = request.tool or request.action
            found.append(Failure(number, subject, what, case.expect + by, decided, answer.because))
    return found


def request_of(
    case: Case, policies: PolicySet, tools: Mapping[str, ToolFact], find: Callable[[str], Principal | None]
) -> Request:
    """The request that a case describes.

    Raises:
        PolicyInvalid: `policy_subject_unknown`.
    """
    principal = None if case.roles is not None else find(case.agent)
    if principal is None:
        if case.roles is None:
            raise _unknown(f"the agent {case.agent!r} is not known here; give its roles")
        principal = Principal(case.agent, case.tenant, tuple(sorted(case.roles)), case.kind)
    tool = tools.get(case.tool)
    action = case.action or (tool.action if tool else "")
    if not action:
        raise _unknown(f"the tool {case.tool!r} is not known here; give its action")
    effect = tool.effect if tool else ""
    declared = tool.risk if tool and tool.action == action else tier_of(action)
    risk = policies.risk_of(action, declared)
    return Request(principal, action, case.tool, effect, risk, case.arguments, None, case.hour * _HOUR_NS)


def _unknown(text: str) -> PolicyInvalid:
    return PolicyInvalid("policy_subject_unknown", text + ".")
