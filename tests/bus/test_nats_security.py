"""Who may use a NATS, and how safely: users, tokens, NKeys, credentials, TLS, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.bus.nats_address import nats_address
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import BusSecuritySettings
from tests.bus.nats_server import PrivateNats, private_nats
from tests.bus.nkey_files import NKey, Operator
from tests.bus.tls_files import Authority

SECRET = "hunter2-hunter2"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def encrypted(tmp_path: Path, authority: Authority) -> Iterator[PrivateNats]:
    """A server with TLS that knows one user."""
    certificate, key = authority.issue("broker")
    users = f'authorization {{ users: [{{ user: "ada", password: "{SECRET}" }}] }}'
    with private_nats(tmp_path, f'{users}\ntls {{ cert_file: "{certificate}", key_file: "{key}" }}') as server:
        yield server


async def works(url: str, security: BusSecuritySettings) -> None:
    """A request goes round."""

    async def answer(one: Envelope) -> str:
        return one.sender

    bus = await connect_bus(url, security=security)
    await bus.subscribe("main.default.mad.echo", answer, group="echo")
    asked = Envelope(
        id=new_id(), tenant="", correlation="", sender="ada", recipient="main.default.mad.echo", event="x.v1",
        payload=None,
    )  # fmt: skip
    assert await bus.request(asked) == "ada"
    await bus.close()


async def refused(url: str, security: BusSecuritySettings, caplog: pytest.LogCaptureFixture) -> BusInvalid:
    """The refusal, which never holds a secret."""
    with pytest.raises(BusInvalid) as caught:
        await connect_bus(url, security=security)
    text = f"{caught.value!r} {caught.value.message} {caught.value.details} {caplog.text}"
    assert SECRET not in text
    assert "hunter3" not in text
    return caught.value


def user(name: str, password: str, **others: Path) -> BusSecuritySettings:
    return BusSecuritySettings(user=name, password=SecretStr(password), **others)


async def test_user_and_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The right password works, from the settings or the URL; a wrong one and none at all are refused."""
    users = f'authorization {{ users: [{{ user: "ada", password: "{SECRET}" }}] }}'
    with private_nats(tmp_path, users) as server:
        await works(server.url, user("ada", SECRET))
        await works(server.url.replace("//", f"//ada:{SECRET}@"), BusSecuritySettings())
        for security in (user("ada", "hunter3"), BusSecuritySettings()):
            assert (await refused(server.url, security, caplog)).code == "bus_refused"
        in_url = server.url.replace("//", "//ada:hunter3@")
        assert "user 'ada'" in (await refused(in_url, BusSecuritySettings(), caplog)).message


async def test_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A password without user is a token."""
    with private_nats(tmp_path, f'authorization {{ token: "{SECRET}" }}') as server:
        await works(server.url, user("", SECRET))
        await works(server.url.replace("//", f"//{SECRET}@"), BusSecuritySettings())
        assert (await refused(server.url, user("", "hunter3"), caplog)).code == "bus_refused"


async def test_nkey(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The server's nonce is signed with the seed of the file; another key is refused, and a broken file too."""
    known, other = NKey("U"), NKey("U")
    files = {name: tmp_path / f"{name}.nk" for name in ("known", "other", "account", "broken")}
    seeds = (f"# a comment\n{known.seed}\n", other.seed, NKey("A").seed, f"{known.seed[:-4]}AAAA")
    for file, seed in zip(files.values(), seeds, strict=True):
        file.write_text(seed)
    with private_nats(tmp_path, f"authorization {{ users: [{{ nkey: {known.public} }}] }}") as server:
        await works(server.url, BusSecuritySettings(nkey=files["known"]))
        for name in ("other", "account", "broken"):
            error = await refused(server.url, BusSecuritySettings(nkey=files[name]), caplog)
            assert (error.code, str(files[name]) in error.message) == ("bus_refused", True)
            assert other.seed not in error.message
        missing = await refused(server.url, BusSecuritySettings(nkey=tmp_path / "nowhere"), caplog)
        assert "No such file" in missing.message


