"""Asking a model over HTTP: the real client, the real egress guard, and a local server that misbehaves on demand."""

import asyncio
import random
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.cli.demo_servers import HttpRequest, LocalServer, Mishap, ScriptedModelServer
from cenoby.kernel.clock import ManualClock
from cenoby.kernel.codec import from_json
from cenoby.kernel.errors import CenobyError, NotFound
from cenoby.kernel.settings import EgressSettings, ModelSettings
from cenoby.models.catalogue import Catalogue, ModelInputError, ModelRequest
from cenoby.models.client import Completion, ModelClient
from cenoby.models.offers import offered_names
from cenoby.models.price import NOTHING, Meter
from cenoby.models.refusal import ModelFault, ModelUnavailable
from cenoby.models.token_counts import TokenCounter
from cenoby.protection.egress import EgressGuard, EgressRefused

KEY = "sk-very-secret-0123456789"


class SecretMissing(NotFound):
    codes = {"test_secret_missing": "only here"}


class Desk:
    """A client at a server, with a clock that moves only while the client sleeps."""

    def __init__(self, address: str, url: str, **model: Any) -> None:
        self.clock = ManualClock()
        self.slept: list[float] = []
        self.secret = KEY
        self.reads = 0
        self.url = url
        self.counter = TokenCounter()
        self.egress = EgressGuard(EgressSettings(allow=[address]))
        entry: dict[str, Any] = {
            "name": "small",
            "model": "scripted",
            "url": url,
            "key": "provider-key",
            "input_usd_per_million": 2,
            "output_usd_per_million": 10,
            "max_output_tokens": 50,
        }
        self.catalogue = Catalogue([ModelSettings(**{**entry, **model})], self.counter)
        self.client = ModelClient(
            self.egress, self.read_secret, self.counter, self.clock, sleep=self.sleep, chance=random.Random(1)
        )
        self.meter = Meter(NOTHING)

    async def read_secret(self, name: str, url: str) -> str:
        assert (name, url) == ("provider-key", self.url)
        self.reads += 1
        return self.secret

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def request(self, prompt: str = "one two three", **more: Any) -> ModelRequest:
        return self.catalogue.request(prompt, **more)

    async def ask(
        self,
        prompt: str = "one two three",
        on_delta: Callable[[str], Awaitable[None]] | None = None,
        within: float = 60,
    ) -> Completion:
        deadline_ns = self.clock.now_ns() + round(within * 1e9)
        return await self.client.complete(self.request(prompt), self.meter, deadline_ns=deadline_ns, on_delta=on_delta)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedModelServer]:
    async with ScriptedModelServer(key=KEY) as running:
        yield running


@pytest.fixture
async def desk(server: ScriptedModelServer) -> AsyncIterator[Desk]:
    made = Desk(server.address, server.url)
    yield made
    await made.egress.aclose()


class Deltas(list[str]):
    async def __call__(self, text: str) -> None:
        self.append(text)


async def test_an_answer_is_charged_by_the_reported_tokens(desk: Desk, server: ScriptedModelServer) -> None:
    """Text, reason, tokens and cost come back; the provider's own name, the cap and the key went out."""
    answer = await desk.ask()
    assert (answer.model, answer.text, answer.finish_reason) == ("small", "You said: one two three", "stop")
    assert (answer.charge.input_tokens, answer.charge.output_tokens, answer.charge.estimated) == (4, 5, False)
    assert answer.charge.micro_usd == 4 * 2 + 5 * 10 == desk.meter.charge.micro_usd
    body = from_json(server.requests[0].body)
    assert (body["model"], body["max_tokens"]) == ("scripted", 50)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_streamed_answer_arrives_in_pieces_and_costs_the_same(desk: Desk) -> None:
    """The pieces add up to the text, there are several, and the usage at the end of the stream is charged."""
    deltas = Deltas()
    answer = await desk.ask(on_delta=deltas)
    assert "".join(deltas) == answer.text == "You said: one two three"
    assert len(deltas) == 5
    assert (answer.finish_reason, answer.charge.micro_usd, answer.charge.estimated) == ("stop", 58, False)


