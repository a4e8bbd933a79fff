"""The guarded way out, against real servers on this machine."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import EgressSettings
from cenoby.protection.egress import EgressFailed, EgressGuard
from cenoby.protection.egress_policy import EgressPolicy, EgressRefused

Respond = Callable[["Asked"], Awaitable[bytes] | bytes]


class Asked:
    """One request as a test server saw it."""

    def __init__(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        self.body = b""


class Site:
    """A web server whose answers a test scripts byte for byte; keeps what it was asked."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await self._answer(reader, writer)
        writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked = Asked(head[:-4])
        asked.body = await reader.readexactly(int(asked.headers.get("content-length", "0")))
        self.asked.append(asked)
        answer = self.respond(asked)
        writer.write(answer if isinstance(answer, bytes) else await answer)
        await writer.drain()


@asynccontextmanager
async def serving(respond: Respond, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    site = Site(respond)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        await server.wait_closed()
        for task in site.tasks:
            task.cancel()
        await asyncio.gather(*site.tasks)


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    fields = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    return (
        f"HTTP/1.1 {status}\r\n".encode()
        + "".join(f"{n}: {v}\r\n" for n, v in fields.items()).encode()
        + b"\r\n"
        + body
    )


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, location=location)


def settings(*allow: str, **changes: object) -> EgressSettings:
    return EgressSettings.model_validate({"allow": list(allow), "timeout": 5} | changes)


def names(**found: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """A resolver that knows these names (underscores are dots) and counts what it was asked in `resolver.asked`."""
    table = {name.replace("_", "."): addresses for name, addresses in found.items()}

    async def resolver(host: str, port: int) -> list[str]:
        resolver.asked.append(host)  # type: ignore[attr-defined]
        if host not in table:
            raise OSError("no such name")
        return table[host]

    resolver.asked = []  # type: ignore[attr-defined]
    return resolver


async def refusal(work: Awaitable[object]) -> CenobyError:
    with pytest.raises((EgressRefused, EgressFailed)) as caught:
        await work
    return caught.value


async def test_a_page_is_fetched_with_its_name_kept() -> None:
    """The connection goes to the resolved address, and the server sees the name in Host, once looked up."""
    resolver = names(site_example=["127.0.0.1"])
    async with (
        serving(lambda _: answer(b"hello", content_type="text/plain", x_more="1")) as site,
        EgressGuard(settings(f"site.example:{site.port}"), resolver=resolver) as guard,
    ):
        url = f"http://site.example:{site.port}/a?b=c"
        got = await guard.fetch("GET", url, {"X-Mine": "yes"})
        again = await guard.fetch("GET", url)
    assert (got.url, got.status, got.body, got.hops) == (url, 200, b"hello", (url,))
    assert got.headers["content-type"] == "text/plain"
    assert again.body == b"hello"
    assert site.asked[0].headers["host"] == f"site.example:{site.port}"
    assert site.asked[0].headers["x-mine"] == "yes"
    assert site.asked[0].path == "/a?b=c"
    assert resolver.asked == ["site.example"]  # type: ignore[attr-defined]
    assert site.connections == 1


async def test_an_inside_server_is_out_of_reach_without_an_exception() -> None:
    """A real listener on loopback is never connected to."""
    async with serving(lambda _: answer(b"secret")) as site, EgressGuard(settings(ports=[site.port])) as guard:
        error = await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))
        by_name = await refusal(guard.fetch("GET", f"http://localhost:{site.port}/"))
    assert (error.code, by_name.code) == ("egress_address", "egress_address")
    assert f"127.0.0.1:{site.port} to egress.allow" in error.message
    assert site.connections == 0


