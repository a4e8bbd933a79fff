"""`cenoby status`: what runs."""

from __future__ import annotations

from typing import Any, cast

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import print_fields, print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for


def status(
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Show the colony: its MADs, their mailboxes, the journal's head and the protections that hold."""
    state = connect(settings_for(data, config).data, token, operator=operator).call("mads.grace.status")
    if json:
        print_json(state)
        return
    print_fields({name: value for name, value in state.items() if not isinstance(value, list | dict)})
    for name, value in state.items():
        if isinstance(value, dict):
            print_line("")
            print_line(name)
            print_fields({f"  {key}": inner for key, inner in cast(dict[str, Any], value).items()})
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            print_line("")
            rows = cast(list[dict[str, Any]], value)
            print_table(list(rows[0]), [list(row.values()) for row in rows])
