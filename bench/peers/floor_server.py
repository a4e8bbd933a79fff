"""Peer: the floor. Raw ASGI and msgspec that answer the call and check nothing. Argument: port."""

from __future__ import annotations

import sys

import msgspec
import uvicorn

decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        part = await receive()
        body += part.get("body", b"")
        if not part.get("more_body"):
            break
    message = decoder.decode(body)
    text = message["params"]["arguments"]["text"]
    result = {"content": [{"type": "text", "text": text}], "structuredContent": {"text": text}, "isError": False}
    answer = encoder.encode({"jsonrpc": "2.0", "id": message["id"], "result": result})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


uvicorn.run(
    app,
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="error",
    access_log=False,
    loop="uvloop",
    http="httptools",
    lifespan="off",
)
