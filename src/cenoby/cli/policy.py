"""`cenoby policy`: what the policies say, before they are in force and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.failures import ArgumentsInvalid
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import print_fields, print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

Policies = Annotated[
    Path | None, Parameter(name="--policies", help="A policy file, or a directory of them, instead of the settings'.")
]


def check(
    path: Annotated[Path | None, Parameter(help="A policy file or directory, instead of the settings'.")] = None,
    *,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Check policies as a colony does when it loads them; no colony need run.

    Syntax, types, action types, arguments of tools, ids and roles. Exit code 0 where all is well, 2 with every place
    that is wrong.
    """
    from cenoby.access.policy.vocabulary import unhosted
    from cenoby.cli.policy_sources import offline

    known = offline(settings_for(data, config), path)
    warnings = [str(one) for one in unhosted(known.policies.policies, known.tools)]
    names = [one.id for one in known.policies.policies]
    roles = sorted(known.policies.roles)
    if json:
        answer = {"ok": True, "policies": len(names), "digest": known.policies.digest, "roles": roles}
        print_json(answer | {"warnings": warnings, "ids": names})
        return
    for warning in warnings:
        print_line(f"warning: {warning}")
    print_line(f"ok: {len(names)} policies, set {known.policies.name}, roles {', '.join(roles)}")


def explain(
    agent: Annotated[str, Parameter(help="Name of an agent; any name where --role is given.")],
    tool: Annotated[str, Parameter(help="Canonical name of a tool, mads.<mad>.<tool>.")],
    arguments: Annotated[str, Parameter(help="Arguments of the call, a JSON object.")] = "{}",
    *,
    role: Annotated[
        list[str] | None,
        Parameter(
            help="Ask the files instead of the colony, for an agent with this role; may be given again.", negative=""
        ),
    ] = None,
    policies: Policies = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Say what policy decides on a call, by which policy, and how each condition of it comes out.

    Asks the running colony, or with --role the files. Exit code 0, whatever the decision is.
    """
    asked = _object(arguments)
    settings = settings_for(data, config)
    if role is not None or policies is not None:
        from cenoby.cli.policy_sources import explain_offline

        answer = explain_offline(settings, policies, agent, role or [], tool, asked)
    else:
        client = connect(settings.data, token, operator=operator)
        call = {"agent": agent, "name": tool, "arguments": asked}
        answer = client.call("mads.grace.explain_policy", call)
    if json:
        print_json(answer)
    else:
        _print_explanation(answer)


def test(
    table: Annotated[Path, Parameter(help="YAML: a list of cases, each with what it expects.")],
    *,
    policies: Policies = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> int:
    """Compare what policy decides with a table of what it should; exit code 1 where it decides otherwise.

    A case gives roles, or the name of an agent of the running colony; a tool or an action; and what is expected.
    """
    from cenoby.access.policy.expected import failures, read_cases
    from cenoby.cli.policy_sources import agents_of, offline

    cases = read_cases(table)
    settings = settings_for(data, config)
    known = offline(settings, policies)
    agents = {}
    if any(case.roles is None for case in cases):
        described = connect(settings.data, token, operator=operator).call("mads.grace.describe_policy")
        agents = {one.agent: one for one in agents_of(described)}
    tools = {one.name: one for one in known.tools}
    found = failures(known.policies, cases, tools, agents.get)
    if json:
        print_json({"ok": not found, "cases": len(cases), "set": known.policies.digest, "failures": found})
        return 1 if found else 0
    for one in found:
        print_line(f"case {one.number}: {one.subject} {one.tool}: expected {one.expected}, but {one.decided}")
        print_line(f"  {one.because}")
    print_line(f"{len(cases) - len(found)} of {len(cases)} cases as expected")
    return 1 if found else 0


def diff(
    before: Annotated[Path, Parameter(help="A policy file or directory.")],
    after: Annotated[Path, Parameter(help="Another version of it.")],
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> int:
    """List who gains or loses which tool between two versions; exit code 1 where anything differs.

    Over the agents and tools of the colony that runs on this data directory. Without one: over one agent for each role,
    named `role:<role>`, and the tools that the settings' MADs declare.
    """
    from cenoby.access.policy.differences import differences
    from cenoby.cli.policy_sources import offline, subjects

    settings = settings_for(data, config)
    old, new = offline(settings, before), offline(settings, after)
    agents, tools = subjects(settings, old, new, token, operator=operator)
    found = list(differences(old.policies, new.policies, agents, tools))
    if json:
        print_json({"before": old.policies.digest, "after": new.policies.digest, "differences": found})
    elif found:
        columns = ["change", "agent", "tool", "before", "after", "policies"]
        print_table(columns, [_row(one) for one in found])
    else:
        print_line(f"nobody gains or loses anything ({len(agents)} agents, {len(tools)} tools)")
    return 1 if found else 0


def schema(*, data: Data = None, config: Config = None) -> None:
    """Print the schema that policies are checked against, in Cedar's schema language."""
    from cenoby.access.policy.schema import schema_text
    from cenoby.cli.policy_sources import vocabulary_of

    print_line(schema_text(vocabulary_of(settings_for(data, config)).actions).rstrip())


def _row(one: Any) -> list[Any]:
    return [one.change, one.agent, one.tool, one.before, one.after, ", ".join(one.policies)]


def _object(text: str) -> dict[str, Any]:
    import json

    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentsInvalid("arguments_unreadable", f"the arguments are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentsInvalid("arguments_unreadable", "the arguments must be a JSON object")
    return cast(dict[str, Any], value)


def _print_explanation(answer: dict[str, Any]) -> None:
    print_fields({name: answer[name] for name in ("decision", "because", "agent", "tool", "action", "risk", "set")})
    for one in answer["policies"]:
        mark = "decides" if one["decided"] else "holds" if one["holds"] else "does not hold"
        ask = f" @ask({one['ask']})" if one["ask"] else ""
        print_line(f"{one['effect']} {one['id']}{ask} ({one['place']}): {mark}")
        for part in one["conditions"]:
            problem = f": {part['problem']}" if part["problem"] else ""
            print_line(f"  {part['outcome']}: {part['text']}{problem}")
