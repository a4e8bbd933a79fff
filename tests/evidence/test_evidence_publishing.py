"""Checkpoints leave the machine: to a file, a git remote, another host and a witness, and what goes wrong is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings_evidence import PublishedToSettings
from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence.merkle import Growth, Tree
from cenoby.protection.evidence.notes import Checkpoint, NoteKey, read_checkpoint
from cenoby.protection.evidence.witness import Witness
from cenoby.store.database import Database
from tests.evidence.log_house import House
from tests.evidence.slices import fill
from tests.stores import MakeStore


@pytest.fixture
async def database(sqlite_stores: MakeStore) -> AsyncIterator[Database]:
    database = await Database.open(sqlite_stores(), clock=ManualClock())
    yield database
    await database.close()


@pytest.fixture
def other_host() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A host that keeps what it is sent by PUT: its address and its pages."""
    pages: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(200 if page else 404)
            self.send_header("content-length", str(len(page or b"")))
            self.end_headers()
            self.wfile.write(page or b"")

        def do_PUT(self) -> None:
            pages[self.path] = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", pages
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def witness_process(tmp_path: Path) -> Iterator[Any]:
    """Starts `cenoby witness` for a log; its address and key."""
    started: list[subprocess.Popen[str]] = []

    def start(log_key: str) -> tuple[str, str]:
        command = [sys.executable, "-m", "cenoby.cli.main", "witness", "--log", log_key, "--listen", "127.0.0.1:0"]
        process = subprocess.Popen([*command, "--folder", str(tmp_path / "witness")], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        ready, url, key = process.stdout.readline().split()
        assert ready == "ready"
        return url, key

    yield start
    for process in started:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


async def started(database: Database, folder: Path, *publish: dict[str, Any], allow: tuple[str, ...] = ()) -> House:
    house = House(database, folder, ManualClock(), allow, publish=list(publish))
    await house.log.start()
    return house


async def test_a_file_and_another_host_get_every_checkpoint(
    database: Database, tmp_path: Path, other_host: tuple[str, dict[str, bytes]]
) -> None:
    """Both hold the newest one, signed by the log's key; a destination that fails does not keep it from the other."""
    place, pages = other_host
    house = await started(
        database,
        tmp_path,
        {"name": "mounted", "file": str(tmp_path / "checkpoint")},
        {"name": "second", "url": f"http://{place}/log"},
        {"name": "gone", "file": str(tmp_path / "missing" / "checkpoint")},
        allow=(place,),
    )
    for count in (3, 300):
        await fill(house.journal, count)
        standings = {one.name: one for one in await house.log.publish()}
        held = read_checkpoint((tmp_path / "checkpoint").read_text()).of_log(await house.verify_keys())
        assert pages["/log"].decode() == held.note
        assert standings["second"].size == standings["mounted"].size == held.size
        assert (standings["gone"].size, standings["second"].problem) == (0, "")
        assert "cannot be written" in standings["gone"].problem
    assert held.size == 303
    await house.stop()


async def test_a_git_remote_gets_a_commit_for_each(database: Database, tmp_path: Path, needs: Any) -> None:
    """The branch's history is the log's; another's commits stay, and a second process with no copy goes on."""
    git = needs("git")
    remote = tmp_path / "remote.git"
    remote.mkdir()

    def run(*arguments: str) -> str:
        return subprocess.run([git, "-C", str(remote), *arguments], check=True, capture_output=True, text=True).stdout

    run("init", "--quiet", "--bare", str(remote))
    place = {"name": "archive", "git": f"file://{remote}", "branch": "log"}

    house = await started(database, tmp_path, place)
    for _ in range(2):
        await fill(house.journal, 2)
        (standing,) = await house.log.publish()
        assert standing.problem == ""
    await house.stop()
    second = House(database, tmp_path, ManualClock(), publish=[place | {"name": "fresh-copy"}])
    await second.log.start()
    await fill(second.journal, 2)
    (standing,) = await second.log.publish()
    assert standing.problem == ""
    (file,) = run("ls-tree", "--name-only", "log").split()
    shown = read_checkpoint(run("cat-file", "blob", f"log:{file}"))
    assert shown.of_log(await second.verify_keys()).size == 6
    assert run("log", "--format=%s", "log").splitlines() == [f"{second.origin}: {size} records" for size in (6, 4, 2)]
    await second.stop()


async def test_a_witness_cosigns_what_continues(database: Database, tmp_path: Path, witness_process: Any) -> None:
    """Our own witness in a process of its own: its signature is under what the others get, also after it restarted
    and after the log forgot what it had sent; a log that was rewritten gets none, and an alarm."""
    first = await started(database, tmp_path)
    await fill(first.journal, 5)
    await first.log.checkpoint()
    (key,) = await first.verify_keys()
    await first.stop()
    url, witness_key = witness_process(key.to_text())
    publish = (
        {"name": "mounted", "file": str(tmp_path / "checkpoint")},
        {"name": "watcher", "witness": url, "key": witness_key},
    )
    house = await started(database, tmp_path, *publish, allow=(url.removeprefix("http://"),))
    for _ in range(2):
        await fill(house.journal, 5)
        assert [one.problem for one in await house.log.publish()] == ["", ""]
        held = read_checkpoint((tmp_path / "checkpoint").read_text())
        assert held.signed_by(NoteKey.from_text(witness_key)) is not None
        await database.write(lambda one: one.execute("DELETE FROM evidence_published"))
    assert (await house.log.view()).note == held.note
    await house.stop()

    def rewrite(connection: Any) -> None:
        connection.execute("DELETE FROM evidence_checkpoint")
        connection.execute("UPDATE evidence_tile SET hashes = ? WHERE level = 0", (bytes(32 * held.size),))

    await database.write(rewrite)
    (tmp_path / "checkpoint").unlink()
    liar = await started(database, tmp_path, *publish, allow=(url.removeprefix("http://"),))
    await fill(liar.journal, 1)
    standings = {one.name: one.problem for one in await liar.log.publish()}
    assert "rewritten" in standings["watcher"]
    assert "EvidenceInconsistent" in [type(event).__name__ for event in liar.events]
    await liar.stop()


async def test_silence_gives_an_alarm_and_its_end_is_told(database: Database, tmp_path: Path) -> None:
    """Once when a destination failed for so long, once when it is there again; in between no word."""
    place = tmp_path / "later" / "checkpoint"
    house = await started(database, tmp_path, {"name": "later", "file": str(place)})
    await fill(house.journal, 1)
    for seconds in (0, 1800, 1801, 10):
        house.clock.advance(seconds)
        await house.log.publish()
    assert [type(event).__name__ for event in house.events] == ["LogKeysChanged", "EvidenceUnpublished"]
    place.parent.mkdir()
    (standing,) = await house.log.publish()
    assert (standing.problem, standing.attempts) == ("", 0)
    assert type(house.events[-1]).__name__ == "EvidencePublishedAgain"
    await house.stop()


async def test_what_is_new_goes_out_by_itself(database: Database, tmp_path: Path) -> None:
    """Without anybody asking: after so many records the log is signed and published."""
    place = tmp_path / "checkpoint"
    publish = [{"name": "mounted", "file": str(place)}]
    house = House(database, tmp_path, ManualClock(), publish=publish, sequence_every=0.02, checkpoint_records=10)
    await house.log.start()
    await fill(house.journal, 12)
    async with asyncio.timeout(60):
        while not place.exists() or read_checkpoint(place.read_text()).size < 10:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.02)
    await house.stop()


