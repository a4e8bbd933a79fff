"""Both backends of the vault, held to the same contract; the server is `openbao_server.py`, no real OpenBao."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cenoby.kernel.clock import ManualClock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.events import Event
from cenoby.kernel.settings import EgressSettings
from cenoby.kernel.settings_vault import OpenBaoSettings, VaultSettings
from cenoby.protection.egress import EgressGuard
from cenoby.protection.vault.backend import SecretBackend
from cenoby.protection.vault.key_ring import KeyRing
from cenoby.protection.vault.key_sources import key_source
from cenoby.protection.vault.keys import VaultError
from cenoby.protection.vault.openbao.backend import OpenBaoBackend
from cenoby.protection.vault.openbao.client import OpenBaoClient, OpenBaoFailed, OpenBaoUnavailable
from cenoby.protection.vault.own_backend import OwnBackend
from cenoby.store.database import Database
from tests.protection.vault.openbao_server import ROLE, ROOT, SECRET_ID, TTL
from tests.stores import MakeStore

Connect = Callable[..., OpenBaoBackend]


class Server:
    """The server's process, and what is told to it."""

    def __init__(self) -> None:
        file = Path(__file__).with_name("openbao_server.py")
        self.process = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.place = f"127.0.0.1:{int(self.process.stdout.readline())}"

    def told(self, **what: Any) -> list[str]:
        """Tell it something; the requests that it has seen."""
        body = json.dumps(what).encode()
        with urllib.request.urlopen(f"http://{self.place}/v1/sys/test", body, timeout=20) as answer:
            return json.load(answer)["data"]["seen"]

    def put(self, path: str, data: Any) -> None:
        """Store a secret as somebody else would."""
        request = urllib.request.Request(f"http://{self.place}/v1/{path}", json.dumps({"data": data}).encode())
        request.add_header("X-Vault-Token", ROOT)
        urllib.request.urlopen(request, timeout=20).close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.process.terminate()
    running.process.wait(30)
    assert running.process.stdout is not None
    running.process.stdout.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def connect(server: Server, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Connect]:
    """Makes backends at the server, signed in by AppRole, or with a token where the role is empty."""
    guards: list[EgressGuard] = []

    def connected(role: str = ROLE, credential: str = SECRET_ID) -> OpenBaoBackend:
        file = tmp_path / "credential"
        file.write_text(credential + "\n")
        file.chmod(0o600)
        settings = OpenBaoSettings(url=f"http://{server.place}", credential=file, role_id=role)
        client = OpenBaoClient(settings, clock)
        client.egress = EgressGuard(EgressSettings(allow=[server.place]))
        guards.append(client.egress)
        return OpenBaoBackend(client, settings)

    yield connected
    for guard in guards:
        await guard.aclose()


async def told(event: Event) -> None:
    """The journal is not what is tried here."""


@pytest.fixture
async def own(tmp_path: Path, clock: ManualClock, sqlite_stores: MakeStore) -> AsyncIterator[SecretBackend]:
    database = await Database.open(sqlite_stores(), clock=clock)
    ring = await KeyRing.open(database, key_source(VaultSettings(), tmp_path, {}), clock, told)
    yield OwnBackend(database, lambda: ring, clock)
    await database.close()


@pytest.fixture
async def openbao(connect: Connect) -> SecretBackend:
    return connect()


BACKENDS = pytest.mark.parametrize("kind", ["own", "openbao"])


async def add(
    backend: SecretBackend, name: str, value: str, *readers: str, by: str = "ada", tenant: str = "default"
) -> int:
    made = await backend.add_version(tenant, name, value, readers=readers, colony_only=False, created_by=by)
    return made.version


@BACKENDS
async def test_a_backend_keeps_versions(kind: str, own: SecretBackend, openbao: SecretBackend) -> None:
    """Versions count up, each with its value, its readers and who stored it; names are listed in order, from any place,
    and no tenant sees another's; what is not there is None."""
    backend = own if kind == "own" else openbao
    backend.require_open()
    assert await backend.read_secret("default", "k") is None
    assert await backend.read_versions("default", "k") == []
    assert await backend.read_value("default", "k", 1) is None
    assert await add(backend, "k", "value-1 ä", "role:developer", "agent:eve") == 1
    assert await add(backend, "k", "value-2", by="eve") == 2
    for name in ("models/openai", "models/b", "k2", "a-b.c"):
        await add(backend, name, f"value of {name}")
    await add(backend, "k", "of another", tenant="other")
    await add(backend, "k", "of nobody", tenant="")
    found = await backend.read_secret("default", "k")
    assert found is not None
    assert (found.owner, found.versions, found.newest.version, found.newest.created_by) == ("ada", 2, 2, "eve")
    assert found.newest.readers == () and not found.newest.colony_only and found.newest.created_ns > 0
    first = await backend.read_version("default", "k", 1)
    assert first is not None
    assert (first.readers, first.created_by, first.revoked_ns) == (("role:developer", "agent:eve"), "ada", None)
    assert await backend.read_version("default", "k", 3) is None
    assert [one.version for one in await backend.read_versions("default", "k")] == [2, 1]
    assert [await backend.read_value("default", "k", number) for number in (1, 2)] == ["value-1 ä", "value-2"]
    assert await backend.read_value("other", "k", 1) == "of another"
    assert await backend.read_value("", "k", 1) == "of nobody"
    names = [one.newest.name for one in await backend.read_secrets("default", "", 10)]
    assert names == ["a-b.c", "k", "k2", "models/b", "models/openai"]
    assert [one.newest.name for one in await backend.read_secrets("default", "k", 2)] == ["k2", "models/b"]


