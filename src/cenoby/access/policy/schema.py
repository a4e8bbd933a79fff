"""The schema that policies are checked against: who asks, for what, on which tool, and what is known of a call.

It is written in Cedar's schema language, and Cedar's own validator does the checking; `cenoby policy schema` prints it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import cedarpy

from cenoby.access.policy.argument_types import Path, argument_types, record_type
from cenoby.access.policy.errors import Problem, Unusable
from cenoby.access.policy.policies import Policy
from cenoby.access.policy.request import CONTEXT, PRINCIPAL, RESOURCE, category_of

_FOR_ACTION = re.compile(r' in context for Action::".*"$')


def schema_text(actions: Iterable[str], arguments: str = "{}") -> str:
    """The schema in Cedar's language.

    Args:
        actions: the registered action types.
        arguments: the record type of `context.arguments`.
    """
    known = sorted(set(actions))
    context = ", ".join(f"{name}: {type_}" for name, (type_, _) in CONTEXT.items())
    of_principal = ", ".join(f"{name}: String" for name in PRINCIPAL)
    of_resource = ", ".join(f"{name}: String" for name in RESOURCE)
    lines = [
        "entity Role, Tenant, Department, Mad;",
        f"entity Agent in [Role, Tenant, Department] {{ {of_principal} }};",
        f"entity Tool in [Mad] {{ {of_resource} }};",
        f"type Known = {{ {context}, arguments: {arguments} }};",
        *(f'action "{category}";' for category in sorted({category_of(action) for action in known})),
        *(
            f'action "{action}" in ["{category_of(action)}"]'
            " appliesTo { principal: Agent, resource: Tool, context: Known };"
            for action in known
        ),
    ]
    return "\n".join(lines) + "\n"


def validate(policies: Sequence[Policy], actions: Iterable[str]) -> list[Problem]:
    """What Cedar's validator, and the check of the types of arguments, find wrong.

    Args:
        policies: as they were read.
        actions: the registered action types.
    """
    problems: list[Problem] = []
    groups: list[tuple[dict[Path, str], list[Policy]]] = []
    for policy in policies:
        try:
            types = argument_types(policy.clauses)
        except Unusable as error:
            problems.append(Problem(policy.file, policy.line, policy.id, str(error)))
            continue
        _group(policy, types, groups)
    known = list(actions)
    for types, members in groups:
        problems += _check(members, schema_text(known, record_type(types)))
    return problems


def _group(policy: Policy, types: dict[Path, str], groups: list[tuple[dict[Path, str], list[Policy]]]) -> None:
    """Policies that agree on what their arguments are can be checked together, which is quicker."""
    for known, members in groups:
        if all(not known.get(path) or not type_ or known[path] == type_ for path, type_ in types.items()):
            known.update({path: known.get(path) or type_ for path, type_ in types.items()})
            members.append(policy)
            return
    groups.append((dict(types), [policy]))


def _check(policies: Sequence[Policy], schema: str) -> list[Problem]:
    text = "\n".join(policy.text for policy in policies)
    result = cedarpy.validate_policies(text, schema, release_gil=True)  # pyright: ignore[reportUnknownMemberType]
    problems: dict[Problem, None] = {}
    for error in result.errors:
        place = error.policy_id.removeprefix("policy")
        if not place.isdigit() or int(place) >= len(policies):
            problems[Problem("(schema)", 0, "", error.error)] = None
            continue
        policy = policies[int(place)]
        text = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
        # Once, and not for every action type that is in the policy's scope.
        problems[Problem(policy.file, policy.line, policy.id, _FOR_ACTION.sub("", text))] = None
    return list(problems)
