"""Bad input: each gets the protocol's own error or a closed connection, in bounded time, and the next call works."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time

import pytest

from tests.gateway.conftest import META, McpHttp, RawClient, Stand, StartStand, parse_answer

SAY = "mads__probe__say"


async def works(mcp: McpHttp) -> bool:
    """Whether an ordinary call is answered."""
    result = await mcp.call(SAY, text="still here")
    return result["structuredContent"] == {"text": "still here"}


async def post(mcp: McpHttp, body: bytes, **other: str):
    headers = mcp.headers("tools/call", {"name": SAY}) | {key.replace("_", "-"): value for key, value in other.items()}
    return await mcp.raw.request("POST", "/mcp", headers, body)


def call_body(arguments: str, name: str = SAY) -> bytes:
    return (
        f'{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments},'
        f'"_meta":{json.dumps(META)}}}}}'
    ).encode()


MALFORMED = {
    "empty": b"",
    "half": b'{"jsonrpc": "2.0", "id": 1',
    "two documents": b"{}{}",
    "not a number": b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
    "byte order mark": b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}',
    "invalid utf-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}',
    "overlong utf-8": b'{"jsonrpc":"2.0","id":1,"method":"\xc0\x80"}',
    "raw nul": b'{"jsonrpc":"2.0","id":1,"method":"a\x00b"}',
    "lone surrogate": b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
    "deep array": b"[" * 10_000 + b"]" * 10_000,
    "deep object": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "endless number": b"1" * 5000,
    "python": b"{'jsonrpc': '2.0'}",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_json_gets_a_parse_error_in_both_eras(mcp: McpHttp, name: str) -> None:
    """Whatever is not JSON in UTF-8 is answered 400 with JSON-RPC's parse error, and the next call works."""
    stateless = await post(mcp, MALFORMED[name])
    await mcp.open()
    handshake = await mcp.raw.request("POST", "/mcp", mcp.session_headers(), MALFORMED[name])
    for answer in (stateless, handshake):
        assert answer.status == 400
        assert answer.json["error"]["code"] == -32700
        assert b"Traceback" not in answer.body
    assert await works(mcp)


WRONG_SHAPE = {
    "array": b"[]",
    "batch": b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    "text": b'"hello"',
    "null": b"null",
    "no version": b'{"id":1,"method":"tools/list"}',
    "old version": b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}',
    "method is a number": b'{"jsonrpc":"2.0","id":1,"method":5}',
    "id is an object": b'{"jsonrpc":"2.0","id":{},"method":"tools/list"}',
    "params is a list": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1]}',
    "params is null": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}',
    "meta is a number": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":5}}',
    "name is a list": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":[]}}',
    "arguments are a list": call_body("[1,2]"),
    "arguments are text": call_body('"text"'),
    "wide": b'{"jsonrpc":"2.0","id":1,"method":"x","params":{' + b'"a":1,' * 10_000 + b'"b":1}}',
    "900 deep": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":'
    + b'{"a":' * 900
    + b"1"
    + b"}" * 902,
}


@pytest.mark.parametrize("name", WRONG_SHAPE)
async def test_json_that_is_no_request_gets_a_json_rpc_error(mcp: McpHttp, name: str) -> None:
    """Well-formed JSON of the wrong shape is a client error in both eras: 4xx or a JSON-RPC error, never a 5xx."""
    stateless = await post(mcp, WRONG_SHAPE[name])
    assert 400 <= stateless.status < 500, (stateless.status, stateless.body)
    await mcp.open()
    handshake = await mcp.raw.request("POST", "/mcp", mcp.session_headers(), WRONG_SHAPE[name])
    assert handshake.status < 500, (handshake.status, handshake.body)
    if handshake.status == 200:
        assert "error" in handshake.message or handshake.message["result"]["isError"], handshake.body
    for answer in (stateless, handshake):
        assert b"Traceback" not in answer.body
    assert await works(mcp)


async def test_an_unknown_revision_is_named_with_those_that_are_served(mcp: McpHttp) -> None:
    """A wrong protocol version gets the error that lists the right ones, stateless and by handshake."""
    answer = await mcp.stateless(
        "tools/list",
        meta={"io.modelcontextprotocol/protocolVersion": "1999-01-01"},
        mcp_protocol_version="1999-01-01",
    )
    assert answer.status == 400
    assert answer.json["error"]["data"] == {"supported": ["2026-07-28"], "requested": "1999-01-01"}
    client = {"name": "t", "version": "1"}
    params = {"protocolVersion": "1999-01-01", "capabilities": {}, "clientInfo": client}
    shaken = await mcp.handshake("initialize", params)
    assert shaken.message["result"]["protocolVersion"] == "2025-11-25"


