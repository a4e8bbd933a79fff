"""What only PostgreSQL has: a network in between, several writers, chains per node, a schema of its own."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from severed_wire import SeveredWire

from cenoby.kernel.clock import SystemClock
from cenoby.kernel.settings_file import SettingsError
from cenoby.store import postgres_migrate
from cenoby.store.connect import engine_for
from cenoby.store.database import Database, StoreRefused, StoreUnavailable
from cenoby.store.engine import Connection, Engine
from cenoby.store.journal import Entry, Journal, JournalQuery, verify_file
from cenoby.store.migrate import MigrationFailed, revisions
from tests.stores import Postgres


def entry(number: int = 0) -> Entry:
    return Entry("event", "default", "ada", "c", code="done", payload={"number": number})


async def opened(store: Engine, node: str = "n1") -> tuple[Database, Journal]:
    database = await Database.open(store, clock=SystemClock())
    journal = Journal(database, node=node, clock=SystemClock())
    await journal.start()
    return database, journal


@pytest.fixture
async def wire(postgres: Postgres) -> AsyncIterator[SeveredWire]:
    """A wire to the database that a test may cut."""
    host, _, port = postgres.place.rpartition(":")
    wire = SeveredWire(host, int(port))
    yield wire
    wire.close()


def through(wire: SeveredWire, postgres: Postgres) -> Engine:
    """A migrated database at the other end of the wire."""
    postgres.new()
    schema = postgres.schemas[-1]
    return engine_for(f"{postgres.url.replace(postgres.place, wire.place)}?search_path={schema}", Path())


def test_every_revision_goes_down_and_up_again(postgres: Postgres) -> None:
    """Each step back leaves what was there before it; nothing of ours is left at the bottom."""
    url = postgres.new_url()

    def walk() -> None:
        engine: Any = engine_for(url, Path())
        with engine._connected("") as connection:

            def objects() -> list[str]:
                rows = connection.execute(
                    "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(current_schema())"
                    " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace(current_schema())"
                )
                return sorted(str(name) for (name,) in rows)

            seen = {}
            for revision in revisions():
                postgres_migrate.migrate(connection, revision, "test")
                seen[revision] = objects()
            for revision in reversed(revisions()):
                postgres_migrate.migrate(connection, revision, "test")
                assert objects() == seen[revision]
            postgres_migrate.migrate(connection, "base", "test")
            assert objects() == []
            postgres_migrate.migrate(connection, "head", "test")
            assert objects() == seen[revisions()[-1]]

    walk()


async def test_processes_that_start_at_once_make_the_schema_once(postgres: Postgres) -> None:
    """Who comes second waits for the first and finds it done."""
    store = engine_for(postgres.new_url(), Path())
    databases = await asyncio.gather(*(Database.open(store, clock=SystemClock()) for _ in range(4)))
    for database in databases:
        await database.close()


async def test_a_newer_schema_is_left_alone(postgres: Postgres) -> None:
    """A revision that nobody here knows refuses the start and says whose it is."""
    store = postgres.new()
    database, _ = await opened(store)
    await database.write(lambda connection: connection.execute("UPDATE alembic_version SET version_num = '9999_next'"))
    await database.close()
    with pytest.raises(MigrationFailed, match="9999_next") as refused:
        await opened(store)
    assert refused.value.code == "store_too_new"


@pytest.mark.parametrize(
    "statement",
    ["UPDATE journal SET tenant = 'x'", "DELETE FROM journal", "TRUNCATE journal", "UPDATE journal SET seq = seq"],
)
async def test_the_journal_is_append_only(postgres: Postgres, statement: str) -> None:
    """Not even by SQL on the writing connection; the rest of the batch is not concerned."""
    database, journal = await opened(postgres.new())
    await journal.append(entry())
    with pytest.raises(StoreRefused, match="append-only"):
        await database.write(lambda connection: connection.execute(statement))
    assert (await journal.verify()).ok
    await database.close()


async def test_nodes_that_write_at_once_each_have_a_chain(postgres: Postgres) -> None:
    """Three nodes write together: every record once, chains without gaps, and each start sees only its own intents."""
    store = postgres.new()
    nodes = [await opened(store, f"n{number}") for number in range(3)]
    await nodes[0][1].append(Entry("intent", "default", "ada", "c", invocation="open"))
    await asyncio.gather(*(journal.append(entry(number)) for _, journal in nodes for number in range(100)))
    verified = await nodes[0][1].verify()
    assert (verified.ok, verified.records) == (True, 301)
    assert {(head.node, head.seq) for head in verified.heads} == {("n0", 101), ("n1", 100), ("n2", 100)}
    await nodes[1][1].start()
    assert (await nodes[1][1].page(JournalQuery(kind="outcome"))).records == []
    await nodes[0][1].start()
    assert [one.node for one in (await nodes[0][1].page(JournalQuery(kind="outcome"))).records] == ["n0"]
    page = await nodes[2][1].page(JournalQuery(limit=1000, newest_first=False))
    assert [one.position for one in page.records] == sorted({one.position for one in page.records})
    for database, _ in nodes:
        await database.close()


async def test_two_processes_of_one_node_do_not_fork_its_chain(postgres: Postgres) -> None:
    """Who finds the head moved links anew; nothing is lost and nothing refused."""
    store = postgres.new()
    first, second = await opened(store), await opened(store)
    for number in range(20):
        await asyncio.gather(*(journal.append(entry(number)) for _, journal in (first, second) for _ in range(5)))
    verified = await first[1].verify()
    assert (verified.ok, verified.records) == (True, 200)
    for database, _ in (first, second):
        await database.close()


async def test_a_node_is_one_process(postgres: Postgres) -> None:
    """A second process that calls itself by the same node does not start, until the first one has stopped."""
    postgres.new()
    url = f"{postgres.url}?search_path={postgres.schemas[-1]}"
    first = await Database.open(engine_for(url, Path(), "main-1"), clock=SystemClock())
    other = await Database.open(engine_for(url, Path(), "main-2"), clock=SystemClock())
    with pytest.raises(StoreUnavailable, match="another process is node main-1"):
        await Database.open(engine_for(url, Path(), "main-1"), clock=SystemClock())
    await first.close()
    await (await Database.open(engine_for(url, Path(), "main-1"), clock=SystemClock())).close()
    await other.close()


async def test_what_a_function_read_still_holds_when_it_writes(postgres: Postgres) -> None:
    """Functions of several processes follow one another, as in a file: no count is lost."""
    store = postgres.new()
    databases = [(await opened(store))[0] for _ in range(3)]
    await databases[0].write(lambda connection: connection.execute("CREATE TABLE counter (n BIGINT)"))
    await databases[0].write(lambda connection: connection.execute("INSERT INTO counter VALUES (0)"))

    def count(connection: Connection) -> None:
        (n,) = connection.execute("SELECT n FROM counter").fetchone()
        connection.execute("UPDATE counter SET n = ?", (n + 1,))

    await asyncio.gather(*(database.write(count) for database in databases for _ in range(50)))
    assert await databases[1].read(lambda connection: connection.execute("SELECT n FROM counter").fetchone()) == (150,)
    for database in databases:
        await database.close()


TAMPERED = [
    "UPDATE journal SET header = replace(header, 'ada', 'eve') WHERE seq = 7",
    "UPDATE journal SET hash = decode(repeat('00', 32), 'hex') WHERE seq = 7",
    "UPDATE journal SET agent = 'eve' WHERE seq = 7",
    "UPDATE journal SET time_ns = time_ns + 1 WHERE seq = 7",
    "UPDATE journal SET code = '' WHERE seq = 7",
    "UPDATE journal SET tenant = 'other' WHERE seq = 7",
    "UPDATE journal SET decided = NOT decided WHERE seq = 7",
    "UPDATE journal SET seq = 99 WHERE seq = 7",
    "UPDATE journal SET node = 'n9' WHERE seq = 7",
    "DELETE FROM journal WHERE seq = 7",
    "DELETE FROM journal WHERE seq = 20",
    "DELETE FROM journal WHERE seq > 15; DELETE FROM journal_payload WHERE seq > 15",
    "DELETE FROM journal; DELETE FROM journal_payload",
    "DELETE FROM journal_head",
    "UPDATE journal_head SET seq = seq - 1",
    "UPDATE journal_payload SET salted = salted || '\\x00' WHERE seq = 7",
    "DELETE FROM journal_payload WHERE seq = 7",
    "INSERT INTO journal_payload SELECT 'n1', 99, tenant, salted FROM journal_payload WHERE seq = 7",
]


@pytest.mark.parametrize("statements", TAMPERED)
async def test_any_single_change_is_detected(postgres: Postgres, statements: str) -> None:
    """A field, a hash, a payload, what finds a record, a record dropped in the middle or at the end: verify sees it."""
    store = postgres.new()
    database, journal = await opened(store)
    for number in range(20):
        await journal.append(entry(number))
    assert (await journal.verify()).ok
    await database.close()
    url = f"{postgres.url}?search_path={postgres.schemas[-1]}"
    postgres.script(f"ALTER TABLE journal DISABLE TRIGGER USER; {statements}", url)
    verified = await verify_file(store)
    assert not verified.ok
    assert verified.problem


async def test_a_field_that_text_cannot_hold_is_found_and_told_as_it_was(postgres: Postgres) -> None:
    """PostgreSQL's text has no NUL: the header keeps it, and the record is found by it all the same."""
    database, journal = await opened(postgres.new())
    await journal.append(Entry("event", "default", "Äda\0", "c"))
    (record,) = (await journal.page(JournalQuery(agent="Äda\0"))).records
    assert record.agent == "Äda\0"
    assert (await journal.verify()).ok
    await database.close()


