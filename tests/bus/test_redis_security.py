"""Who we are at Redis and how the way there is protected; no secret is ever told."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import BusInvalid, BusUnavailable
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.ids import new_id
from cenoby.kernel.settings import BusSecuritySettings
from tests.bus.redis_server import private_redis
from tests.bus.tls_files import Authority

SECRET = "hunter2-and-more"
ACL = "~cenoby:* &cenoby:* +@read +@write +@pubsub +@scripting +@connection +@stream +time"


def envelope(recipient: str, payload: Any = None) -> Envelope:
    return Envelope(
        id=new_id(), tenant="default", correlation="c1", sender="tester", recipient=recipient, event="greeting.v1",
        payload=payload,
    )  # fmt: skip


async def works(url: str, security: BusSecuritySettings, *, plain: str = "main.*.plain") -> None:
    """Everything that a bus does, once."""
    bus = await connect_bus(url, security=security)
    heard = asyncio.Event()

    async def echo(one: Envelope) -> Any:
        heard.set()
        return one.payload

    try:
        await bus.subscribe(plain, echo)
        await bus.subscribe("main.echo", echo, group="g")
        await bus.publish(envelope("main.a.plain"))
        await asyncio.wait_for(heard.wait(), 30)
        assert await asyncio.wait_for(bus.request(envelope("main.echo", 5)), 30) == 5
    finally:
        await bus.close()


async def refusal(url: str, security: BusSecuritySettings | None = None) -> BusInvalid:
    with pytest.raises(BusInvalid) as caught:
        await connect_bus(url, security=security or BusSecuritySettings())
    assert SECRET not in caught.value.message
    return caught.value


def known(user: str = "colony", password: str = SECRET, **more: Any) -> BusSecuritySettings:
    return BusSecuritySettings(user=user, password=SecretStr(password), **more)


async def test_acl_user_with_the_least_rights(tmp_path: Path) -> None:
    """The rights that the module names are enough, by the settings or by the URL."""
    users = f"--user colony on >{SECRET} {ACL} --user wide on >{SECRET} {ACL} &* --user default off"
    users += f" --user named on >{SECRET} {ACL} &cenoby:0:bus:s:main.*.plain"
    with private_redis(tmp_path, *users.split()) as server:
        await works(server.url, known(), plain="main.a.plain")
        await works(server.url.replace("//", f"//colony:{SECRET}@"), BusSecuritySettings(), plain="main.a.plain")
        await works(server.url, known("wide"))
        await works(server.url, known("named"))
        with pytest.raises(BusInvalid) as refused:
            await works(server.url, known())
        assert refused.value.code == "bus_refused"


async def test_wrong_credentials_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password, an unknown user, none at all, or a missing right: bus_refused, and never a secret."""
    caplog.set_level(logging.DEBUG)
    poor = f"--user poor on >{SECRET} {ACL} -@scripting".split()
    deaf = f"--user deaf on >{SECRET} {ACL.replace('&cenoby:*', '')} resetchannels".split()
    with private_redis(tmp_path, "--requirepass", f"{SECRET}!", *poor, *deaf) as server:
        for security in (known(), known("nobody"), known("poor"), known("deaf"), known("", SECRET), None):
            refused = await asyncio.wait_for(refusal(server.url, security), 30)
            assert refused.code == "bus_refused", security
        in_url = await refusal(server.url.replace("//", f"//colony:{SECRET}@"))
        assert in_url.code == "bus_refused"
        await works(server.url, known("", f"{SECRET}!"))
    assert SECRET not in caplog.text


async def test_revoked_rights_are_told_at_the_next_call(tmp_path: Path) -> None:
    """An ACL that changes while we are connected shows in the call, and giving it back heals."""
    with private_redis(tmp_path) as server, redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "colony", "on", f">{SECRET}", *ACL.split())
        bus = await connect_bus(server.url, security=known())
        admin.execute_command("ACL", "SETUSER", "colony", "-@scripting")
        with pytest.raises(BusInvalid) as refused:
            await bus.publish(envelope("main.x"))
        assert refused.value.code == "bus_refused"
        admin.execute_command("ACL", "SETUSER", "colony", "+@scripting")
        await bus.publish(envelope("main.x"))
        await bus.close()