@pytest.mark.parametrize("bad", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"])
async def test_one_bad_address_spoils_the_answer(bad: str) -> None:
    """A name with a good and an inside address is refused as a whole, whatever their order."""
    for addresses in ([bad], ["93.184.216.34", bad], [bad, "93.184.216.34"]):
        async with EgressGuard(settings(), resolver=names(rebind_example=addresses)) as guard:
            assert (await refusal(guard.fetch("GET", "http://rebind.example/"))).code == "egress_address"


async def test_a_changed_answer_is_checked_again() -> None:
    """A name that led outside and then leads inside (rebinding) is refused at the next connection."""
    answers = iter([["127.0.0.1"], ["127.0.0.1", "169.254.169.254"]])

    async def resolver(host: str, port: int) -> list[str]:
        return next(answers)

    async with (
        serving(lambda _: answer(b"ok", connection="close")) as site,
        EgressGuard(settings(f"site.example:{site.port}"), resolver=resolver) as guard,
    ):
        assert (await guard.fetch("GET", f"http://site.example:{site.port}/")).body == b"ok"
        site.respond = lambda _: answer(b"never")
        error = await refusal(guard.fetch("GET", f"http://site.example:{site.port}/"))
    assert error.code == "egress_address"
    assert len(site.asked) == 1


async def test_an_excepted_name_never_leads_to_metadata() -> None:
    """An exception for a name lets it lead inside, but not to a metadata service; that takes the address itself."""
    async with EgressGuard(settings("inner.example:80"), resolver=names(inner_example=["169.254.169.254"])) as guard:
        assert (await refusal(guard.fetch("GET", "http://inner.example/"))).code == "egress_address"
    assert EgressPolicy(settings("169.254.169.254:80")).check("http://169.254.169.254/")


async def test_names_without_addresses_are_unreachable() -> None:
    """No such name, an empty answer and a nonsense answer are all `egress_unreachable`, as is a closed port."""
    async with serving(lambda _: answer()) as site:
        port = site.port
    resolver = names(empty_example=[], odd_example=["not an address"])
    async with EgressGuard(settings(f"127.0.0.1:{port}"), resolver=resolver) as guard:
        urls = ["http://gone.example/", "http://empty.example/", "http://odd.example/", f"http://127.0.0.1:{port}/"]
        codes = [(await refusal(guard.fetch("GET", url))).code for url in urls]
    assert codes == ["egress_unreachable"] * 4


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    """Of several checked addresses the first that accepts is used."""
    async with (
        serving(lambda _: answer(b"ok")) as site,
        EgressGuard(
            settings(f"two.example:{site.port}"), resolver=names(two_example=["127.0.0.9", "127.0.0.1"])
        ) as guard,
    ):
        assert (await guard.fetch("GET", f"http://two.example:{site.port}/")).body == b"ok"


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "egress_address"),
        ("http://0x7f.1/", "egress_address"),
        ("//[::1]/", "egress_address"),
        ("http://elsewhere.example:22/", "egress_port"),
        ("file:///etc/passwd", "egress_url"),
        ("http://u:p@elsewhere.example/", "egress_url"),
        ("http://rebind.example/", "egress_address"),
        ("http://[oops/", "egress_url"),
    ],
)
async def test_redirects_are_checked_like_first_addresses(location: str, code: str) -> None:
    """A page outside cannot send the guard inside, to another port, or to another scheme."""
    async with (
        serving(lambda _: redirect(location)) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}"), resolver=names(rebind_example=["10.0.0.1"])) as guard,
    ):
        assert (await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))).code == code


async def test_redirects_are_followed_and_counted() -> None:
    """Five hops are followed and reported; a loop ends at the limit."""

    def respond(asked: Asked) -> bytes:
        step = int(asked.path[1:])
        return redirect(str(step + 1)) if step < 5 else answer(b"there")

    async with serving(respond) as site, EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard:
        got = await guard.fetch("GET", f"http://127.0.0.1:{site.port}/0")
        site.respond = lambda _: redirect("/again")
        error = await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/0"))
    assert got.body == b"there"
    assert [hop.rsplit("/", 1)[1] for hop in got.hops] == ["0", "1", "2", "3", "4", "5"]
    assert got.url.endswith("/5")
    assert error.code == "egress_redirects"


async def test_credentials_stay_with_their_origin() -> None:
    """Authorization, cookies and private headers go on within an origin, and never to another one."""
    sent = {"Authorization": "Bearer t", "Cookie": "a=b", "X-Api-Key": "k", "Accept": "text/html"}
    async with serving(lambda asked: answer(b"other")) as other:

        def respond(asked: Asked) -> bytes:
            return redirect("/two") if asked.path == "/one" else redirect(f"http://127.0.0.1:{other.port}/three")

        async with (
            serving(respond) as site,
            EgressGuard(settings(f"127.0.0.1:{site.port}", f"127.0.0.1:{other.port}")) as guard,
        ):
            assert (await guard.fetch("GET", f"http://127.0.0.1:{site.port}/one", sent)).body == b"other"
        assert [asked.headers.get("authorization") for asked in site.asked] == ["Bearer t", "Bearer t"]
        arrived = other.asked[0].headers
    assert arrived["accept"] == "text/html"
    assert not {"authorization", "cookie", "x-api-key"} & arrived.keys()