@pytest.mark.parametrize(
    "remote",
    [
        "-oProxyCommand=id",
        "ext::sh -c id",
        "--upload-pack=id",
        "http://host/x",
        "git://host/x",
        "host:path",
        "https:// x",
    ],
)
def test_a_remote_that_would_run_something_is_refused(remote: str) -> None:
    """Only https, ssh and files, and nothing that git could take for an option."""
    with pytest.raises(ValidationError):
        PublishedToSettings(name="x", git=remote)


@pytest.mark.parametrize("places", [{}, {"file": "/x", "url": "https://h/"}, {"witness": "https://h/"}, {"key": "k"}])
def test_a_destination_is_one_place(places: dict[str, str]) -> None:
    """None, two, or a witness without its key are mistakes."""
    with pytest.raises(ValidationError):
        PublishedToSettings.model_validate({"name": "x", **places})


class Log:
    """Another log, made by hand: its tree at any size."""

    def __init__(self, leaves: int, fork: bytes = b"") -> None:
        self.key = SigningKey.generate()
        self.tiles: dict[tuple[int, int], bytes] = {}
        growth = Growth(0, lambda level, number: self.tiles[level, number])
        growth.add([bytes([number]) * 31 + (fork or b"x") for number in range(leaves)])
        self.tiles |= {(level, number): hashes for level, number, hashes in growth.take_changed()}

    def tree(self, size: int) -> Tree:
        return Tree(size, lambda level, number: self.tiles[level, number])

    def request(self, old: int, size: int, proof: list[bytes] | None = None) -> bytes:
        import base64

        note = Checkpoint.of("log", size, self.tree(size).root()).signed("log", self.key).note
        hashes = self.tree(size).consistency(old) if proof is None else proof
        lines = [f"old {old}", *(base64.b64encode(one).decode() for one in hashes), "", note]
        return "\n".join(lines).encode()


