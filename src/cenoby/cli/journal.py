"""`cenoby journal`: what happened, who allowed it, and the proof."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cenoby.app.data_dir import DataDirUnavailable, find
from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.failures import ArgumentsInvalid, CommandFailed
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import Table, print_fields, print_json, print_line
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.codec import to_json

_COLUMNS = ("id", "time", "kind", "agent", "tool", "decision", "status", "code")
_PAGE = 200
"""Records of one look; those behind the cursor are read again until as many have come."""


def tail(
    *,
    lines: Annotated[int, Parameter(name=["--lines", "-n"], help="Records to show.")] = 20,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="", help="Go on with new ones.")] = False,
    agent: Annotated[str | None, Parameter(help="Only of this agent.")] = None,
    mad: Annotated[str | None, Parameter(help="Only of this MAD.")] = None,
    tool: Annotated[str | None, Parameter(help="Only of this tool, by canonical name.")] = None,
    code: Annotated[str | None, Parameter(help="Only with this error or event code.")] = None,
    correlation: Annotated[str | None, Parameter(help="Only with this correlation id.")] = None,
    since: Annotated[str | None, Parameter(help="Only from this time on, RFC 3339.")] = None,
    until: Annotated[str | None, Parameter(help="Only before this time, RFC 3339.")] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Show the newest records, the newest last."""
    client = connect(settings_for(data, config).data, token, operator=operator)
    filters = {
        "agent": agent,
        "mad": mad,
        "tool": tool,
        "code": code,
        "correlation": correlation,
        "since": since,
        "until": until,
    }
    query: dict[str, Any] = {key: value for key, value in filters.items() if value is not None}
    reading, table = _Reading(client, query), Table(_COLUMNS)
    _show(reading.newest(lines), table, as_json=json)
    while follow:
        time.sleep(0.5)
        for records in reading.fresh():
            _show(records, table, as_json=json)


def show(
    record_id: Annotated[str, Parameter(help="Id of the record.")],
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Show one record with its payload and its place in the chain."""
    record = connect(settings_for(data, config).data, token, operator=operator).call(
        "mads.grace.get_record", {"record_id": record_id}
    )
    if json:
        print_json(record)
        return
    print_fields({name: value for name, value in record.items() if name not in ("payload", "event")})
    print_line("payload")
    print_line(to_json(record.get("payload")).decode())
    if record["event"] not in (None, record["payload"]):
        print_line("as the event's present version has it")
        print_line(to_json(record["event"]).decode())


def verify(
    *,
    head: Annotated[
        list[str] | None,
        Parameter(help="A head that an earlier check printed, node:seq:hash; may be given again.", negative=""),
    ] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    operator: Operator = False,
    json: Json = False,
) -> None:
    """Check the whole chain: in the running colony, or in the database where none runs.

    It prints each chain's head. Keep them where who writes the journal cannot reach, and give them to the next check:
    a journal that was cut short behind one of them does not hold.
    """
    heads = head or []
    settings = settings_for(data, config)
    directory = settings.data
    try:
        find(directory)
    except DataDirUnavailable:
        found = _verify_store(settings.store, directory, heads)
    else:
        found = connect(directory, token, operator=operator).call(
            "mads.grace.verify_journal", {"heads": heads}, timeout=3600
        )
    if json:
        print_json(found)
    else:
        heads = [f"{one['node']}:{one['seq']}:{one['hash']}" for one in found["heads"]]
        print_fields(found | {"heads": " ".join(heads)})
    if not found["ok"]:
        raise CommandFailed("journal_broken", f"The journal does not hold: {found.get('problem')}.")


def _verify_store(url: str, data: Path, heads: list[str]) -> dict[str, Any]:
    import msgspec

    from cenoby.store.connect import engine_for
    from cenoby.store.journal import head_of, verify_file

    try:
        kept = [head_of(head) for head in heads]
    except ValueError as error:
        raise ArgumentsInvalid("head_invalid", f"--head: {error}.") from None
    return msgspec.to_builtins(asyncio.run(verify_file(engine_for(url, data), kept)))


class _Reading:
    """Reads the journal from its newest records on, each record once and none of those that the reading itself makes.

    Args:
        client: who reads.
        query: which records.
    """

    def __init__(self, client: ColonyClient, query: dict[str, Any]) -> None:
        self._client = client
        self._query = query
        self._cursor: str | None = None
        self._seen: set[str] = set()
        """Ids of the records behind the cursor that were read."""
        self._looks: set[str] = set()
        """Ids of the records of our own looks that may still come."""

    def newest(self, most: int) -> list[dict[str, Any]]:
        """The newest records, the newest last."""
        # The cursor is the place of the oldest of them, or the beginning where there are no older ones.
        records, self._cursor = self._look({"limit": most, "newest_first": True})
        return records[::-1]

    def fresh(self) -> Iterator[list[dict[str, Any]]]:
        """What came since, oldest first, page by page."""
        while True:
            where = {"limit": _PAGE, "newest_first": False, "cursor": self._cursor}
            records, following = self._look(where)
            yield records
            if not following:
                return
            self._cursor = following
            self._seen.clear()

    def _look(self, where: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        """The records of a page that were not read before, and the cursor of the next page."""
        page, own = self._client.call_on_record("mads.grace.list_records", self._query | where)
        known = self._seen | self._looks
        self._seen.update(one["id"] for one in page["records"])
        if not page["next_cursor"]:
            # A page that goes to the end holds the records of all looks before it, if the query lets them through.
            self._looks.clear()
        self._looks.add(own)
        return [one for one in page["records"] if one["id"] not in known], page["next_cursor"]


def _show(records: list[dict[str, Any]], table: Table, *, as_json: bool) -> None:
    if as_json:
        for record in records:
            print_json(record)
    elif records:
        table.print([[record.get(column) for column in _COLUMNS] for record in records])