async def test_a_database_that_restarts_is_found_again(wire: SeveredWire, postgres: Postgres) -> None:
    """While it is away, reading and writing are refused by type with a waiting time; after that both go on."""
    database, journal = await opened(through(wire, postgres))
    await journal.append(entry(1))
    assert await journal.head() is not None
    wire.cut()
    await journal.append(entry(2))  # cut off between two transactions: nobody notices
    assert await journal.head() is not None
    wire.away = True
    wire.cut()
    works: list[Callable[[], Any]] = [lambda: journal.append(entry(3)), journal.head]
    for work in works:
        with pytest.raises(StoreUnavailable) as refused:
            await work()
        assert refused.value.code == "store_failed"
        assert refused.value.retry_after
    wire.away = False
    await journal.append(entry(4))
    page = await journal.page(JournalQuery(newest_first=False))
    assert [one.seq for one in page.records] == [1, 2, 3]
    assert (await journal.verify()).ok
    await database.close()


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up(
    wire: SeveredWire, postgres: Postgres, arrives: bool
) -> None:
    """Where the wire breaks at COMMIT, the caller hears what came of it, not what might have."""
    database, journal = await opened(through(wire, postgres))
    await journal.append(entry(1))
    wire.cut_at(b"COMMIT\0", forward=arrives)
    if arrives:
        await journal.append(entry(2))
    else:
        with pytest.raises(StoreUnavailable, match="undone"):
            await journal.append(entry(2))
    await journal.append(entry(3))
    verified = await journal.verify()
    assert (verified.ok, verified.records) == (True, 3 if arrives else 2)
    await database.close()


