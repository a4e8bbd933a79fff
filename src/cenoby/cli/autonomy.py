"""`cenoby autonomy`: what agents may do without asking a person, and a person's change of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.failures import ArgumentsInvalid
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_fields, print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

Whose = Annotated[Literal["agent", "department", "company"], Parameter(help="Whose level.")]
_LEVELS = ("scope", "name", "level", "set", "set_by", "reason")


def list_(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Show the level of every agent, what decided it, and the levels that were set."""
    found = connect(settings_for(data, config).data, token).call("mads.grace.list_autonomy", {})
    if json:
        print_json(found)
        return
    print_line(f"company {found['company']}")
    print_table(("agent", "level", "by"), [(one["agent"], one["level"], one["by"]) for one in found["agents"]])
    if found["levels"]:
        print_line("")
        print_table(_LEVELS, [[one[column] for column in _LEVELS] for one in found["levels"]])


def show(
    agent: Annotated[str, Parameter(help="Name of an agent or a MAD.")],
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show the level of one agent, what decided it, and why it was set or lowered."""
    found = connect(settings_for(data, config).data, token).call("mads.grace.list_autonomy", {})
    one = _of(found, agent)
    own = [row for row in found["levels"] if row["name"] == agent and row["scope"] in ("agent", "held")]
    if json:
        print_json(one | {"set": own})
        return
    print_fields(one)
    for row in own:
        print_line(f"{row['scope']}: {row['level']} by {row['set_by']} at {row['set']}: {row['reason']}")


def set_(
    whose: Whose,
    name_or_level: Annotated[str, Parameter(help="Name of the agent or department; for the company, the level.")],
    level: Annotated[str, Parameter(help="full, semi, supervised, locked; inherit takes back what was set.")] = "",
    *,
    reason: Annotated[str, Parameter(help="Why; the journal gets it.")],
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Set the level of an agent, a department or the company; it holds from the next call on. Only a person may."""
    name, wanted = ("", name_or_level) if whose == "company" and not level else (name_or_level, level)
    if not wanted:
        raise ArgumentsInvalid(
            "autonomy_unreadable",
            "Say the level, too: cenoby autonomy set agent NAME full|semi|supervised|locked|inherit --reason WHY",
        )
    client = connect(settings_for(data, config).data, token)
    arguments = {"scope": whose, "name": name, "level": wanted, "reason": reason}
    if whose == "agent":
        # What this person sees now; where the colony lowers the agent meanwhile, nothing is raised.
        arguments["seen"] = _of(client.call("mads.grace.list_autonomy", {}), name)["level"]
    changed = client.call("mads.grace.set_autonomy", arguments)
    if json:
        print_json(changed)
    else:
        print_line(f"{whose} {name}".rstrip() + f": {changed['was']} -> {changed['now']}")


def _of(found: dict[str, Any], agent: str) -> dict[str, Any]:
    one = next((one for one in found["agents"] if one["agent"] == agent), None)
    if one is None:
        raise ArgumentsInvalid(
            "autonomy_unreadable", f"There is no agent {agent!r} here, or it is a person, who has no level; list them."
        )
    return one
