"""`cenoby canary create|list|delete`: texts to plant, which give away whoever takes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

Kind = Annotated[
    Literal["api_key", "aws_key", "email", "url", "card", "text"], Parameter(name="--kind", help="What it looks like.")
]
_COLUMNS = ("id", "label", "kind", "created", "created_by")


def create(
    label: Annotated[str, Parameter(help="Where it will be planted; the journal says this where it turns up.")],
    *,
    kind: Kind = "api_key",
    host: Annotated[str, Parameter(help="The domain of an email or a url; one of your own.")] = "example.com",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Make a text to plant and print it, this once; every call that carries it is refused from now on."""
    client = connect(settings_for(data, config).data, token)
    made = client.call("mads.grace.create_canary", {"label": label, "kind": kind, "host": host})
    if json:
        print_json(made)
    else:
        print_line(made["value"])


def list_(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """List canaries: where each is planted and what it looks like, never the text itself."""
    client = connect(settings_for(data, config).data, token)
    found: list[dict[str, Any]] = client.call("mads.grace.list_canaries", {})["canaries"]
    if json:
        print_json(found)
    elif found:
        print_table(list(_COLUMNS), [[one[column] for column in _COLUMNS] for one in found])


def delete(
    canary: Annotated[str, Parameter(help="Its id.")],
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Look for a canary no more."""
    client = connect(settings_for(data, config).data, token)
    left = client.call("mads.grace.delete_canary", {"canary": canary})["canaries"]
    if json:
        print_json(left)
    else:
        print_line(f"deleted {canary}")