@BACKENDS
async def test_a_revoked_version_is_gone_for_good(kind: str, own: SecretBackend, openbao: SecretBackend) -> None:
    """Only it, once; its number is never given again, and its owner is known after all were revoked."""
    backend = own if kind == "own" else openbao
    for number in range(3):
        await add(backend, "k", f"value-{number}", by="ada" if not number else "eve")
    assert await backend.revoke("default", "k", 2, "ada") == [2]
    assert await backend.revoke("default", "k", 2, "ada") == []
    assert [await backend.read_value("default", "k", number) for number in (1, 2, 3)] == ["value-0", None, "value-2"]
    assert await backend.revoke("default", "k", None, "ada") == [1, 3]
    assert await backend.revoke("default", "none", None, "ada") == []
    found = await backend.read_secret("default", "k")
    assert found is not None
    assert found.owner == "ada" and found.newest.revoked_ns is not None
    assert all(one.revoked_ns for one in await backend.read_versions("default", "k"))
    assert await add(backend, "k", "again") == 4
    assert await backend.read_value("default", "k", 4) == "again"


async def test_no_name_leads_out_of_its_folder(connect: Connect, server: Server) -> None:
    """Dots and empty parts are refused before anything is asked: another tenant's secret is out of reach, and a name
    that somebody else made so is not listed."""
    backend = connect()
    await add(backend, "k", "of another", tenant="other")
    before = len(server.told())
    bad = [("default", name) for name in ("../other/k", "a/../../other/k", "./k", "a//k", "/k", "k/")]
    for tenant, name in [*bad, ("..", "k"), ("_colony", "k")]:
        for attempt in (
            backend.read_value(tenant, name, 1),
            backend.read_secret(tenant, name),
            add(backend, name, "v", tenant=tenant),
        ):
            with pytest.raises(CenobyError) as refused:
                await attempt
            assert refused.value.code == "secret_invalid"
    assert len(server.told()) == before
    server.put("secret/data/cenoby/other/with%20blank", {"value": "v"})
    assert [one.newest.name for one in await backend.read_secrets("other", "", 10)] == ["k"]


async def test_a_token_is_renewed_and_a_revoked_one_replaced(
    server: Server, connect: Connect, clock: ManualClock
) -> None:
    """AppRole signs in once; at two thirds of its time the token is renewed; one that was revoked is replaced once."""
    backend = connect()
    await add(backend, "k", "value-1")
    assert server.told().count("POST auth/approle/login") == 1
    clock.advance(TTL * 0.7)
    assert await backend.read_value("default", "k", 1) == "value-1"
    assert server.told(revoke=True).count("POST auth/token/renew-self") == 1
    assert await backend.read_value("default", "k", 1) == "value-1"
    assert server.told().count("POST auth/approle/login") == 2
    clock.advance(TTL * 2)
    assert await backend.read_value("default", "k", 1) == "value-1"
    assert server.told().count("POST auth/approle/login") == 3


async def test_what_the_server_says_no_to_is_said_in_our_words(
    server: Server, connect: Connect, tmp_path: Path
) -> None:
    """Sealed or overloaded: later, with a time. A wrong token, a file that others read, a server that is gone: what to
    look at. Never a value or a credential in a message."""
    backend = connect("", ROOT)
    await add(backend, "k", "value-1")
    for status in (503, 429, 500):
        server.told(status=status, times=1)
        with pytest.raises(OpenBaoUnavailable) as later:
            await add(backend, "k", "a-value-that-nobody-sees")
        assert (later.value.code, later.value.retry_after) == ("openbao_unavailable", 5)
    server.put("secret/data/cenoby/default/theirs", {"user": "u"})
    with pytest.raises(VaultError) as damaged:
        await backend.read_value("default", "theirs", 1)
    assert damaged.value.code == "secret_damaged"
    info = await backend.read_secret("default", "theirs")
    assert info is not None and info.newest.colony_only and info.owner == ""
    for role, credential in (("", "another-token"), (ROLE, "another-secret-id")):
        with pytest.raises(OpenBaoFailed) as denied:
            await connect(role, credential).read_secret("default", "k")
        assert credential not in denied.value.message
    other = connect()
    (tmp_path / "credential").chmod(0o644)
    with pytest.raises(VaultError) as exposed:
        await other.read_secret("default", "k")
    assert exposed.value.code == "vault_key_exposed"
    with pytest.raises(VaultError) as fixed:
        await backend.rotate_master_key(told)
    assert fixed.value.code == "vault_key_fixed"
    server.process.kill()
    server.process.wait(30)
    with pytest.raises(CenobyError) as gone:
        await backend.read_secret("default", "k")
    assert gone.value.code == "egress_unreachable"
