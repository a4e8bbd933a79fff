"""`cenoby witness`: a witness of colonies' logs, for a machine that is not the colony's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cenoby.cli.failures import ArgumentsInvalid
from cenoby.cli.output import print_line

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def witness(
    *,
    log: Annotated[list[str], Parameter(help="Public key of a log that it watches; may be given again.", negative="")],
    folder: Annotated[Path, Parameter(help="Where it keeps its key and what it saw; losing that ends the witness.")],
    name: Annotated[str, Parameter(help="Its name in signatures.")] = "cenoby-witness",
    listen: Annotated[str, Parameter(help="Address and port.")] = "127.0.0.1:8700",
) -> None:
    """Sign checkpoints of colonies' logs that continue those before (C2SP tlog-witness); prints `ready URL KEY`.

    It speaks plain HTTP: put a TLS proxy in front where it faces a network. The key is made at the first start.
    """
    from cenoby.kernel.clock import SystemClock
    from cenoby.kernel.signing import SigningKey
    from cenoby.protection.evidence.log_keys import LogKeys
    from cenoby.protection.evidence.notes import NoteKey
    from cenoby.protection.evidence.witness import Witness

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentsInvalid("evidence_arguments_invalid", f"--folder {folder}: {error.strerror}.") from None
    key: SigningKey = LogKeys("file", folder / "witness.key", {}).ensure()[0]
    logs = [NoteKey.from_text(text) for text in log]
    asyncio.run(_serve(Witness(name, key, logs, folder, SystemClock()), listen))


async def _serve(witness: Any, listen: str) -> None:
    import uvicorn

    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise ArgumentsInvalid("evidence_arguments_invalid", f"--listen {listen!r} is no address:port.")
    config = uvicorn.Config(_application(witness), host=host, port=int(port), log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody when it has bound
        await asyncio.sleep(0.02)
    if server.started:
        bound = server.servers[0].sockets[0].getsockname()[1]
        print_line(f"ready http://{host}:{bound} {witness.public.to_text()}")
    await serving


def _application(witness: Any) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    from cenoby.protection.evidence.witness import MOST_BYTES, Reply

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more and len(body) <= MOST_BYTES:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if scope["path"] != "/add-checkpoint":
            reply = Reply(404, "There is only add-checkpoint here.\n")
        elif scope["method"] != "POST":
            reply = Reply(405, "It takes POST.\n")
        elif len(body) > MOST_BYTES:
            reply = Reply(413, "That is too long.\n")
        else:
            reply = await asyncio.to_thread(witness.add_checkpoint, body)
        headers = [(b"content-type", reply.content_type.encode())]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body.encode()})

    return application