@pytest.mark.parametrize("streamed", [False, True])
async def test_without_reported_usage_the_bound_is_charged(streamed: bool) -> None:
    """A provider that does not say what it used is charged what was reserved, and the answer says so."""
    async with ScriptedModelServer(reports_usage=False) as server:
        desk = Desk(server.address, server.url, key=None)
        answer = await desk.ask(on_delta=Deltas() if streamed else None)
        await desk.egress.aclose()
    assert answer.charge == desk.request().bound
    assert answer.charge.estimated


async def test_the_key_is_read_for_every_attempt(desk: Desk, server: ScriptedModelServer) -> None:
    """A key that was rotated between two attempts is the one that the second attempt sends."""
    server.fail(Mishap(status=500))
    await desk.ask()
    assert desk.reads == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
async def test_a_passing_refusal_is_tried_again(desk: Desk, server: ScriptedModelServer, status: int) -> None:
    """Two failures and a success are a success, charged once, after growing waits."""
    server.fail(Mishap(status=status), Mishap(status=status))
    answer = await desk.ask()
    assert answer.charge.micro_usd == 58
    assert len(server.requests) == 3
    assert len(desk.slept) == 2


async def test_retry_after_is_honoured(desk: Desk, server: ScriptedModelServer) -> None:
    """The provider's wish is longer than our own step, so it counts."""
    server.fail(Mishap(status=429, headers={"Retry-After": "17"}))
    await desk.ask()
    assert desk.slept == [17.0]


async def test_a_wait_beyond_the_deadline_ends_at_once(desk: Desk, server: ScriptedModelServer) -> None:
    """Nobody sleeps into a deadline; the error says when to come back, and nothing is charged."""
    server.fail(Mishap(status=429, headers={"Retry-After": "600"}))
    with pytest.raises(ModelUnavailable) as caught:
        await desk.ask(within=30)
    assert (caught.value.code, caught.value.retry_after) == ("model_rate_limited", 600.0)
    assert desk.slept == []
    assert desk.meter.charge == NOTHING


async def test_attempts_are_counted(desk: Desk, server: ScriptedModelServer) -> None:
    """A provider that keeps failing is asked four times."""
    server.fail(*[Mishap(status=500, message="out of order")] * 9)
    with pytest.raises(ModelUnavailable, match="out of order") as caught:
        await desk.ask()
    assert caught.value.code == "model_failed"
    assert len(server.requests) == 4
    assert desk.meter.charge == NOTHING


@pytest.mark.parametrize(
    ("status", "message", "error", "code"),
    [
        (400, "bad temperature", ModelInputError, "model_request_refused"),
        (400, "This model's maximum context length is 8192 tokens", ModelInputError, "prompt_too_long"),
        (413, "", ModelInputError, "prompt_too_long"),
        (401, "bad key", ModelFault, "model_key_refused"),
        (403, "not yours", ModelFault, "model_key_refused"),
        (402, "pay first", ModelFault, "model_unpaid"),
        (429, "You exceeded your current quota (insufficient_quota)", ModelFault, "model_unpaid"),
        (404, "no such model", ModelFault, "model_gone"),
        (301, "", ModelFault, "model_gone"),
    ],
)
async def test_a_lasting_refusal_is_told_at_once(
    desk: Desk, server: ScriptedModelServer, status: int, message: str, error: type[CenobyError], code: str
) -> None:
    """No second attempt, no charge, the right family, and the provider's own words."""
    server.fail(Mishap(status=status, message=message))
    with pytest.raises(error) as caught:
        await desk.ask()
    assert caught.value.code == code
    assert message in caught.value.message
    assert [request.method for request in server.requests].count("POST") == 1
    assert desk.meter.charge == NOTHING