async def test_headers_that_disagree_with_the_body_are_refused(mcp: McpHttp) -> None:
    """Intermediaries route by headers, so a header that lies about the body is refused with its own error."""
    params = {"name": SAY, "arguments": {"text": "x"}}
    for other in (
        {"mcp_name": "mads__probe__crash"},
        {"mcp_method": "tools/list"},
        {"mcp_protocol_version": "2026-07-29"},
    ):
        answer = await mcp.stateless("tools/call", params, **other)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32020), other


@pytest.mark.parametrize("tool_name", ["mads__probe__nothing", "no_such_tool", "", "x" * 5000, "mads.probe.s\u00e4y"])
async def test_an_unknown_tool_is_a_protocol_error(mcp: McpHttp, tool_name: str) -> None:
    """An unknown tool is JSON-RPC's invalid params in both eras, not a result."""
    params = {"name": tool_name, "arguments": {}}
    answer = await mcp.stateless("tools/call", params, mcp_name="=?base64?" + _base64(tool_name) + "?=")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32602), answer.body
    await mcp.open()
    assert (await mcp.handshake("tools/call", params)).message["error"]["code"] == -32602
    assert await works(mcp)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MISFITS = {
    "missing": "{}",
    "wrong type": '{"text": 5}',
    "unknown argument": '{"text": "a", "more": 1}',
    "too long": json.dumps({"text": "x" * 1001}),
    "nul": '{"text": "a\\u0000b"}',
    "escape sequence": '{"text": "\\u001b[31m"}',
    "100 deep": '{"text": ' + "[" * 100 + "]" * 100 + "}",
}


@pytest.mark.parametrize("name", MISFITS)
async def test_arguments_that_do_not_fit_are_a_result_that_a_model_can_read(mcp: McpHttp, name: str) -> None:
    """Arguments that the schema or the sanitiser refuses come back as an error result with a code, in both eras."""
    answer = await post(mcp, call_body(MISFITS[name]))
    assert answer.status == 200, answer.body
    await mcp.open()
    handshake = await mcp.handshake("tools/call", {"name": SAY, "arguments": json.loads(MISFITS[name])})
    for result in (answer.json["result"], handshake.message["result"]):
        assert result["isError"] is True
        error = result["_meta"]["cenoby/error"]
        assert error["family"] == "invalid"
        assert result["content"][0]["text"].startswith(f"{error['code']}: ")
    assert await works(mcp)


async def test_a_tool_that_breaks_tells_nothing_of_the_inside(mcp: McpHttp) -> None:
    """An exception in a tool becomes a typed fault; its text and its traceback stay in the log."""
    result = await mcp.call("mads__probe__crash")
    assert result["isError"] is True
    assert result["_meta"]["cenoby/error"]["code"] == "tool_failed"
    assert "secret of the inside" not in json.dumps(result)


async def test_a_huge_body_is_refused_by_its_length_without_being_read(stand: Stand, mcp: McpHttp) -> None:
    """100 MB announced: 413 at once, with the connection closed, before a byte of it was sent."""
    headers = mcp.headers("tools/call", {"name": SAY}) | {"content-length": str(100 * 1024 * 1024)}
    answer = await mcp.raw.request("POST", "/mcp", headers)
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert await works(mcp)


