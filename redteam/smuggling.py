"""Requests of which two readers see different things: HTTP framing, headers beside bodies, and JSON.

Every attack carries a call that must not run, of a tool that the caller may use; stopped is what did not run it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

from redteam import wire
from redteam.house import House, suite
from redteam.report import Report, Room
from redteam.target import REACHED

_TOOL, _OTHER, _FILE = "mads.target.say", "mads.target.visit", "mads.target.open_file"
EVIL = "smuggled-call"
_PATIENCE = 3.0
_AT_ONCE = 16
_GOVERNED = "governed"
_LENGTHS = ("+{}", "-{}", "0x{:x}", "{},{}", "{}, {}", "1e2", "{}.0", "\xb2{}", "{}\r\ncontent-length: 3", "00000{}x")
_CODINGS = (
    "chunked, identity",
    "identity, chunked",
    "xchunked",
    "chunked\r\ntransfer-encoding: x",
    "x\r\ntransfer-encoding: chunked",
    "\x0bchunked",
    "chun\x00ked",
    "chunked;q=1",
    '"chunked"',
    "gzip, chunked",
    "chunked, chunked",
    "cow",
    " chunked \t",
)
_CHUNKS = (
    b"%x;a\nb\r\n%b\r\n0\r\n\r\n",
    b"0x%x\r\n%b\r\n0\r\n\r\n",
    b"+%x\r\n%b\r\n0\r\n\r\n",
    b"-%x\r\n%b\r\n0\r\n\r\n",
    b"%x\n%b\n0\n\n",
    b"%x\r%b\r0\r\r",
    b" %x\r\n%b\r\n0\r\n\r\n",
    b"%x\r\n%bXX0\r\n\r\n",
    b"%x_\r\n%b\r\n0\r\n\r\n",
    b"fffffffffffffffff%x\r\n%b\r\n0\r\n\r\n",
    b"%x\r\n%b\r\n0\r\n",
)


def _evil(house: House) -> bytes:
    """A whole request that runs the call; to be hidden in another one."""
    body = json.dumps(wire.tool_call(_TOOL, {"text": EVIL})).encode()
    return wire.written(body, house.tokens["ada"], _TOOL)


def _framing(house: House) -> Iterator[tuple[str, bytes]]:
    """A request whose body hides a second one, for readers that disagree on where the first one ends (RFC 9112)."""
    token, hidden = "nobody", _evil(house)
    for length in _LENGTHS:
        text = length.replace("{:x}", f"{len(hidden):x}").replace("{}", "0")
        yield f"content-length {length!r}", _raw(hidden, token, {"content-length": text})
    for coding in _CODINGS:
        both = {"transfer-encoding": coding, "content-length": str(len(hidden) + 5)}
        yield f"both, {coding!r}", _raw(b"0\r\n\r\n" + hidden, token, both)
        alone = {"transfer-encoding": coding, "content-length": ""}
        yield f"transfer-encoding {coding!r}", _raw(b"0\r\n\r\n" + hidden, token, alone)
    for name in (
        "transfer-encoding ",
        " transfer-encoding",
        "transfer-encoding\t",
        "transfer_encoding",
        "content-length ",
    ):
        yield (
            f"header {name!r}",
            _raw(b"0\r\n\r\n" + hidden, token, {name: "chunked", "content-length": str(len(hidden) + 5)}),
        )
    lines = _raw(b"", token, {"x-a": "b\r\n\r\n" + hidden.decode("latin-1")})
    yield "a header that ends the head", lines[: lines.find(b"\r\n\r\n")].replace(b"\r\n", b"\n")
    yield "a folded header", _raw(b"", token, {"x-a": "b\r\n authorization: Bearer " + house.tokens["ada"]})
    for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/11"):
        yield f"version {version!r}", _raw(hidden, token, {}).replace(b"HTTP/1.1", version, 1)


def _chunked(house: House) -> Iterator[tuple[str, bytes]]:
    """Chunks that are not written as RFC 9112 says, with the call in them."""
    body = json.dumps(wire.tool_call(_TOOL, {"text": EVIL})).encode()
    for form in _CHUNKS:
        head = {"transfer-encoding": "chunked", "content-length": ""}
        yield f"chunk {form!r}", _raw(form % (len(body), body), house.tokens["ada"], head)


def _raw(body: bytes, token: str, headers: dict[str, str]) -> bytes:
    return wire.written(b"", token, _TOOL, headers, keep=True) + body


def _bodies(house: House) -> Iterator[tuple[str, bytes]]:
    """JSON that parsers read differently, or that lies about its headers; the token works."""
    token = house.tokens["ada"]
    bad = json.dumps(wire.tool_call(_TOOL, {"text": EVIL}))
    for name in (
        _OTHER,
        "mads.grace.status",
        "mads__target__visit",
        "MADS.TARGET.SAY",
        f"{_TOOL}\t{_OTHER}",
        "=?base64?eA==?=",
    ):
        yield f"named {name!r} in the header", wire.written(bad.encode(), token, name)
    yield "another method in the header", wire.written(bad.encode(), token, _TOOL, {"mcp-method": "tools/list"})
    yield (
        "another revision in the header",
        wire.written(bad.encode(), token, _TOOL, {"mcp-protocol-version": "2025-11-25"}),
    )
    odd = {
        "batch": f"[{bad}]",
        "two": bad + bad,
        "trailing": bad + "]",
        "comment": "/**/" + bad,
        "single quotes": bad.replace('"', "'"),
        "trailing comma": bad[:-1] + ",}",
        "byte order mark": "\ufeff" + bad,
        "NaN": bad.replace('"id": 1', '"id": NaN'),
        "Infinity": bad.replace('"id": 1', '"id": Infinity'),
        "1e999": bad.replace('"id": 1', '"id": 1e999'),
        "lone surrogate": bad.replace(EVIL, EVIL + "\\ud800"),
        "nul": bad.replace(EVIL, EVIL + "\\u0000"),
        "unknown argument": bad.replace('"text"', '"more": 1, "text"'),
        "hidden key": bad.replace('"text"', '"te\u200bxt": "a", "text"'),
        "deep": bad.replace(f'"{EVIL}"', "[" * 600 + f'"{EVIL}"' + "]" * 600),
        "id is an object": bad.replace('"id": 1', '"id": {}'),
        "deep in meta": bad.replace('"_meta": {', '"_meta": {"x": ' + "[" * 5000 + "]" * 5000 + ", "),
        "prototype": bad.replace('"text"', '"__proto__": {"text": "x"}, "text"'),
        "number as text": bad.replace(f'"{EVIL}"', "7"),
        "arguments as text": bad.replace('{"text": "smuggled-call"}', json.dumps(json.dumps({"text": EVIL}))),
        "large number": bad.replace('"text"', '"n": 1' + "0" * 4000 + ', "text"'),
        "large": bad.replace(EVIL, EVIL + "x" * 2_000_000),
    }
    for what, body in odd.items():
        yield f"JSON: {what}", wire.written(body.encode("utf-8", "surrogatepass"), token, _TOOL)
    for charset in ("utf-16", "utf-32", "cp037"):
        yield (
            f"JSON in {charset}",
            wire.written(bad.encode(charset), token, _TOOL, {"content-type": f"application/json; charset={charset}"}),
        )
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/xml"):
        yield f"content-type {kind!r}", wire.written(bad.encode(), token, _TOOL, {"content-type": kind})


def _doubled(house: House) -> Iterator[tuple[str, bytes]]:
    """Members that stand twice: what is checked must be what runs, whichever it is (RFC 8259, section 4)."""
    token = house.tokens["ada"]
    good = json.dumps(wire.tool_call(_TOOL, {"text": EVIL}))
    call, listing, named = '"method": "tools/call"', '"method": "tools/list"', f'"name": "{_TOOL}"'
    governed = '"name": "mads.target.govern"'
    pairs = {
        "method": (call, f"{listing}, {call}", listing),
        "method, turned": (call, f"{call}, {listing}", call),
        "method, escaped": (call, listing + ", " + call.replace("method", "m\\u0065thod"), listing),
    }
    for what, (old, new, header) in pairs.items():
        body = good.replace(old, new).encode()
        yield f"{what} twice", wire.written(body, token, _TOOL, {"mcp-method": header.split('"')[3]})
    for first, second in ((governed, named), (named, governed), (governed, named.replace("name", "n\u0061me"))):
        body = json.dumps(wire.tool_call(_TOOL, {"text": EVIL})).replace(named, f"{first}, {second}").encode()
        for header in (_TOOL, "mads.target.govern"):
            yield f"{_GOVERNED} by a name that stands twice", wire.written(body, token, header)
    good = json.dumps(wire.tool_call(_FILE, {"path": f"../../{EVIL}"}))
    fine, inner_fine = '"arguments": {"path": "fine"}', '"path": "fine"'
    whole = good[good.index('"arguments"') : good.index(', "_meta"')]
    for first, second in ((fine, whole), (whole, fine), (fine, whole.replace("arguments", "argument\u0073"))):
        yield "arguments twice", wire.written(good.replace(whole, f"{first}, {second}").encode(), token, _FILE)
    inner = whole[whole.index("{") + 1 : -1]
    for first, second in ((inner_fine, inner), (inner, inner_fine), (inner_fine, inner.replace("path", "p\\u0061th"))):
        yield "an argument twice", wire.written(good.replace(inner, f"{first}, {second}").encode(), token, _FILE)


async def attack(house: House, room: Room) -> Report:
    """Send each; the call in it must not run, and an innocent one goes through afterwards."""
    report = Report()
    innocent = await house.call("ada", _TOOL, text="innocent")
    report.control(f"an innocent call was refused: {innocent.code}", passed=innocent.code == "ok")
    body = json.dumps(wire.tool_call(_TOOL, {"text": "in chunks"})).encode()
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    head = {"transfer-encoding": "chunked", "content-length": "", "connection": "close"}
    await wire.send(house.port, _raw(chunks, house.tokens["ada"], head))
    report.control("a call in good chunks did not run", passed="in chunks" in REACHED)
    drawn = list(room.draw([*_framing(house), *_chunked(house), *_bodies(house), *_doubled(house)]))
    # Some are answered by silence, so many at once; each carries a mark of its own.
    for start in range(0, len(drawn), _AT_ONCE):
        numbered = list(enumerate(drawn[start : start + _AT_ONCE], start))
        await asyncio.gather(*(_try(house, report, f"smuggled-{number:04}", *one) for number, one in numbered))
    after = await house.call("ada", _TOOL, text="afterwards")
    report.control(f"the colony does not answer afterwards: {after.code}", passed=after.code == "ok")
    return report


async def _try(house: House, report: Report, mark: str, what: str, request: bytes) -> None:
    marked = request.replace(EVIL.encode(), mark.encode())
    heard = await wire.send(house.port, marked, patience=_PATIENCE)
    sign = mark if mark.encode() in marked else EVIL
    # Of a name that stands twice, the harmless tool may run.
    ran = any(sign in text and (_GOVERNED not in what or text.startswith("govern ")) for text in REACHED)
    report.count(f"{what}: {heard.status} {heard.code}", stopped=not ran and heard.status < 500)


play = suite(attack)
