"""The local servers that the demo and the tests talk to."""

import asyncio
import contextlib

import httpx2
import pytest

from cenoby.cli.demo_servers import Mishap, PageServer, ScriptedModelServer

CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "one two"}]}


async def test_pages_redirects_and_what_is_not_there() -> None:
    """Fixed pages with their types, one kept-alive connection, a redirect that is not followed, and a plain 404."""
    pages = {"/": ("text/html; charset=utf-8", "<h1>é</h1>".encode()), "/old": ("redirect", b"/")}
    async with PageServer(pages) as server, httpx2.AsyncClient() as client:
        page = await client.get(server.url("/?query"))
        assert (page.status_code, page.text, page.headers["content-type"]) == (200, "<h1>é</h1>", pages["/"][0])
        moved = await client.get(server.url("/old"))
        assert (moved.status_code, moved.headers["location"]) == (302, "/")
        assert (await client.get(server.url("/nowhere"))).status_code == 404
        assert [request.path for request in server.requests] == ["/?query", "/old", "/nowhere"]


async def test_the_scripted_model_speaks_the_protocol() -> None:
    """The list of models, a whole answer with usage, and the same answer as events that end with [DONE]."""
    async with (
        ScriptedModelServer(lambda messages: f"{len(messages)} message") as server,
        httpx2.AsyncClient() as client,
    ):
        listed = (await client.get(f"{server.url}/models")).json()
        assert [entry["id"] for entry in listed["data"]] == ["scripted"]
        whole = (await client.post(f"{server.url}/chat/completions", json=CHAT)).json()
        assert whole["choices"][0]["message"] == {"role": "assistant", "content": "1 message"}
        assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        stream = await client.post(f"{server.url}/chat/completions", json={**CHAT, "stream": True})
        events = [line for line in stream.text.splitlines() if line]
        assert len(events) == 4
        assert events[-1] == "data: [DONE]"


@pytest.mark.parametrize(
    ("body", "status"), [(CHAT | {"model": "other"}, 404), ({"model": "scripted"}, 400), ([1], 400), (None, 400)]
)
async def test_the_scripted_model_refuses_like_a_provider(body: object, status: int) -> None:
    """A model that it does not offer, and bodies that are no chat, get an error object."""
    async with ScriptedModelServer() as server, httpx2.AsyncClient() as client:
        answer = await client.post(f"{server.url}/chat/completions", json=body)
        assert (answer.status_code, "message" in answer.json()["error"]) == (status, True)


async def test_the_key_is_checked() -> None:
    """Without the right key there is nothing to be had."""
    async with ScriptedModelServer(key="right") as server, httpx2.AsyncClient() as client:
        assert (await client.get(f"{server.url}/models")).status_code == 401
        headers = {"authorization": "Bearer right"}
        assert (await client.get(f"{server.url}/models", headers=headers)).status_code == 200


async def test_mishaps_come_in_the_order_they_were_asked_for() -> None:
    """One request each, then all is well again; closing the server ends even those that hang."""
    async with ScriptedModelServer() as server, httpx2.AsyncClient() as client:
        server.fail(Mishap(status=429, headers={"Retry-After": "3"}), Mishap(kind="vanish"))
        limited = await client.get(f"{server.url}/models")
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
        with pytest.raises(httpx2.TransportError):
            await client.get(f"{server.url}/models")
        assert (await client.get(f"{server.url}/models")).status_code == 200
        server.fail(Mishap(kind="hang"))
        server.arrived.clear()
        hanging = asyncio.create_task(client.get(f"{server.url}/models"))
        await server.arrived.wait()
    with pytest.raises((httpx2.TransportError, asyncio.CancelledError)):
        await hanging


async def test_nonsense_gets_no_answer_and_does_no_harm() -> None:
    """Bytes that are no HTTP end their connection and nothing else."""
    async with ScriptedModelServer() as server:
        for nonsense in (b"\r\n\r\n", b"x" * 100_000, b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*server.address.split(":"))
            writer.write(nonsense)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"{server.url}/models")).status_code == 200