async def test_set_cookies_are_not_kept_between_fetches() -> None:
    """Nothing that one answer sets travels with a later request of somebody else."""
    async with (
        serving(lambda _: answer(b"", set_cookie="session=1; Path=/")) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard,
    ):
        for _ in range(2):
            await guard.fetch("GET", f"http://127.0.0.1:{site.port}/")
    assert "cookie" not in site.asked[1].headers


@pytest.mark.parametrize(
    ("status", "method", "seen"),
    [
        ("303 See Other", "POST", ("GET", b"")),
        ("302 Found", "POST", ("GET", b"")),
        ("307 Temporary", "POST", ("POST", b"data")),
    ],
)
async def test_bodies_follow_redirects_as_the_status_says(status: str, method: str, seen: tuple[str, bytes]) -> None:
    """303 and 302 turn a POST into a GET; 307 repeats it (RFC 9110, section 15.4)."""
    async with (
        serving(lambda asked: redirect("/b", status) if asked.path == "/a" else answer()) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard,
    ):
        await guard.fetch(method, f"http://127.0.0.1:{site.port}/a", body=b"data")
    assert (site.asked[1].method, site.asked[1].body) == seen


async def test_a_body_is_not_sent_on_to_another_origin() -> None:
    """307 to somewhere else would carry the data there: refused."""
    async with (
        serving(lambda _: redirect("http://elsewhere.example/", "307 Temporary Redirect")) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard,
    ):
        error = await refusal(guard.fetch("POST", f"http://127.0.0.1:{site.port}/", body=b"data"))
    assert error.code == "egress_redirects"


async def test_large_answers_are_cut_off_early() -> None:
    """A body without end is dropped at the limit, with or without a stated length."""

    async def endless(_: Asked) -> bytes:
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 40

    async with serving(endless) as site, EgressGuard(settings(f"127.0.0.1:{site.port}", max_bytes=100_000)) as guard:
        chunked = await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))
        site.respond = lambda _: answer(b"x" * 100_001)
        stated = await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))
        site.respond = lambda _: answer(b"x" * 100_000)
        assert len((await guard.fetch("GET", f"http://127.0.0.1:{site.port}/")).body) == 100_000
    assert (chunked.code, stated.code) == ("egress_too_large", "egress_too_large")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_compression_bomb_is_stopped_at_the_limit(coding: str) -> None:
    """A few kilobytes that unfold to hundreds of megabytes cost the limit, not the whole."""
    bomb = zlib.compress(bytes(300_000_000), 9) if coding == "deflate" else gzip.compress(bytes(300_000_000), 9)
    bomb = gzip.compress(bomb) if "," in coding else bomb
    async with (
        serving(lambda _: answer(bomb, content_encoding=coding)) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}", max_bytes=1_000_000)) as guard,
    ):
        assert (await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))).code == "egress_too_large"


async def test_compressed_answers_are_unfolded() -> None:
    """Ordinary gzip arrives as plain bytes; damaged gzip is a typed error."""
    async with (
        serving(lambda _: answer(gzip.compress(b"plain text"), content_encoding="gzip")) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard,
    ):
        assert (await guard.fetch("GET", f"http://127.0.0.1:{site.port}/")).body == b"plain text"
        site.respond = lambda _: answer(b"not gzip at all", content_encoding="gzip")
        assert (await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))).code == "egress_answer"


async def test_a_slow_server_meets_the_deadline() -> None:
    """Silence, one byte at a time, and a redirect chain of slow hops all end at the same total deadline."""

    async def silent(_: Asked) -> bytes:
        await asyncio.sleep(60)
        return answer()

    async def slow_hops(_: Asked) -> bytes:
        await asyncio.sleep(0.1)
        return redirect("/again")

    async with (
        serving(silent) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}", timeout=0.3, max_redirects=1000)) as guard,
    ):
        assert (await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))).code == "egress_timeout"
        site.respond = slow_hops
        assert (await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))).code == "egress_timeout"


async def test_nonsense_instead_of_http_is_a_typed_error() -> None:
    """Bytes that are no HTTP, an answer cut short, and endless headers are `egress_answer`."""
    endless = b"HTTP/1.1 200 OK\r\n" + b"x-pad: y\r\n" * 100_000
    for bytes_back in (b"SSH-2.0-OpenSSH_9\r\n\r\n", endless):
        async with serving(lambda _, b=bytes_back: b) as site, EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard:
            assert (await refusal(guard.fetch("GET", f"http://127.0.0.1:{site.port}/"))).code == "egress_answer"


