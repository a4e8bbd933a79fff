"""`cenoby deadletters`: work that was tried and given up."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

Letter = Annotated[str, Parameter(help="Id of the letter, from `cenoby deadletters list`.")]
_COLUMNS = ("id", "died", "queue", "sender", "deliveries")


def list_(
    *,
    queue: Annotated[str, Parameter(help="Only of this queue.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show work that was given up, newest first; --json has the payload and the traceback of the last try."""
    client = connect(settings_for(data, config).data, token)
    found = client.call("mads.grace.list_dead_letters", {"queue": queue})["letters"]
    if json:
        print_json(found)
    elif found:
        columns = [*_COLUMNS, "error"]
        print_table(columns, [[*(one[name] for name in _COLUMNS), _last_line(one["error"])] for one in found])


def retry(letter: Letter, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Put a dead letter back into its queue with all its tries."""
    _move("retry_dead_letter", "retried", letter, data, config, token, as_json=json)


def drop(letter: Letter, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Forget a dead letter; its work is never done."""
    _move("drop_dead_letter", "dropped", letter, data, config, token, as_json=json)


def _move(verb: str, done: str, letter: str, data: Data, config: Config, token: Token, *, as_json: bool) -> None:
    connect(settings_for(data, config).data, token).call(f"mads.grace.{verb}", {"letter": letter})
    if as_json:
        print_json({done: letter})
    else:
        print_line(f"{done} {letter}")


def _last_line(error: str) -> str:
    return error.strip().splitlines()[-1] if error.strip() else ""
