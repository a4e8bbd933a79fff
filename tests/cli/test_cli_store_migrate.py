"""`cenoby store migrate`: a colony's file becomes a PostgreSQL database, whatever interrupts that."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cenoby.app.data_dir import owned
from cenoby.app.move_store import ALONG
from cenoby.cli.colony_client import ColonyClient
from cenoby.kernel.errors import CenobyError
from cenoby.store.connect import engine_for
from cenoby.store.copy_plan import columns_there, plan
from cenoby.store.migrate import MigrationFailed
from cenoby.store.sqlite_engine import SqliteEngine
from tests.conftest import RunningColony, run_colony
from tests.stores import MakeStore, Postgres

SETTINGS = 'approvals:\n  require: ["secret:rotate"]\n'
Colony = tuple[Path, str, str]
"""Data directory, an agent's token, the id of a conversation."""
# What a row must be where its type alone does not say it.
VALUES: Mapping[str, Any] = {"state": "done", "status": "done", "roles": "observer", "sha256": "0" * 64}


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Colony:
    """A stopped colony that was used: messages, secrets, tokens, an approval, an erased payload; no table is empty."""
    folder = tmp_path_factory.mktemp("used") / "data"
    with run_colony(folder, settings=SETTINGS) as colony:
        operator = ColonyClient(colony.url, colony.operator_token)
        made = [
            operator.call("mads.grace.create_token", {"agent": agent, "roles": ["developer"]})
            for agent in ("ada", "bob")
        ]
        ada = ColonyClient(colony.url, made[0]["token"])
        talk = ada.call("mads.rogers.create_conversation", {"name": "plan"})["id"]
        for number in range(30):
            content = f"Übergabe {number} @bob #topic{number}"
            ada.call("mads.rogers.post_message", {"conversation": talk, "content": content})
        ada.call("mads.turing.set_secret", {"name": "k", "value": "v-1"})
        with pytest.raises(CenobyError, match="approv"):
            ada.call("mads.turing.rotate_secret", {"name": "k"})
        operator.call("mads.grace.revoke_token", {"token_id": made[1]["token_id"]})
        records = operator.call("mads.grace.list_records", {"tool": "mads.turing.set_secret"})["records"]
        operator.call("mads.grace.erase_payload", {"record_id": records[0]["id"], "reason": "asked for"})
        operator.call("mads.grace.set_flag", {"flag": "mads.marco", "percentage": 50, "reason": "a trial"})
        assert colony.stop() == 0
    with closing(sqlite3.connect(folder / "colony.db", isolation_level=None)) as connection:
        fill_empty_tables(connection)
    return folder, made[0]["token"], talk


def fill_empty_tables(connection: sqlite3.Connection) -> None:
    """Three rows in every table that this colony left empty, so that a table that is forgotten is noticed."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        if table.startswith(("sqlite_", "journal_")) or "_search" in table:
            continue
        if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
            continue
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        refers = {row[3]: (row[2], row[4]) for row in connection.execute(f"PRAGMA foreign_key_list({table})")}
        for number in range(1, 4):
            row = [value_for(connection, name, kind, number, refers) for _, name, kind, *_ in columns]
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def value_for(
    connection: sqlite3.Connection, name: str, kind: str, number: int, refers: Mapping[str, tuple[str, str]]
) -> Any:
    if name in refers:
        table, column = refers[name]
        return connection.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone()[0]
    if name in VALUES:
        return VALUES[name]
    return {"TEXT": f"{name}\0{number}", "BLOB": bytes([0, number])}.get(kind, number)


@pytest.fixture
def data(used: Colony, tmp_path: Path) -> Path:
    """A copy of the used colony's directory."""
    return Path(shutil.copytree(used[0], tmp_path / "data", ignore=shutil.ignore_patterns("lock", "colony.json")))


def command(data: Path, url: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "cenoby.cli.main", "store", "migrate", "--to", url, "--data", str(data), *more]


def migrate(data: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(data, url, *more), capture_output=True, text=True, check=False)