async def test_credentials_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A user JWT and its seed are accepted; those of another operator are refused."""
    operator = Operator()
    mine, foreign = operator.credentials(tmp_path / "mine.creds"), Operator().credentials(tmp_path / "foreign.creds")
    with private_nats(tmp_path, operator.configuration, jetstream=False) as server:
        await works(server.url, BusSecuritySettings(credentials=mine))
        error = await refused(server.url, BusSecuritySettings(credentials=foreign), caplog)
        assert (error.code, "foreign.creds" in error.message) == ("bus_refused", True)


async def test_tls(encrypted: PrivateNats, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """With the right authority it works; a certificate that nobody we trust signed is refused."""
    url = encrypted.url.replace("nats://", "tls://")
    await works(url, user("ada", SECRET, ca=authority.path))
    error = await refused(url, user("ada", SECRET), caplog)
    assert (error.code, "issuer certificate" in error.message) == ("bus_refused", True)


async def test_tls_is_never_given_up(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A server without TLS gets no password from whoever asked for TLS, by the scheme or by naming an authority."""
    users = f'authorization {{ users: [{{ user: "ada", password: "{SECRET}" }}] }}'
    with private_nats(tmp_path, f"{users}\ntrace: true") as server:
        for url in (server.url.replace("nats://", "tls://"), server.url):
            error = await refused(url, user("ada", SECRET, ca=authority.path), caplog)
            assert (error.code, "offers no TLS" in error.message) == ("bus_insecure", True)
        assert "CONNECT" not in server.log


async def test_mutual_tls(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A server that asks for our certificate gets it; without one, or with a stranger's, it refuses."""
    certificate, key = authority.issue("broker")
    ours = dict(zip(("certificate", "key"), authority.issue("colony"), strict=True))
    strangers = dict(zip(("certificate", "key"), Authority(tmp_path, "stranger").issue("strange"), strict=True))
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{authority.path}", verify: true }}'
    with private_nats(tmp_path, tls) as server:
        url = server.url.replace("nats://", "tls://")
        await works(url, BusSecuritySettings(ca=authority.path, **ours))
        for shown in ({}, strangers):
            error = await refused(url, BusSecuritySettings(ca=authority.path, **shown), caplog)
            assert error.code == "bus_refused"
    broken = await refused(url, BusSecuritySettings(certificate=authority.path), caplog)
    assert broken.code == "bus_refused"


@pytest.mark.parametrize(
    ("url", "security", "lacks"),
    [
        ("nats://broker.example:4222", BusSecuritySettings(), "authentication and TLS"),
        ("nats://10.0.0.7", user("ada", SECRET), "TLS"),
        ("tls://broker.example", BusSecuritySettings(), "authentication"),
        ("nats://127.0.0.1,broker.example", user("ada", SECRET), "TLS"),
        ("nats://[2001:db8::1]:4222", BusSecuritySettings(), "authentication and TLS"),
    ],
)
def test_an_open_network_is_refused(url: str, security: BusSecuritySettings, lacks: str) -> None:
    """Beyond loopback a bus needs both authentication and TLS, unless the settings say that it does not."""
    with pytest.raises(BusInvalid) as caught:
        nats_address(url, security)
    assert caught.value.code == "bus_insecure"
    assert f"without {lacks}" in caught.value.message
    assert SECRET not in caught.value.message
    assert nats_address(url, security.model_copy(update={"insecure": True})).servers


@pytest.mark.parametrize(
    "url",
    ["nats://", "nats://h:99999", f"nats://ada:{SECRET}@h:x", "nats://h/db", "nats://h?x=1", "nats://h?prefix=a.b"],
)
async def test_unknown_url(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """What names no server is refused without quoting a password."""
    assert (await refused(url, BusSecuritySettings(), caplog)).code == "bus_url_invalid"


def test_secrets_are_not_represented() -> None:
    """Neither password nor token shows in what may be logged."""
    for login in (f"ada:{SECRET}", SECRET):
        address = nats_address(f"nats://{login}@127.0.0.1", BusSecuritySettings())
        assert SECRET not in repr(address)
        assert SECRET in repr(address.identity.options())


async def test_nobody_there() -> None:
    """A broker that does not answer is unavailable, with its address and the reason, in bounded time."""
    with pytest.raises(BusUnavailable) as caught:
        await connect_bus("nats://127.0.0.1:1")
    assert caught.value.code == "bus_disconnected"
    assert "127.0.0.1:1 cannot be reached" in caught.value.message
    assert caught.value.retry_after
