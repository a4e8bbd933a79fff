"""`cenoby journal`: what happened, who allowed it, and the proof."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cenoby.app.data_dir import DataDirUnavailable, find
from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_fields, print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.codec import to_json
from cenoby.kernel.errors import Fault

_COLUMNS = ("id", "time", "kind", "agent", "tool", "decision", "status", "code")


class JournalBroken(Fault):
    """The journal's chain does not hold."""

    codes = {"journal_broken": "A record was changed, dropped or moved; the message names the first bad one."}


def tail(
    *,
    lines: Annotated[int, Parameter(name=["--lines", "-n"], help="Records to show.")] = 20,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="Go on with new ones.")] = False,
    agent: Annotated[str | None, Parameter(help="Only of this agent.")] = None,
    mad: Annotated[str | None, Parameter(help="Only of this MAD.")] = None,
    correlation: Annotated[str | None, Parameter(help="Only with this correlation id.")] = None,
    since: Annotated[str | None, Parameter(help="Only from this time on, RFC 3339.")] = None,
    until: Annotated[str | None, Parameter(help="Only before this time, RFC 3339.")] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show the newest records, the newest last."""
    client = connect(settings_for(data, config).data, token)
    filters = {"agent": agent, "mad": mad, "correlation": correlation, "since": since, "until": until}
    query: dict[str, Any] = {key: value for key, value in filters.items() if value is not None}
    records = _page(client, query | {"limit": lines, "newest_first": True})[::-1]
    _show(records, as_json=json)
    while follow:
        time.sleep(0.5)
        fresh = _after(client, query, records[-1] if records else None)
        _show(fresh, as_json=json)
        records = fresh or records


def show(
    record_id: Annotated[str, Parameter(help="Id of the record.")],
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show one record with its payload and its place in the chain."""
    record = connect(settings_for(data, config).data, token).call("mads.grace.get_record", {"record_id": record_id})
    if json:
        print_json(record)
        return
    print_fields({name: value for name, value in record.items() if name != "payload"})
    print_line("payload")
    print_line(to_json(record.get("payload")).decode())


def verify(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Check the whole chain: in the running colony, or in the file where none runs."""
    directory = settings_for(data, config).data
    try:
        find(directory)
    except DataDirUnavailable:
        found = _verify_file(directory)
    else:
        found = connect(directory, token).call("mads.grace.verify_journal", timeout=3600)
    if json:
        print_json(found)
    else:
        print_fields(found)
    if not found["ok"]:
        raise JournalBroken("journal_broken", f"The journal does not hold: {found.get('problem')}.")


def _verify_file(data: Path) -> dict[str, Any]:
    import msgspec

    from cenoby.store.journal import verify_file

    return msgspec.to_builtins(asyncio.run(verify_file(data / "colony.db")))


def _page(client: ColonyClient, query: dict[str, Any]) -> list[dict[str, Any]]:
    return client.call("mads.grace.list_records", query)["records"]


def _after(client: ColonyClient, query: dict[str, Any], last: dict[str, Any] | None) -> list[dict[str, Any]]:
    fresh = _page(client, query | {"limit": 200, "newest_first": True})[::-1]
    return [record for record in fresh if last is None or record["seq"] > last["seq"]]


def _show(records: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for record in records:
            print_json(record)
    elif records:
        print_table(_COLUMNS, [[record.get(column) for column in _COLUMNS] for record in records])