async def test_a_wire_that_breaks_within_a_batch_takes_all_of_it(wire: SeveredWire, postgres: Postgres) -> None:
    """Of a batch that broke off nothing is there, each of its callers hears so, and the next one goes through."""
    database, journal = await opened(through(wire, postgres))
    await journal.append(entry(1))
    wire.cut_at(b"late_marker", forward=True)

    def broken(connection: Connection) -> None:
        connection.execute("SELECT 'late_marker'")

    results = await asyncio.gather(
        journal.append(entry(2)), database.write(broken), journal.append(entry(3)), return_exceptions=True
    )
    assert [type(one) for one in results] == [StoreUnavailable] * 3
    await journal.append(entry(4))
    verified = await journal.verify()
    assert (verified.ok, verified.records) == (True, 2)
    await database.close()


SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://nobody-here:{SECRET}@127.0.0.1:1/test",
        f"postgresql://ada:{SECRET}@127.0.0.1:no-port/test",
        f"postgresql://ada:{SECRET}/@127.0.0.1/test",
        f"postgresql://ada:{SECRET}@127.0.0.1",
        f"mysql://ada:{SECRET}@127.0.0.1/test",
        f"postgresql://ada:{SECRET}@127.0.0.1:1/test?sslmode=nonsense",
    ],
)
async def test_no_error_tells_the_password(url: str) -> None:
    """Neither the message nor the traceback of what is wrong with a URL, or with the way there, holds it."""
    with pytest.raises((SettingsError, StoreUnavailable)) as refused:
        await Database.open(engine_for(url, Path()), clock=SystemClock())
    told = "".join(traceback.format_exception(refused.value))
    assert SECRET not in told
    assert SECRET not in repr(refused.value)


def test_a_store_is_chosen_by_its_url(tmp_path: Path) -> None:
    """`sqlite:///` is DATA/colony.db, another path is that file."""
    assert engine_for("sqlite:///", tmp_path).place == str(tmp_path / "colony.db")
    assert engine_for("sqlite:////var/x.db", tmp_path).place == "/var/x.db"
    assert engine_for("postgresql://ada:x@db.example/colony", tmp_path).place == "postgresql://db.example:5432/colony"
