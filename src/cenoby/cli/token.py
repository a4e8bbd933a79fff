"""`cenoby token`: who may call."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for


def create(
    *,
    agent: Annotated[str, Parameter(help="Name of the agent.")],
    role: Annotated[list[str], Parameter(help="Role; may be given again.", negative="")],
    ttl_hours: Annotated[float | None, Parameter(help="Hours until it expires; never without.")] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Make a token for an agent; printed this once and kept only as a hash."""
    arguments = {"agent": agent, "roles": role} | ({"ttl_hours": ttl_hours} if ttl_hours is not None else {})
    client = connect(settings_for(data, config).data, token, operator=operator)
    made = client.call("mads.grace.create_token", arguments)
    if json:
        print_json(made)
    else:
        print_line(made["token"])


def list_(
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """List tokens: whose, since when, until when, revoked or not."""
    client = connect(settings_for(data, config).data, token, operator=operator)
    found = client.call("mads.grace.list_tokens")["tokens"]
    if json:
        print_json(found)
    elif found:
        print_table(list(found[0]), [list(row.values()) for row in found])


def revoke(
    token_id: Annotated[str, Parameter(help="Id of the token, from `cenoby token list`.")],
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Revoke a token; it stops working at once."""
    client = connect(settings_for(data, config).data, token, operator=operator)
    client.call("mads.grace.revoke_token", {"token_id": token_id})
    if json:
        print_json({"revoked": token_id})
    else:
        print_line(f"revoked {token_id}")