def rows_of(connection: Any, tables: Iterator[str] | list[str]) -> dict[str, int]:
    return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def rows_here(data: Path) -> dict[str, int]:
    with closing(sqlite3.connect(data / "colony.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return rows_of(connection, [name for name in names if not name.startswith("sqlite_")])


def test_a_used_colony_goes_on_in_postgresql(used: Colony, data: Path, postgres: Postgres, tmp_path: Path) -> None:
    """All rows arrive; the colony serves there with its old token, conversation and secret, and its chain goes on."""
    url, (_, token, talk), here = postgres.new_url(), used, rows_here(data)
    assert all(here[table] for table in here if not table.startswith(("journal_", "conversation_search")))
    done = migrate(data, url, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["setting"] == f"store: {url}"
    assert not told["resumed"]
    assert f"conversation_messages {here['conversation_messages']}/{here['conversation_messages']}" in done.stderr
    with engine_for(url, data).snapshot() as there:
        found = rows_of(there, list(columns_there(there)))
    assert found.pop("journal_head") == len(told["heads"])
    assert found.pop("conversation_search") == here["conversation_messages"]
    assert found == {table: here[table] for table in here if copied_as_it_is(table)}

    (data / "colony.db").unlink()
    with run_colony(data, settings=SETTINGS + f"store: {url}\n") as colony:

        def call(tool: str, **arguments: Any) -> Any:
            return json.loads(colony.cenoby("call", tool, json.dumps(arguments), "--json", token=token).stdout)

        page = call("mads.rogers.get_history", conversation=talk, limit=100)
        assert [message["seq"] for message in page["messages"]][-1] == 30
        assert len(call("mads.rogers.search", query="ubergabe")["messages"]) == 20
        assert call("mads.turing.get_secret", name="k")["value"] == "v-1"
        assert call("mads.rogers.post_message", conversation=talk, content="on we go")["seq"] == 31
        again = colony.cenoby("journal", "verify", "--json", *[f"--head={head}" for head in told["heads"]])
        verified = json.loads(again.stdout)
        assert verified["ok"]
        assert verified["erased"] == 1
        (head,) = verified["heads"]
        assert head["node"] == told["heads"][0].split(":")[0]
        assert head["seq"] > int(told["heads"][0].split(":")[1])
        colony.token("cyd", "observer")
        assert colony.stop() == 0
    assert not list(data.glob("*.db"))


@pytest.mark.parametrize("lines", [1, 9, 25, 40])
def test_killed_at_any_point_it_goes_on_where_it_was(data: Path, postgres: Postgres, lines: int) -> None:
    """kill -9 after so many batches, twice; no colony starts on the half; the next run ends it as one run would."""
    url = postgres.new_url()
    behind: list[str] = []
    for _ in range(2):
        with subprocess.Popen(command(data, url, "--batch-rows", "4"), stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            behind.append(running.stderr.readline())
            for _ in range(lines - 1):
                running.stderr.readline()
            running.kill()
    assert behind[0] != behind[1]
    half = subprocess.run(
        [sys.executable, "-m", "cenoby.cli.main", "up", "--data", str(data), "--listen", "127.0.0.1:0"],
        env=os.environ | {"CENOBY_STORE": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "store_copy_unfinished" in half.stderr
    done = migrate(data, url, "--json", "--batch-rows", "7")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["resumed"]
    here = rows_here(data)
    assert told["tables"] == {table: here[table] for table in told["tables"]}
    verified = RunningColony("", data, running).cenoby("journal", "verify", "--json", "--config", config_for(data, url))
    assert json.loads(verified.stdout)["records"] == here["journal"]


def test_killed_while_it_checks_it_ends_later(data: Path, postgres: Postgres) -> None:
    """kill -9 after the last row was copied: the next run checks, or finds that all was done."""
    url = postgres.new_url()
    with subprocess.Popen(command(data, url), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for _ in range(len([table for table, rows in rows_here(data).items() if rows and copied_as_it_is(table)])):
            running.stderr.readline()
        running.kill()
    done = migrate(data, url)
    assert "verified there" in done.stdout or "just set `store` to it" in done.stderr
    verified = RunningColony("", data, running).cenoby("journal", "verify", "--json", "--config", config_for(data, url))
    assert json.loads(verified.stdout)["records"] == rows_here(data)["journal"]


def copied_as_it_is(table: str) -> bool:
    return table not in {"journal_block", "journal_facet", "alembic_version"} and "conversation_search" not in table


def config_for(data: Path, url: str) -> str:
    file = data.parent / "there.yaml"
    file.write_text(f"store: {url}\n")
    return str(file)


def test_where_the_colony_ran_on_the_copy_begins_anew(used: Colony, data: Path, postgres: Postgres) -> None:
    """What an interrupted copy held of an older state of the file is not left among what is copied later."""
    url = postgres.new_url()
    with subprocess.Popen(command(data, url, "--batch-rows", "4"), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for _ in range(60):
            running.stderr.readline()
        running.kill()
    with run_colony(data, settings=SETTINGS) as colony:
        colony.token("dee", "observer")
        # A row that was copied is another one now.
        colony.cenoby("call", "mads.grace.remove_flag", json.dumps({"flag": "mads.marco"}))
    done = migrate(data, url, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert not told["resumed"]
    assert told["tables"]["flags"] == 0
    assert told["tables"]["agents"] == rows_here(data)["agents"]


def test_a_running_colony_is_not_copied(data: Path, postgres: Postgres) -> None:
    """Whoever holds the data directory keeps the copy out, and the message says what to do."""
    with owned(data):
        done = migrate(data, postgres.new_url())
    assert done.returncode == 6
    assert "data_locked" in done.stderr
    assert "stop it" in done.stderr


def test_a_target_with_other_data_is_refused(data: Path, postgres: Postgres, tmp_path: Path) -> None:
    """Nothing is written where another colony lives, or is being copied to, or where a finished copy is in use."""
    url = postgres.new_url()
    with run_colony(tmp_path / "other", settings=f"store: {url}\n"):
        pass
    done = migrate(data, url)
    assert done.returncode == 1
    assert "store_occupied" in done.stderr

    url = postgres.new_url()
    with run_colony(tmp_path / "third"):
        pass
    with subprocess.Popen(command(tmp_path / "third", url, "--batch-rows", "1"), stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        running.stderr.readline()
        running.kill()
    done = migrate(data, url)
    assert "unfinished copy of another colony" in done.stderr

    url = postgres.new_url()
    assert migrate(data, url).returncode == 0
    again = migrate(data, url)
    assert again.returncode == 1
    assert "just set `store` to it" in again.stderr


def test_what_somebody_else_wrote_there_is_noticed(data: Path, postgres: Postgres) -> None:
    """A row too many at the far end fails the copy, and it stays closed to colonies."""
    url = postgres.new_url()
    with subprocess.Popen(command(data, url, "--batch-rows", "4"), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        running.stderr.readline()
        running.kill()
    postgres.script("INSERT INTO flags VALUES ('default', 'mads.x', 1, '', '', '', 1)", url)
    done = migrate(data, url)
    assert done.returncode == 1
    assert "flags has" in done.stderr
    assert "store_copy_differs" in done.stderr
    again = migrate(data, url)
    assert "store_copy_differs" in again.stderr


def test_a_file_that_is_not_there_or_whose_chain_is_broken_is_not_copied(
    data: Path, postgres: Postgres, tmp_path: Path
) -> None:
    """Nothing is made of a wrong --data, and a broken journal does not travel."""
    url = postgres.new_url()
    nowhere = migrate(tmp_path / "nowhere", url)
    assert "store_copy_empty" in nowhere.stderr
    assert not (tmp_path / "nowhere").exists()
    with closing(sqlite3.connect(data / "colony.db", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER journal_keeps")
        connection.execute("UPDATE journal SET header = replace(header, 'mads.rogers', 'mads.turing')")
    broken = migrate(data, url)
    assert "store_copy_broken" in broken.stderr
    wrong = migrate(data, "sqlite:///")
    assert wrong.returncode == 2


def test_no_table_can_be_forgotten(sqlite_stores: MakeStore, postgres: Postgres) -> None:
    """Every table of either schema is copied or named as an index; one that only one side has stops the copy."""
    here_store, url = sqlite_stores(), postgres.new_url()
    assert isinstance(here_store, SqliteEngine)
    there_store: Any = engine_for(url, Path())
    there_store.prepare()
    with closing(sqlite3.connect(here_store.path, isolation_level=None)) as here:
        with there_store.snapshot() as there:
            ways = [way.table for way in plan(here, there, ALONG)]
            covered = {*ways, "journal_head", *(one.table for one in ALONG)}
            assert covered == columns_there(there).keys()
            assert ways.index("conversations") < ways.index("conversation_messages")
            assert ways.index("agents") < ways.index("tokens")
            with pytest.raises(MigrationFailed, match="conversation_search"):
                plan(here, there, ())
        here.execute("CREATE TABLE newcomers (id TEXT PRIMARY KEY, tenant TEXT)")
        with there_store.snapshot() as there, pytest.raises(MigrationFailed, match="newcomers"):
            plan(here, there, ALONG)
        postgres.script("CREATE TABLE newcomers (id TEXT PRIMARY KEY, tenant TEXT, extra TEXT)", url)
        with there_store.snapshot() as there, pytest.raises(MigrationFailed, match="newcomers"):
            plan(here, there, ALONG)
        postgres.script("ALTER TABLE newcomers DROP COLUMN extra", url)
        with there_store.snapshot() as there:
            assert "newcomers" in [way.table for way in plan(here, there, ALONG)]