async def test_a_huge_chunked_body_is_cut_off_at_the_limit(stand: Stand, mcp: McpHttp) -> None:
    """100 MB without a length: the gateway stops taking it at the limit and never holds more than that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    headers = mcp.headers("tools/call", {"name": SAY}) | {"host": "127.0.0.1", "transfer-encoding": "chunked"}
    head = "POST /mcp HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    writer.write(head.encode())
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = 0
    try:
        for _ in range(1600):
            writer.write(chunk)
            await writer.drain()
            sent += 65536
    except ConnectionError:
        pass
    raw = b""
    with contextlib.suppress(ConnectionError):
        raw = await reader.read(65536)
    writer.close()
    assert sent < 50 * 1024 * 1024
    assert not raw or parse_answer(raw).status == 413
    assert await works(mcp)


@pytest.mark.parametrize("dripping", ["request line", "header", "body", "bare line ends"])
async def test_a_client_that_sends_one_byte_at_a_time_is_closed(start_stand: StartStand, dripping: str) -> None:
    """A request that takes longer than request_timeout ends with its connection, wherever it is slow."""
    async with start_stand(gateway={"request_timeout": 0.5}) as stand:
        mcp = McpHttp(stand)
        headers = mcp.headers("tools/call", {"name": SAY}) | {"host": "127.0.0.1", "content-length": "1000"}
        head = "POST /mcp HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start, drip = {
            "request line": (b"", b"P"),
            "header": (head.encode() + b"x-slow: ", b"x"),
            "body": (head.encode() + b"\r\n", b" "),
            "bare line ends": (b"", b"\r\n"),
        }[dripping]
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
        writer.write(start)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 8 and not reader.at_eof():
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        lasted = time.monotonic() - began
        writer.close()
        assert lasted < 8
        assert await works(mcp)


async def test_a_silent_connection_is_closed(start_stand: StartStand) -> None:
    """A client that connects and says nothing is not kept."""
    async with start_stand(gateway={"request_timeout": 0.2}) as stand:
        assert (await RawClient(stand.port).send(b"", patience=8)).startswith(b"HTTP/1.1 408")


async def test_a_client_that_stops_reading_is_cut_off(start_stand: StartStand) -> None:
    """An answer that its client does not take is dropped after write_timeout; others are served meanwhile."""
    async with start_stand(gateway={"write_timeout": 0.5}) as stand:
        mcp = McpHttp(stand)
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.port, limit=1024)
        writer.transport.pause_reading()
        params = {"name": "mads__probe__large", "arguments": {"size": 6_000_000}, "_meta": META}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        headers = mcp.headers("tools/call", params) | {"host": "127.0.0.1", "content-length": str(len(body))}
        head = "POST /mcp HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        writer.write(head.encode() + body)
        await asyncio.sleep(0.3)
        assert await works(mcp)
        await asyncio.sleep(2)
        writer.transport.resume_reading()
        received = 0
        try:
            while piece := await reader.read(65536):
                received += len(piece)
        except ConnectionError:
            pass
        writer.close()
        assert received < 12_000_000
        assert await works(mcp)


HTTP_DEFECTS = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nul in header": b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx: a\x00b\r\n\r\n",
    "nul in path": b"GET /he\x00alth HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    "high bytes in path": b"GET /\xff\xfe HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    "two lengths": b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}",
    "length and chunks": b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\n"
    b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -1\r\n\r\n",
    "bad chunk": b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("name", HTTP_DEFECTS)
async def test_broken_http_is_answered_or_closed(stand: Stand, mcp: McpHttp, name: str) -> None:
    """What is not HTTP gets a 4xx or a closed connection."""
    raw = await RawClient(stand.port).send(HTTP_DEFECTS[name], patience=2)
    assert not raw or 400 <= parse_answer(raw).status < 500, raw[:200]
    assert await works(mcp)


async def test_endless_headers_are_cut_off(stand: Stand, mcp: McpHttp) -> None:
    """Headers beyond 64 KiB end the connection before they are held."""
    head = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    raw = await RawClient(stand.port).send(head + b"x-large: " + b"a" * 300_000)
    assert not raw or parse_answer(raw).status == 431
    many = b"".join(b"x-%d: 1\r\n" % number for number in range(20_000))
    raw = await RawClient(stand.port).send(head + many)
    assert not raw or parse_answer(raw).status == 431
    assert await works(mcp)


@pytest.mark.parametrize(
    "line", ["transfer-encoding: identity, chunked", "transfer-encoding: gzip, chunked", "HTTP/2.0"]
)
async def test_framing_that_two_readers_see_differently_is_refused(stand: Stand, mcp: McpHttp, line: str) -> None:
    """Another coding before chunked, and another version: 400, and what follows on the connection is not read."""
    headers = mcp.headers("tools/call", {"name": SAY}) | {"host": "127.0.0.1"}
    version, further = (line, "transfer-encoding: chunked") if line.startswith("HTTP") else ("HTTP/1.1", line)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = call_body('{"text": "hidden"}')
    request = f"POST /mcp {version}\r\n{head}{further}\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    answer = parse_answer(await RawClient(stand.port).send(request * 2))
    assert answer.status == 400
    assert not stand.records("mads.probe.say")
    assert await works(mcp)
