"""`cenoby pii reveal`: what a token stands for."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line
from cenoby.cli.settings_source import settings_for


def reveal(
    what: Annotated[str, Parameter(name="TOKEN", help="The token, such as `<email:...>`, quoted.")],
    *,
    reason: Annotated[str, Parameter(help="Why; the journal has it.")],
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Print what a token stands for; journalled with the reason before it is told."""
    client = connect(settings_for(data, config).data, token)
    told = client.call("mads.grace.reveal", {"token": what, "reason": reason})
    if json:
        print_json(told)
    else:
        print_line(told["value"])