@pytest.mark.parametrize("status", [504, 524])
async def test_a_gateway_that_gave_up_may_have_been_billed(
    desk: Desk, server: ScriptedModelServer, status: int
) -> None:
    """The model behind it may have answered: not tried again, charged at the bound, and said so."""
    server.fail(Mishap(status=status))
    with pytest.raises(ModelUnavailable) as caught:
        await desk.ask()
    assert len(server.requests) == 1
    assert desk.meter.charge == desk.request().bound
    assert caught.value.details == {"charged_micro_usd": desk.request().bound.micro_usd}


@pytest.mark.parametrize("kind", ["cut", "vanish"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_lost_connection_may_have_been_billed(
    desk: Desk, server: ScriptedModelServer, kind: Any, streamed: bool
) -> None:
    """Once the request was sent, losing the answer is no reason to pay twice: one attempt, charged at the bound."""
    server.fail(Mishap(kind=kind))
    with pytest.raises(ModelUnavailable) as caught:
        await desk.ask(on_delta=Deltas() if streamed else None)
    assert caught.value.code == "model_cut_off"
    assert len(server.requests) == 1
    assert desk.meter.charge == desk.request().bound


async def test_a_provider_that_hangs_is_left_at_the_timeout(server: ScriptedModelServer) -> None:
    """The model's own timeout ends the call, charged at the bound."""
    desk = Desk(server.address, server.url, timeout=0.2)
    server.fail(Mishap(kind="hang"))
    with pytest.raises(ModelUnavailable) as caught:
        await desk.ask()
    await desk.egress.aclose()
    assert caught.value.code == "model_timeout"
    assert desk.meter.charge == desk.request().bound


async def test_a_cancelled_call_leaves_the_bound_on_the_meter(desk: Desk, server: ScriptedModelServer) -> None:
    """Whoever pays sees, however the call ended, what it may have cost."""
    server.fail(Mishap(kind="hang"))
    call = asyncio.create_task(desk.ask())
    await server.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert desk.meter.charge == desk.request().bound


async def test_nobody_there_is_tried_again_and_costs_nothing() -> None:
    """A request that was never sent is safe to repeat."""
    async with ScriptedModelServer() as server:
        address, url = server.address, server.url
    desk = Desk(address, url)
    with pytest.raises(ModelUnavailable) as caught:
        await desk.ask()
    await desk.egress.aclose()
    assert caught.value.code == "model_unreachable"
    assert len(desk.slept) == 3
    assert desk.meter.charge == NOTHING


async def test_an_address_inside_is_refused_without_a_charge(server: ScriptedModelServer) -> None:
    """A model's URL passes the egress guard like any other; the error is the guard's own."""
    desk = Desk("198.51.100.1:1", server.url)
    with pytest.raises(EgressRefused):
        await desk.ask()
    await desk.egress.aclose()
    assert desk.meter.charge == NOTHING
    assert server.requests == []


async def test_the_key_is_in_no_error(desk: Desk, server: ScriptedModelServer) -> None:
    """A provider that quotes the key, whole or starred out, is quoted without it, in the traceback too."""
    server.fail(Mishap(status=401, message=f"Incorrect API key {KEY}, not sk-abc***xyz. Authorization: Bearer {KEY}"))
    with pytest.raises(ModelFault) as caught:
        await desk.ask()
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.to_wire())
    assert KEY not in shown
    assert "xyz" not in caught.value.message
    assert "[key]" in caught.value.message


@pytest.mark.parametrize("secret", ["sk-a\nb", "sk-é", "two words", "sk-\x00"])
async def test_a_key_that_no_header_can_hold_is_never_sent_or_shown(
    desk: Desk, server: ScriptedModelServer, secret: str
) -> None:
    """It would otherwise come back inside the HTTP library's complaint."""
    desk.secret = secret
    with pytest.raises(ModelFault) as caught:
        await desk.ask()
    assert caught.value.code == "model_key_refused"
    assert secret not in caught.value.message
    assert server.requests == []


async def test_a_newline_after_the_key_is_forgiven(desk: Desk) -> None:
    """Keys are pasted from files."""
    desk.secret = f" {KEY}\n"
    assert (await desk.ask()).text


async def test_a_missing_secret_is_told_as_it_is(desk: Desk, server: ScriptedModelServer) -> None:
    """The vault's own error reaches the caller; nothing was sent, nothing is charged."""

    async def missing(name: str, url: str) -> str:
        raise SecretMissing("test_secret_missing", name)

    client = ModelClient(desk.egress, missing, desk.counter, desk.clock)
    with pytest.raises(SecretMissing):
        await client.complete(desk.request(), desk.meter, deadline_ns=desk.clock.now_ns() + 10**10)
    assert server.requests == []
    assert desk.meter.charge == NOTHING


async def test_a_learnt_dialect_is_kept(desk: Desk, server: ScriptedModelServer) -> None:
    """The rename that a server asks for is made at once, and the next call starts with it."""
    server.fail(Mishap(status=400, message="Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."))
    await desk.ask()
    await desk.ask()
    fields = [sorted(from_json(request.body)) for request in server.requests]
    assert fields == [
        ["max_tokens", "messages", "model"],
        ["max_completion_tokens", "messages", "model"],
        ["max_completion_tokens", "messages", "model"],
    ]
    assert desk.slept == []


async def test_a_renamed_model_is_answered_with_what_the_provider_offers(server: ScriptedModelServer) -> None:
    """The error names the nearest of the provider's own list, so that the entry in the settings can be mended."""
    desk = Desk(server.address, server.url, model="scripted-2")
    with pytest.raises(ModelFault, match="The provider offers: scripted") as caught:
        await desk.ask()
    await desk.egress.aclose()
    assert (caught.value.code, caught.value.details) == ("model_gone", {"offered": ["scripted"]})
    assert desk.meter.charge == NOTHING


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_no_list_of_models_breaks_the_reader(entries: Any) -> None:
    """Whatever a server lists, there are names, or none."""
    assert all(isinstance(name, str) for name in offered_names({"data": entries}))
    assert offered_names(entries) == []
    assert offered_names({"data": [{"id": "a"}, {"id": 3}, "b", {"id": "x\n"}]}) == ["a"]


class RawServer(LocalServer):
    """Answers every request with the same bytes, and closes where it had promised more."""

    def __init__(self, content_type: str, body: bytes, missing: int = 0) -> None:
        super().__init__()
        self._missing = missing
        self._answer = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body) + missing}\r\n\r\n".encode()
            + body
        )

    async def serve(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(self._answer)
        if self._missing:
            writer.close()


def events(*messages: bytes) -> bytes:
    return b"".join(b"data: " + message + b"\n\n" for message in messages)


SAID = b'{"choices":[{"delta":{"content":"hi"}}]}'
ENDED = b'{"choices":[{"delta":{},"finish_reason":"stop"}]}'
COUNTED = b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1}}'