async def test_header_and_method_injection_is_refused() -> None:
    """Line ends in headers or methods never reach the wire, and framing headers of a caller are not sent."""
    async with serving(lambda _: answer()) as site, EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard:
        url = f"http://127.0.0.1:{site.port}/"
        for method, headers in (
            ("GET", {"x": "a\r\nHost: evil"}),
            ("GET /x HTTP/1.1\r\nX: y", {}),
            ("GET", {"a b": "c"}),
        ):
            assert (await refusal(guard.fetch(method, url, headers))).code == "egress_url"
        await guard.fetch("POST", url, {"Host": "evil", "Content-Length": "99", "Transfer-Encoding": "chunked"}, b"abc")
    assert len(site.asked) == 1
    assert site.asked[0].headers["host"] == f"127.0.0.1:{site.port}"
    assert site.asked[0].body == b"abc"


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names a proxy does not reroute what leaves."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(lambda _: answer(b"direct")) as site, EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard:
        assert (await guard.fetch("GET", f"http://127.0.0.1:{site.port}/")).body == b"direct"


async def test_a_stream_is_read_line_by_line() -> None:
    """Server-sent events arrive as lines; U+2028 inside one does not split it; a redirect is shown, not followed."""
    text = 'data: {"a": "x\u2028y"}\r\n\r\ndata: [DONE]\n\nrest'
    async with (
        serving(lambda _: answer(text.encode(), content_type="text/event-stream")) as site,
        EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard,
    ):
        url = f"http://127.0.0.1:{site.port}/v1"
        async with guard.stream("POST", url, {"accept": "text/event-stream"}, b"{}") as got:
            lines = [line async for line in got.lines()]
        site.respond = lambda _: redirect("http://169.254.169.254/")
        async with guard.stream("GET", url) as moved:
            status = moved.status
    assert (got.status, got.headers["content-type"]) == (200, "text/event-stream")
    assert lines == ['data: {"a": "x\u2028y"}', "", "data: [DONE]", "", "rest"]
    assert status == 302


async def test_a_stream_keeps_limits_too() -> None:
    """Address, size and deadline hold for streams; leaving one early closes its connection."""

    async def stalls(_: Asked) -> bytes:
        return b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ndata: 1\n"

    async def read(guard: EgressGuard, url: str, **limits: float) -> None:
        async with guard.stream("GET", url, **limits) as got:  # type: ignore[arg-type]
            async for _ in got.lines():
                pass

    async with serving(stalls) as site, EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard:
        url = f"http://127.0.0.1:{site.port}/"
        async with guard.stream("GET", url) as got:
            async for line in got.lines():
                assert line == "data: 1"
                break
        assert (await refusal(read(guard, url, timeout=0.2))).code == "egress_timeout"
        assert (await refusal(read(guard, url, max_bytes=3))).code == "egress_too_large"
        assert (await refusal(read(guard, "http://[::1]/"))).code == "egress_address"


async def test_errors_of_the_reader_are_its_own() -> None:
    """What a consumer raises while reading a stream comes out unchanged, a TimeoutError included."""
    async with serving(lambda _: answer(b"x")) as site, EgressGuard(settings(f"127.0.0.1:{site.port}")) as guard:
        with pytest.raises(TimeoutError):
            async with guard.stream("GET", f"http://127.0.0.1:{site.port}/"):
                raise TimeoutError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server context with a certificate for `secure.example` alone, and a client context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "secure.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("secure.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory: Path = tmp_path_factory.mktemp("tls")
    chain, secret = directory / "cert.pem", directory / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, secret)
    return server, ssl.create_default_context(cafile=str(chain))


async def test_tls_checks_the_name_though_the_address_is_pinned(
    authority: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """SNI and the certificate check use the name of the URL; another name at the same address fails."""
    server, client = authority
    seen: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: seen.append(name)
    resolver = names(secure_example=["127.0.0.1"], other_example=["127.0.0.1"])
    async with serving(lambda _: answer(b"secure"), tls=server) as site:
        allowed = settings(f"secure.example:{site.port}", f"other.example:{site.port}")
        async with EgressGuard(allowed, resolver=resolver, ssl_context=client) as guard:
            assert (await guard.fetch("GET", f"https://secure.example:{site.port}/")).body == b"secure"
            error = await refusal(guard.fetch("GET", f"https://other.example:{site.port}/"))
    assert seen == ["secure.example", "other.example"]
    assert error.code == "egress_unreachable"
    assert "certificate" in error.message
