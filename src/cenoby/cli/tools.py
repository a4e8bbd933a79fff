"""`cenoby call`: use a tool; and the listing of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter

from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.failures import ArgumentsInvalid
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import print_json
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.codec import CodecError, from_json

_KINDS: dict[type, set[str]] = {
    bool: {"boolean"},
    dict: {"object"},
    float: {"number"},
    int: {"integer", "number"},
    list: {"array"},
    type(None): {"null"},
}
"""JSON types that a value of a Python type has."""


def call(
    tool: Annotated[str, Parameter(help="Name of the tool, with dots or as the client sees it.")],
    arguments: Annotated[str, Parameter(help="JSON object, or @FILE, or key=value pairs.")] = "{}",
    *pairs: Annotated[str, Parameter(help="Further key=value pairs.")],
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Call one tool and print its result as JSON; a value in `key=value` is JSON unless the tool wants text."""
    del json  # The result is JSON either way; the option is there because every command that prints has it.
    client = connect(settings_for(data, config).data, token, operator=operator)
    print_json(client.call(tool, _arguments([arguments, *pairs], lambda: _input_schema(client, tool))))


def all_tools(client: ColonyClient) -> list[dict[str, Any]]:
    """Every tool that the caller may list, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.request("tools/list", {"cursor": cursor} if cursor else {})
        found.extend(page["tools"])
        cursor = page.get("nextCursor")
        if not cursor:
            return found


def _arguments(texts: list[str], schema: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The arguments that these texts say; `schema` is asked for the tool's only where it matters."""
    arguments: dict[str, Any] = {}
    written: dict[str, str] = {}
    for text in texts:
        if text.startswith("@"):
            arguments |= _object(_file(Path(text[1:])))
        elif text.lstrip().startswith("{"):
            arguments |= _object(text)
        else:
            key, _, value = text.partition("=")
            arguments[key] = _value(value)
            if not isinstance(arguments[key], str):
                written[key] = value
    properties: dict[str, Any] = schema().get("properties", {}) if written else {}
    for key, value in written.items():
        kinds = _kinds(properties.get(key, {}))
        if "string" in kinds and not kinds & _KINDS[type(arguments[key])]:
            arguments[key] = value
    return arguments


def _input_schema(client: ColonyClient, tool: str) -> dict[str, Any]:
    # Without one (an unknown tool, or one that the caller may not use) the colony's answer to the call says so.
    for one in all_tools(client):
        if _dotted(one["name"]) == _dotted(tool):
            return one["inputSchema"]
    return {}


def _dotted(name: str) -> str:
    return name.replace("__", ".")


def _kinds(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a property may have, as far as its schema names them."""
    kind: str | list[str] = schema.get("type", [])
    kinds = {kind} if isinstance(kind, str) else set(kind)
    return kinds.union(*(_kinds(one) for one in schema.get("anyOf", [])))


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
    except UnicodeDecodeError:
        reason = "it is no text in UTF-8"
    raise ArgumentsInvalid(
        "arguments_unreadable", f"@{path} cannot be read ({reason}); name a file with a JSON object."
    )


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