async def ask_raw(
    content_type: str, body: bytes, *, streamed: bool, missing: int = 0
) -> tuple[Desk, Completion | CenobyError, Sequence[str]]:
    deltas = Deltas()
    async with RawServer(content_type, body, missing) as server:
        desk = Desk(server.address, f"http://{server.address}")
        result: Completion | CenobyError
        try:
            result = await desk.ask(on_delta=deltas if streamed else None)
        except CenobyError as error:
            result = error
        await desk.egress.aclose()
    return desk, result, deltas


@pytest.mark.parametrize(
    ("content_type", "body", "streamed"),
    [
        ("text/event-stream; charset=utf-8", events(SAID, ENDED, COUNTED, b"[DONE]"), False),
        ("text/event-stream", events(SAID, ENDED, COUNTED), True),
        ("text/event-stream", b": ping\n\n" + events(SAID, ENDED, COUNTED) + b"data: [DONE]", True),
        (
            "application/json",
            b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],'
            b'"usage":{"prompt_tokens":7,"completion_tokens":1}}',
            True,
        ),
    ],
)
async def test_what_the_server_sends_counts_not_what_it_was_asked_for(
    content_type: str, body: bytes, streamed: bool
) -> None:
    """A stream where none was asked for, a whole answer where a stream was, no farewell, no blank line at the end."""
    _, answer, deltas = await ask_raw(content_type, body, streamed=streamed)
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.charge.micro_usd) == ("hi", "stop", 24)
    assert list(deltas) == (["hi"] if streamed else [])