def test_a_witness_answers_as_the_specification_says(tmp_path: Path) -> None:
    """200, 400, 403, 404, 409 with its size, 422, and after a restart it still knows what it saw."""
    log, other = Log(40), Log(40, b"y")
    other.key = log.key
    folder = tmp_path

    def make(*logs: NoteKey) -> Witness:
        return Witness("w", SigningKey.generate(), logs, folder, ManualClock())

    known = NoteKey("log", log.key.public)
    assert make().add_checkpoint(log.request(0, 5)).status == 404
    assert make(NoteKey("log", SigningKey.generate().public)).add_checkpoint(log.request(0, 5)).status == 403
    witness = make(known)
    for body in (b"", b"old 01\n\n", b"old 6\n\n" + log.request(0, 5).partition(b"\n\n")[2], b"\xff", b"new 1\n\nx"):
        assert witness.add_checkpoint(body).status == 400
    assert witness.add_checkpoint(log.request(0, 5, [bytes(32)])).status == 422
    first = witness.add_checkpoint(log.request(0, 5))
    signed = read_checkpoint(log.request(0, 5).partition(b"\n\n")[2].decode()).joined([first.body])
    assert (first.status, signed.signed_by(witness.public)) == (200, 1_767_225_600)
    again = make(known)
    told = again.add_checkpoint(log.request(0, 9))
    assert (told.status, told.body, told.content_type) == (409, "5\n", "text/x.tlog.size")
    assert again.add_checkpoint(log.request(5, 5)).status == 200
    assert again.add_checkpoint(other.request(5, 5)).status == 409
    assert again.add_checkpoint(other.request(5, 9)).status == 422
    assert again.add_checkpoint(log.request(5, 40)).status == 200
    assert again.add_checkpoint(log.request(5, 9)).status == 409


@given(st.binary(max_size=300))
def test_no_request_breaks_a_witness(body: bytes) -> None:
    """Whatever is sent, it answers, and signs nothing."""
    witness = Witness("w", SigningKey.generate(), [], Path("/nowhere"), ManualClock())
    assert witness.add_checkpoint(body).status in (400, 404)
    assert json.dumps(witness.add_checkpoint(b"old 0\n\n" + body).status) in ("400", "404")
