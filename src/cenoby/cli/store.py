"""`cenoby store`: the colony's database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from cenoby.cli.options import Config, Data, Json
from cenoby.cli.output import print_json, print_line
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.settings import Settings

if TYPE_CHECKING:
    from cenoby.store.copy_to_postgres import Step


def migrate(
    *,
    to: Annotated[str, Parameter(help="postgresql://USER@HOST:PORT/DATABASE; password by PGPASSWORD.")],
    batch_rows: Annotated[int, Parameter(help="Most rows of one transaction.", validator=Number(gte=1))] = 2000,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Copy a stopped colony's SQLite file to PostgreSQL, and check the journal's chain and all row counts there.

    The file stays as it is. Interrupted, run it again: it goes on where it was, and no colony starts on half a copy.
    """
    settings = settings_for(data, config)
    from cenoby.app.move_store import move_store

    copied = move_store(settings, to, _tell, batch_rows)
    setting = f"store: {Settings(store=to).model_dump()['store']}"
    heads = [f"{head.node}:{head.seq}:{head.hash}" for head in copied.heads]
    if json:
        print_json(
            {
                "tables": copied.tables,
                "records": copied.records,
                "heads": heads,
                "resumed": copied.resumed,
                "setting": setting,
            }
        )
        return
    rows = sum(copied.tables.values())
    print_line(f"copied {rows} rows of {len(copied.tables)} tables; {copied.records} journal records verified there")
    for head in heads:
        print_line(f"head {head}")
    print_line(f"now set `{setting}` and start the colony on the same data directory, which keeps the vault's key")


def _tell(step: Step) -> None:
    sys.stderr.write(f"{step.table} {step.rows}/{step.of}\n")
    sys.stderr.flush()