async def test_a_stream_that_breaks_after_the_last_word_is_an_answer() -> None:
    """What is lost then is the farewell; without the usage that may have come with it the bound is charged."""
    desk, answer, _ = await ask_raw("text/event-stream", events(SAID, ENDED), streamed=True, missing=100)
    assert isinstance(answer, Completion)
    assert (answer.text, answer.charge) == ("hi", desk.request().bound)


async def test_a_stream_that_ends_in_the_middle_is_no_answer() -> None:
    """A proxy that closes a stream politely has lost the answer all the same."""
    _, error, deltas = await ask_raw("text/event-stream", events(SAID), streamed=True)
    assert isinstance(error, ModelUnavailable)
    assert error.code == "model_cut_off"
    assert list(deltas) == ["hi"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>welcome</html>"),
        ("application/json", b"{}"),
        ("application/json", b"[1]"),
        ("application/json", b'{"choices":' + b"[" * 100_000),
        ("text/event-stream", events(b"not json")),
        ("application/json", b"\xff\xfe"),
    ],
)
async def test_an_answer_that_is_none_is_a_fault_charged_at_the_bound(content_type: str, body: bytes) -> None:
    """Something answered 200, so something may have been billed."""
    desk, error, _ = await ask_raw(content_type, body, streamed=False)
    assert isinstance(error, ModelFault)
    assert error.code == "model_answer_invalid"
    assert desk.meter.charge == desk.request().bound


async def test_an_error_inside_a_stream_ends_it() -> None:
    """Some providers report a failure in the middle of an answer of status 200; its own count of tokens is charged."""
    failure = b'{"error":{"message":"overloaded"},"usage":{"prompt_tokens":7,"completion_tokens":1}}'
    desk, error, deltas = await ask_raw("text/event-stream", events(SAID, failure), streamed=True)
    assert isinstance(error, ModelUnavailable)
    assert error.code == "model_failed"
    assert "overloaded" in error.message
    assert list(deltas) == ["hi"]
    assert desk.meter.charge.micro_usd == 24


async def test_usage_that_cannot_be_true_is_charged_at_the_bound() -> None:
    """Text without output tokens: the server counts nothing, so it is not believed."""
    body = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":7,"completion_tokens":0}}'
    desk, answer, _ = await ask_raw("application/json", body, streamed=False)
    assert isinstance(answer, Completion)
    assert answer.charge == desk.request().bound


async def test_a_provider_that_adds_tokens_raises_the_next_bound() -> None:
    """The first such call costs more than its bound; the next one's bound covers it."""
    body = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":5000,"completion_tokens":1}}'
    desk, answer, _ = await ask_raw("application/json", body, streamed=False)
    assert isinstance(answer, Completion)
    assert answer.charge.micro_usd == 10_010
    assert desk.request().bound.input_tokens >= 5000


async def test_an_endless_answer_is_cut(server: ScriptedModelServer) -> None:
    """More bytes than the cap on tokens explains are not read."""
    body = b'{"choices":[{"message":{"content":"' + b"x" * 2_000_000 + b'"}}]}'
    desk, error, _ = await ask_raw("application/json", body, streamed=False)
    assert isinstance(error, EgressRefused)
    assert error.code == "egress_too_large"
    assert desk.meter.charge == desk.request().bound
