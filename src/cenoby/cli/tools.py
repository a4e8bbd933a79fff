"""`cenoby tools` and `cenoby call`: see the tools and use one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter

from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_table
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.codec import CodecError, from_json


def tools(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """List the tools that the caller's roles allow."""
    found = _all_tools(connect(settings_for(data, config).data, token))
    if json:
        print_json(found)
        return
    print_table(("tool", "what it does"), [(one["name"], one.get("description", "")) for one in found])


def call(
    tool: Annotated[str, Parameter(help="Name of the tool, with dots or as the client sees it.")],
    arguments: Annotated[str, Parameter(help="JSON object, or @FILE, or key=value pairs.")] = "{}",
    *pairs: Annotated[str, Parameter(help="Further key=value pairs.")],
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Call one tool and print its result as JSON; `key=value` takes the value as JSON where it is, else as text."""
    del json  # The result is JSON either way; the option is there because every command that prints has it.
    client = connect(settings_for(data, config).data, token)
    print_json(client.call(tool, _arguments([arguments, *pairs])))


def _all_tools(client: ColonyClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.request("tools/list", {"cursor": cursor} if cursor else {})
        found.extend(page["tools"])
        cursor = page.get("nextCursor")
        if not cursor:
            return found


def _arguments(texts: list[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for text in texts:
        if text.startswith("@"):
            arguments |= _object(Path(text[1:]).read_text(encoding="utf-8"))
        elif text.lstrip().startswith("{"):
            arguments |= _object(text)
        else:
            key, _, value = text.partition("=")
            arguments[key] = _value(value)
    return arguments


def _object(text: str) -> dict[str, Any]:
    value = from_json(text)
    if not isinstance(value, dict):
        raise CodecError("json_invalid", "The arguments must be one JSON object.")
    return cast(dict[str, Any], value)


def _value(text: str) -> Any:
    try:
        return from_json(text)
    except CodecError:
        return text
