"""`cenoby token`: who may call."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for


def create(
    *,
    agent: Annotated[str, Parameter(help="Name of the agent.")],
    role: Annotated[list[str], Parameter(help="Role; may be given again.", negative="")],
    ttl_hours: Annotated[float | None, Parameter(help="Hours until it expires; tokens.hours unless given.")] = None,
    forever: Annotated[bool, Parameter(help="It never expires.", negative="")] = False,
    kind: Annotated[Literal["agent", "person"] | None, Parameter(help="What a new agent is.")] = None,
    department: Annotated[str | None, Parameter(help="Where it works.")] = None,
    seniority: Annotated[str | None, Parameter(help="junior, mid, senior or lead.")] = None,
    autonomy: Annotated[str | None, Parameter(help="Its own level: locked, supervised, semi or full.")] = None,
    parent: Annotated[str | None, Parameter(help="The agent for which a new agent works.")] = None,
    reason: Annotated[str | None, Parameter(help="Why it is made.")] = None,
    tenant: Annotated[str | None, Parameter(help="Tenant of a new agent; default's operator only.")] = None,
    bind: Annotated[str | None, Parameter(help="Thumbprint of the key its holder must prove to have.")] = None,
    beyond_parent: Annotated[bool, Parameter(help="It may have rights that its parent lacks.", negative="")] = False,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Make a token for an agent; printed this once and kept only as a hash."""
    said = {
        "ttl_hours": ttl_hours,
        "kind": kind,
        "department": department,
        "seniority": seniority,
        "autonomy": autonomy,
        "parent": parent,
        "reason": reason,
        "tenant": tenant,
        "bind": bind,
        "forever": forever or None,
        "beyond_parent": beyond_parent or None,
    }
    arguments = {"agent": agent, "roles": role} | {name: value for name, value in said.items() if value is not None}
    client = connect(settings_for(data, config).data, token, operator=operator)
    _print_made(client, "mads.grace.create_token", arguments, json)


def rotate(
    token_id: Annotated[str | None, Parameter(help="Id of the token; that of the caller's own where left out.")] = None,
    *,
    grace: Annotated[float | None, Parameter(help="Seconds that the old one works on.")] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Replace a token by a new one with the same agent and life time; the old one works for the grace."""
    said = {"token_id": token_id, "grace_seconds": grace}
    client = connect(settings_for(data, config).data, token, operator=operator)
    arguments = {name: value for name, value in said.items() if value is not None}
    _print_made(client, "mads.grace.rotate_token", arguments, json)


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
    _print_rows(client.call("mads.grace.list_tokens")["tokens"], json)


def agents(
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """List agents: their roles, department, seniority, autonomy, and whom they work for."""
    client = connect(settings_for(data, config).data, token, operator=operator)
    _print_rows(client.call("mads.grace.list_agents")["agents"], json)


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


def block(
    agent: Annotated[str, Parameter(help="As the journal has it: `<issuer>#<subject>`.")],
    *,
    jti: Annotated[str, Parameter(help="Only this token of it.")] = "",
    reason: Annotated[str, Parameter(help="Why.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Keep an agent out that another authority vouches for."""
    client = connect(settings_for(data, config).data, token, operator=operator)
    made = client.call("mads.grace.block_subject", {"agent": agent, "token": jti, "reason": reason})
    if json:
        print_json(made)
    else:
        print_line(f"blocked {agent}")


def unblock(
    agent: Annotated[str, Parameter(help="From `mads.grace.list_blocked`.")],
    *,
    jti: Annotated[str, Parameter(help="The token, where only one was blocked.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Let an agent in again that another authority vouches for; prints who is still kept out."""
    client = connect(settings_for(data, config).data, token, operator=operator)
    _print_rows(client.call("mads.grace.unblock_subject", {"agent": agent, "token": jti})["blocked"], json)


def _print_made(client: ColonyClient, tool: str, arguments: dict[str, Any], json: bool) -> None:
    made = client.call(tool, arguments)
    if json:
        print_json(made)
    else:
        print_line(made["token"])


def _print_rows(found: list[dict[str, Any]], json: bool) -> None:
    if json:
        print_json(found)
    elif found:
        print_table(list(found[0]), [list(row.values()) for row in found])
