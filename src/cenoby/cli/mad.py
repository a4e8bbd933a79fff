"""`cenoby mad`: the life of one MAD while the rest serves."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line
from cenoby.cli.settings_source import settings_for

Name = Annotated[str, Parameter(help="Name of the MAD.")]
Reason = Annotated[str, Parameter(help="Why; the journal and refused callers get it.")]
_UNSAID = "an operator's command"


def pause(
    name: Name,
    *,
    reason: Reason = _UNSAID,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Let the calls of a MAD wait until it is resumed; those under way go on."""
    _move("pause_mad", {"mad": name, "reason": reason}, data, config, token, as_json=json)


def resume(name: Name, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Serve the calls of a paused MAD again."""
    _move("resume_mad", {"mad": name}, data, config, token, as_json=json)


def restart(
    name: Name,
    *,
    reason: Reason = _UNSAID,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Make a MAD anew, also one that was killed or failed; its calls wait meanwhile."""
    _move("restart_mad", {"mad": name, "reason": reason}, data, config, token, as_json=json)


def kill(
    name: Name,
    *,
    reason: Reason = _UNSAID,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Stop a MAD at once; its tools refuse with the reason until it is restarted."""
    _move("kill_mad", {"mad": name, "reason": reason}, data, config, token, as_json=json)


def _move(verb: str, arguments: dict[str, str], data: Data, config: Config, token: Token, *, as_json: bool) -> None:
    found = connect(settings_for(data, config).data, token).call(f"mads.grace.{verb}", arguments, timeout=90)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['mad']} is {found['state']}")