async def test_tls_and_mutual_tls(tmp_path: Path) -> None:
    """The broker's certificate is checked against our authority alone, and ours by the broker where it asks."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    certificate, key = authority.issue("server")
    ours, our_key = authority.issue("colony")
    forged, forged_key = stranger.issue("forged")
    options = ["--port", "0", "--tls-port", "PORT", "--tls-ca-cert-file", str(authority.path)]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    (tmp_path / "mutual").mkdir()
    with (
        private_redis(tmp_path, *options, "--tls-auth-clients", "no") as server,
        private_redis(tmp_path / "mutual", *options, "--tls-auth-clients", "yes") as mutual,
    ):
        url, mutual_url = (one.url.replace("redis://", "rediss://") for one in (server, mutual))
        await works(url, BusSecuritySettings(ca=authority.path))
        await works(mutual_url, BusSecuritySettings(ca=authority.path, certificate=ours, key=our_key))
        wrong = [
            (url, BusSecuritySettings()),
            (url, BusSecuritySettings(ca=stranger.path)),
            (url.replace("127.0.0.1", "localhost"), BusSecuritySettings(ca=authority.path)),
            (mutual_url, BusSecuritySettings(ca=authority.path)),
            (mutual_url, BusSecuritySettings(ca=authority.path, certificate=forged, key=forged_key)),
            (url, BusSecuritySettings(ca=tmp_path / "missing.pem")),
            (url, BusSecuritySettings(ca=authority.path, certificate=ours, key=forged_key)),
        ]
        for place, security in wrong:
            assert (await refusal(place, security)).code == "bus_refused", security


@pytest.mark.parametrize(
    ("url", "security", "missing"),
    [
        ("redis://192.0.2.1:6379/0", BusSecuritySettings(), "authentication and TLS"),
        (f"redis://u:{SECRET}@192.0.2.1/0", BusSecuritySettings(), "without TLS"),
        ("redis://redis.example", known(), "without TLS"),
        ("rediss://[2001:db8::1]:6379", BusSecuritySettings(), "without authentication"),
        ("redis://127.0.0.1.example", BusSecuritySettings(), "authentication and TLS"),
    ],
)
async def test_network_without_protection_is_refused(url: str, security: BusSecuritySettings, missing: str) -> None:
    """Beyond loopback it takes authentication and TLS; nothing is sent before that is known."""
    refused = await refusal(url, security)
    assert refused.code == "bus_insecure"
    assert missing in refused.message


async def test_insecure_must_be_said() -> None:
    """With `insecure`, a broker in the network is tried without protection."""
    with pytest.raises(BusUnavailable) as tried:
        # TCP port 1 of an address that is this machine's and not in 127.0.0.0/8 as text.
        await connect_bus("redis://0.0.0.0:1/0", security=BusSecuritySettings(insecure=True))
    assert tried.value.code == "bus_disconnected"


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis://h:x", f"redis://u:{SECRET}@h:99999999", "redis://127.0.0.1/zero", "redis://127.0.0.1/-1",
        "redis://127.0.0.1?prefix=", "redis://127.0.0.1?prefix=a:b", f"redis://:{SECRET}@127.0.0.1?socket_timeout=1",
    ],
)  # fmt: skip
async def test_urls_that_name_no_redis(url: str) -> None:
    """What does not parse, or asks for options there are not, is refused without quoting the URL."""
    assert (await refusal(url)).code == "bus_url_invalid"


async def test_nobody_there() -> None:
    """A broker that is not there makes the start unavailable, and tells no password."""
    with pytest.raises(BusUnavailable) as caught:
        await connect_bus(f"redis://u:{SECRET}@127.0.0.1:1/0")
    assert caught.value.code == "bus_disconnected"
    assert caught.value.retry_after
    assert SECRET not in caught.value.message
