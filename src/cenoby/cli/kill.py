"""`cenoby kill`, `unkill`, `kills`: stop an agent, a MAD, a tool, a tenant or all of it, and let it go on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

What = Annotated[Literal["agent", "mad", "tool", "tenant", "all"], Parameter(help="What is meant.")]
Name = Annotated[str, Parameter(help="Its name; none for all.")]
_COLUMNS = ("scope", "name", "set", "set_by", "reason")


def kill(
    what: What,
    name: Name = "",
    *,
    reason: Annotated[str, Parameter(help="Why; who is refused is told.")] = "an operator's command",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Stop an agent, a MAD, a tool, a tenant or all of it, on every node; calls at work are cut off."""
    client = connect(settings_for(data, config).data, token)
    thrown = client.call("mads.grace.throw_kill_switch", {"scope": what, "name": name, "reason": reason})
    if json:
        print_json(thrown)
    else:
        print_line(f"stopped {what} {name}".rstrip())


def unkill(
    what: What,
    name: Name = "",
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Lift a kill switch, so that what it stopped goes on."""
    client = connect(settings_for(data, config).data, token)
    left = client.call("mads.grace.lift_kill_switch", {"scope": what, "name": name})["switches"]
    if json:
        print_json(left)
    else:
        print_line(f"{what} {name}".rstrip() + " goes on")


def kills(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """List what is stopped by kill switches, by whom and why."""
    found: list[dict[str, Any]] = connect(settings_for(data, config).data, token).call(
        "mads.grace.list_kill_switches", {}
    )["switches"]
    if json:
        print_json(found)
    elif found:
        print_table(list(_COLUMNS), [[one[column] for column in _COLUMNS] for one in found])
