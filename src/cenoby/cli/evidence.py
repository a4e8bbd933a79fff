"""`cenoby evidence`: the log over the journal, its checkpoints, and files that prove records to outsiders.

Signing and publishing is the running colony's. What only reads opens the database itself, also beside a running colony
and on a copy of it, and needs the log's key for the statement in an export.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.failures import ArgumentsInvalid, CommandFailed
from cenoby.cli.options import Config, Data, Json, Operator, Token
from cenoby.cli.output import Table, print_fields, print_json, print_line
from cenoby.cli.settings_source import settings_for

T = TypeVar("T")
_WHERE = ("agent", "mad", "tool", "code", "correlation", "kind")

Out = Annotated[Path | None, Parameter(name=["--out", "-o"], help="File to write; standard output where not given.")]
Kept = Annotated[
    list[Path] | None,
    Parameter(name="--checkpoint", negative="", help="A checkpoint kept earlier, to compare with; may be given again."),
]


def status(
    *, data: Data = None, config: Config = None, token: Token = None, operator: Operator = False, json: Json = False
) -> None:
    """Show the log: its size, the newest checkpoint, the keys that sign it, and how each destination stands."""
    _show(connect(settings_for(data, config).data, token, operator=operator).call("mads.grace.evidence_status"), json)


def checkpoint(
    *, data: Data = None, config: Config = None, token: Token = None, operator: Operator = False, json: Json = False
) -> None:
    """Sign the log with all records of by now, and print the checkpoint; keep it where nobody here can reach."""
    made = connect(settings_for(data, config).data, token, operator=operator).call("mads.grace.make_checkpoint")
    if json:
        print_json(made)
    else:
        print_line(made["checkpoint"].removesuffix("\n"))


def publish(
    *, data: Data = None, config: Config = None, token: Token = None, operator: Operator = False, json: Json = False
) -> None:
    """Sign the log, send that to every destination of the settings now, and show which took it."""
    client = connect(settings_for(data, config).data, token, operator=operator)
    made = client.call("mads.grace.publish_checkpoint", timeout=600)
    _show(made, json)
    if failed := [one["name"] for one in made["destinations"] if one["problem"]]:
        raise CommandFailed("evidence_not_published", f"Not published at {', '.join(failed)}; `problem` says why.")


def prove(
    record_id: Annotated[str, Parameter(help="Id of the record.")],
    *,
    checkpoint: Kept = None,
    out: Out = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Write the proof that one record is under the newest checkpoint, for the stand-alone verifier."""
    from cenoby.protection.evidence.export import Choice

    _write(Choice(ids=(record_id,)), checkpoint, out, data, config)


