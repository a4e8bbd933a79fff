"""`cenoby tools`; imported with every command, so it imports what it needs when it is called."""

from __future__ import annotations

from cenoby.cli.options import Config, Data, Json, Operator, Token


def tools(
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """List the tools that the caller's roles allow."""
    from cenoby.cli.colony_client import connect
    from cenoby.cli.output import print_json, print_table
    from cenoby.cli.settings_source import settings_for
    from cenoby.cli.tools import all_tools

    found = all_tools(connect(settings_for(data, config).data, token, operator=operator))
    if json:
        print_json(found)
        return
    print_table(("tool", "what it does"), [(one["name"], one.get("description", "")) for one in found])
