"""`cenoby api`: versioned APIs between colonies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.contracts import live_document, problems_at
from cenoby.cli.failures import ArgumentsInvalid, CommandFailed
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for
from cenoby.colony.apis.document import document_text

Url = Annotated[str | None, Parameter(name="--url", help="MCP endpoint of another colony; needs a token of it.")]


def list_(
    *,
    url: Url = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """List what the colony publishes, every major version."""
    found = _client(url, data, config, token, operator).call("mads.grace.list_apis")["apis"]
    if json:
        print_json(found)
        return
    rows = [(one["api"], one["version"], one["until"], "ended" if one["ended"] else "") for one in found]
    print_table(("api", "version", "until", "state"), rows)


def schema(
    api: Annotated[str, Parameter(help="Name of the API.")],
    *,
    version: Annotated[int, Parameter(help="Its major version.")],
    only: Annotated[list[str] | None, Parameter(help="Only these tools: those that you use.")] = None,
    url: Url = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Print one version of a published API as a document, for those who build on it to keep."""
    document = live_document(_client(url, data, config, token, operator), api, version)
    if only:
        if missing := sorted(set(only) - document.tools.keys()):
            raise ArgumentsInvalid("document_unreadable", f"{api} v{version} has no tool {missing[0]!r}.")
        document = replace(document, tools={name: document.tools[name] for name in only})
    if json:
        print_json(document)
    else:
        print_line(document_text(document).rstrip())


def check(
    file: Annotated[Path, Parameter(help="The document, as `cenoby api schema` printed it.")],
    *,
    url: Url = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Check that a colony keeps what a document of its API promised; exit code 1 and each thing that it does not."""
    problems = problems_at(_client(url, data, config, token, operator), file)
    if problems:
        raise CommandFailed("contract_broken", f"{file}: {'; '.join(problems)}.", details={"problems": problems})
    if json:
        print_json({"ok": True, "file": str(file)})
    else:
        print_line(f"ok {file}")


def _client(url: str | None, data: Path | None, config: Path | None, token: str | None, operator: bool) -> ColonyClient:
    if url is None:
        return connect(settings_for(data, config).data, token, operator=operator)
    return ColonyClient(url, token or os.environ.get("CENOBY_TOKEN", ""))
