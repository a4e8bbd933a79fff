"""Taking bodies in: whole, bounded each and together, and given back."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from cenoby.gateway.errors import GatewayUnavailable
from cenoby.gateway.intake import BodyInvalid, Intake, read_json, replay


def receiving(*pieces: bytes, whole: bool = True) -> Any:
    """An ASGI receive that gives these pieces, and then says that the client went."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if whole:
        messages[-1]["more_body"] = False
    messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return receive


SCOPE: dict[str, Any] = {"type": "http", "headers": []}


@pytest.mark.parametrize("pieces", [(b"abc",), (b"a", b"", b"bc"), (b"", b"abc"), (b"a", b"b", b"c", b"")])
async def test_a_body_is_put_together(pieces: tuple[bytes, ...]) -> None:
    """However it comes, the body is whole."""
    assert await Intake(10).read(SCOPE, receiving(*pieces), "a") == b"abc"


async def test_a_body_beyond_the_limit_is_refused_as_soon_as_that_is_known() -> None:
    """By its announced length before it is read, and without one at the piece that goes too far."""
    intake = Intake(10)
    announced = {"type": "http", "headers": [(b"content-length", b"11")]}
    for scope, pieces in ((announced, (b"",)), (SCOPE, (b"x" * 6, b"x" * 6)), (SCOPE, (b"x" * 11,))):
        with pytest.raises(BodyInvalid) as refused:
            await intake.read(scope, receiving(*pieces, whole=False), "a")
        assert refused.value.code == "body_too_large"
    with pytest.raises(ConnectionResetError):
        await intake.read(SCOPE, receiving(b"x", whole=False), "a")


async def test_bodies_of_all_requests_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the bodies under way fill what there is, one more is turned away until some are released."""
    monkeypatch.setattr("cenoby.gateway.intake._MOST_HELD", 100)
    intake = Intake(25)
    for agent in ("a", "b", "c", "d"):
        await intake.read(SCOPE, receiving(b"x" * 25), agent)
    with pytest.raises(GatewayUnavailable) as full:
        await intake.read(SCOPE, receiving(b"x" * 10), "e")
    assert full.value.code == "bodies_full"
    assert full.value.retry_after
    intake.release("a", 25)
    assert len(await intake.read(SCOPE, receiving(b"x" * 25), "e")) == 25


async def test_the_bodies_of_one_agent_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that sends as much as it can is turned away at its share; another's body is taken in all the same."""
    monkeypatch.setattr("cenoby.gateway.intake._MOST_HELD", 100)
    intake = Intake(25)
    await intake.read(SCOPE, receiving(b"x" * 20), "a")
    with pytest.raises(GatewayUnavailable):
        await intake.read(SCOPE, receiving(b"x" * 10), "a")
    assert len(await intake.read(SCOPE, receiving(b"x" * 25), "b")) == 25
    intake.release("a", 20)
    assert len(await intake.read(SCOPE, receiving(b"x" * 25), "a")) == 25


async def test_refused_bodies_hold_nothing() -> None:
    """A thousand bodies that were refused or broken off leave all the room there was."""
    intake = Intake(1_000_000)
    for _ in range(1000):
        for pieces, whole in (((b"x" * 999_999, b"xx"), True), ((b"x" * 500_000,), False)):
            with pytest.raises((BodyInvalid, ConnectionResetError)):
                await intake.read(SCOPE, receiving(*pieces, whole=whole), "a")
    assert await intake.read(SCOPE, receiving(b"abc"), "a") == b"abc"


async def test_a_replayed_body_is_given_once() -> None:
    """Whoever reads after us sees the body once, and then what the client does."""
    receive = replay(b"abc", receiving(b"later"))
    assert (await receive())["body"] == b"abc"
    assert (await receive())["body"] == b"later"


async def test_a_replayed_body_is_not_kept() -> None:
    """Once it was given, nothing of ours refers to it, however long its reader waits for the client."""
    body = bytes(bytearray(1000))
    before = sys.getrefcount(body)
    receive = replay(body, receiving(b"later"))
    assert sys.getrefcount(body) > before
    assert len((await receive())["body"]) == 1000
    assert sys.getrefcount(body) == before


@pytest.mark.parametrize("text", [b"\xff", b'"\xed\xa0\x80"', b"[" * 2000 + b"]" * 2000, b"1e999", b"{", b""])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Everything that is not JSON in UTF-8 is one error, whatever the parser called it."""
    with pytest.raises(BodyInvalid) as refused:
        read_json(text)
    assert refused.value.code == "body_malformed"


def test_nesting_has_a_limit_of_its_own() -> None:
    """512 levels are parsed and one more is refused, by every interpreter; brackets that do not nest or stand in texts
    do not count."""

    def nested(levels: int) -> bytes:
        return (
            b'{"a":' * (levels // 2)
            + b"[" * (levels - levels // 2)
            + b"]" * (levels - levels // 2)
            + b"}" * (levels // 2)
        )

    assert read_json(nested(512))
    for deep in (nested(513), b"[" + b'"]\\"]",' + nested(512) + b"]"):
        with pytest.raises(BodyInvalid, match="512 levels"):
            read_json(deep)
    assert len(read_json(b"[" + b"[]," * 5000 + b"{}]")) == 5001
    assert read_json(b'["' + b'[{\\"[' * 5000 + b'"]') == ['[{"[' * 5000]