def consistency(
    earlier: Annotated[list[Path], Parameter(help="Files with earlier checkpoints.", negative="")],
    *,
    out: Out = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Write the proof that the log continues earlier checkpoints, for the stand-alone verifier; without records."""
    from cenoby.protection.evidence.export import Choice

    _write(Choice(first=0, end=0), earlier, out, data, config)


def export(
    *,
    first: Annotated[int | None, Parameter(name="--from", help="First place in the log, counted from 0.")] = None,
    end: Annotated[int | None, Parameter(name="--to", help="Place before which it ends.")] = None,
    since: Annotated[str | None, Parameter(help="From the first record of this time on, RFC 3339.")] = None,
    until: Annotated[str | None, Parameter(help="To the last record before this time, RFC 3339.")] = None,
    agent: Annotated[str | None, Parameter(help="Only of this agent.")] = None,
    mad: Annotated[str | None, Parameter(help="Only of this MAD.")] = None,
    tool: Annotated[str | None, Parameter(help="Only of this tool.")] = None,
    code: Annotated[str | None, Parameter(help="Only with this error or event code.")] = None,
    correlation: Annotated[str | None, Parameter(help="Only with this correlation id.")] = None,
    kind: Annotated[str | None, Parameter(help="Only of this kind.")] = None,
    payloads: Annotated[bool, Parameter(help="With what the records hold.")] = True,
    checkpoint: Kept = None,
    out: Out = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Write a slice of the journal with its proofs, for the stand-alone verifier.

    A part without gaps proves that nothing in it was left out; with --agent and the like it is a selection, which
    proves what is in it. Records behind the newest checkpoint are not in it.
    """
    from cenoby.mads.grace.records import time_ns
    from cenoby.protection.evidence.export import Choice

    given = dict(zip(_WHERE, (agent, mad, tool, code, correlation, kind), strict=True))
    choice = Choice(
        first=first,
        end=end,
        since_ns=time_ns(since),
        until_ns=time_ns(until),
        where={name: value for name, value in given.items() if value is not None},
        payloads=payloads,
    )
    _write(choice, checkpoint, out, data, config)


def key(
    *,
    new: Annotated[bool, Parameter(negative="", help="Put a new key in front; both sign from now on.")] = False,
    retire: Annotated[bool, Parameter(negative="", help="Take all keys out but the newest.")] = False,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Print the public keys that sign checkpoints, the newest first, as reviewers need them; or change the keys.

    To replace the key: --new, give the new public key to everybody who checks, then --retire. A running colony takes
    the change over with its next checkpoint.
    """
    from cenoby.app.evidence import log_keys
    from cenoby.kernel.signing import SigningKey
    from cenoby.protection.evidence import sql
    from cenoby.protection.evidence.notes import NoteKey

    if new and retire:
        raise ArgumentsInvalid("evidence_arguments_invalid", "Give --new or --retire, one after the other.")
    settings = settings_for(data, config)
    log = _read(data, config, sql.read_log)
    if log is None:
        raise CommandFailed("evidence_not_begun", "There is no log yet; the first `cenoby up` begins it.")
    keys = log_keys(settings)
    signing = keys.read()
    if new:
        signing = keys.write([SigningKey.generate(), *signing])
    elif retire:
        signing = keys.write(signing[:1])
    public = [NoteKey(log.origin, one.public).to_text() for one in signing]
    if json:
        print_json({"origin": log.origin, "keys": public})
    else:
        for one in public:
            print_line(one)


def _write(choice: Any, kept: list[Path] | None, out: Path | None, data: Path | None, config: Path | None) -> None:
    from cenoby.app.evidence import log_keys
    from cenoby.protection.evidence.export import export as make_export
    from cenoby.protection.evidence.export import to_text

    keys = log_keys(settings_for(data, config)).read()
    if not keys:
        raise CommandFailed(
            "evidence_not_begun", "There is no key to sign an export with; the first `cenoby up` makes it."
        )
    notes = [_text(file) for file in kept or []]
    parts = to_text(_read(data, config, lambda connection: make_export(connection, keys, choice, notes)))
    if out is None:
        sys.stdout.writelines(parts)
        return
    try:
        with out.open("w", encoding="utf-8") as file:
            file.writelines(parts)
    except OSError as error:
        raise ArgumentsInvalid("evidence_arguments_invalid", f"{out} cannot be written: {error.strerror}.") from None


def _read(data: Path | None, config: Path | None, work: Callable[[Any], T]) -> T:
    """What `work` reads from one snapshot of the store."""
    from cenoby.store.connect import engine_for
    from cenoby.store.database import StoreUnavailable

    settings = settings_for(data, config)
    engine = engine_for(settings.store, settings.data)
    try:
        with engine.snapshot() as connection:
            return work(connection)
    except engine.failures as error:
        raise StoreUnavailable("store_failed", f"{engine.place} cannot be read: {error}.") from error


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentsInvalid("evidence_arguments_invalid", f"{file} cannot be read: {error}.") from None


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    left_out = ("destinations", "checkpoint", "keys")
    print_fields({name: value for name, value in found.items() if name not in left_out})
    print_line(f"keys {' '.join(found['keys'])}")
    columns = ("name", "size", "published", "attempts", "problem")
    if found["destinations"]:
        Table(columns).print([[one[column] for column in columns] for one in found["destinations"]])
