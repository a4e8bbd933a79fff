"""Databases for tests, of both engines: each test has one of its own at the newest revision, gone when it ends."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cenoby.kernel.clock import SystemClock
from cenoby.kernel.events import Event
from cenoby.kernel.settings import CacheSettings
from cenoby.store.connect import engine_for
from cenoby.store.database import Database
from cenoby.store.engine import Engine
from cenoby.store.sqlite_engine import SqliteEngine
from cenoby.store.table_cache import TableCache
from tests.conftest import needs_service

ENGINES = ("sqlite", "postgresql")
MakeStore = Callable[[], Engine]


class Postgres:
    """Schemas in a database on this machine: PGDATABASE as PGUSER, or `test` as `postgres`."""

    def __init__(self) -> None:
        user, database = os.environ.get("PGUSER", "postgres"), os.environ.get("PGDATABASE", "test")
        self.place = needs_service("postgres")
        self.url = f"postgresql://{user}@{self.place}/{database}"
        self.schemas: list[str] = []
        self._migration = ""
        self._machine = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self._sweep).result()

    def new_url(self) -> str:
        """URL of a new, empty schema."""
        schema = f"cenoby_test_{self._machine}_{os.getpid()}_{secrets.token_hex(6)}"
        self.script(f"CREATE SCHEMA {schema}")
        self.schemas.append(schema)
        return f"{self.url}?search_path={schema}"

    def new(self) -> Engine:
        """A new schema at the newest revision."""
        from cenoby.store import postgres_migrate

        self._migration = self._migration or postgres_migrate._script(None, "head")
        url = self.new_url()
        self.script(self._migration, url)
        return engine_for(url, Path())

    def script(self, sql: str, url: str = "") -> None:
        """Run statements as an administrator would; on a thread, because a test's loop may be running."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self._script, sql, url or self.url).result()

    def _script(self, sql: str, url: str) -> None:
        engine: Any = engine_for(url, Path())
        with engine._connected("") as connection:
            connection.script(sql)

    def _sweep(self) -> None:
        """Drop what runs of this machine left that were killed."""
        engine: Any = engine_for(self.url, Path())
        like = f"cenoby_test_{self._machine}_%"
        with engine._connected("") as connection:
            for (name,) in connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE ?", (like,)):
                if not Path(f"/proc/{name.split('_')[3]}").exists():
                    connection.script(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def drop(self) -> None:
        """Leave nothing behind."""
        for schema in self.schemas:
            self.script(f"DROP SCHEMA {schema} CASCADE")
        self.schemas.clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL of this machine, or a skip that says that there is none."""
    postgres = Postgres()
    yield postgres
    postgres.drop()


@pytest.fixture(scope="session")
def sqlite_stores(tmp_path_factory: pytest.TempPathFactory) -> MakeStore:
    """Makes migrated database files."""
    folder = tmp_path_factory.mktemp("stores")
    template = folder / "template.db"
    SqliteEngine(template).prepare()
    numbers = itertools.count()
    return lambda: SqliteEngine(Path(shutil.copy(template, folder / f"{next(numbers)}.db")))


@pytest.fixture(scope="session", params=ENGINES)
def new_store(request: pytest.FixtureRequest) -> MakeStore:
    """Makes migrated databases of one engine."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_stores")
    return request.getfixturevalue("postgres").new


@pytest.fixture
def store(new_store: MakeStore) -> Engine:
    """A migrated database of its own."""
    return new_store()


def cache_of(database: Database, note: Callable[[Event], object] = lambda event: None) -> TableCache:
    """What keeps a database's tables in memory, looking only when it is told to."""
    return TableCache(database, SystemClock(), CacheSettings(), note)


def everything_in(connection: Any) -> str:
    """All rows of all tables as text."""
    if connection.dialect == "sqlite":
        return "\n".join(connection.iterdump())
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace(current_schema())"
    ).fetchall()
    rows = [row for (table,) in tables for row in connection.execute(f"SELECT CAST(t AS TEXT) FROM {table} t")]
    return "\n".join(text for (text,) in rows)
