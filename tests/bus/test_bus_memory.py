"""What is particular to the in-process bus: references, the forced codec, and its URL."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from cenoby.bus.connect import connect_bus
from cenoby.bus.contract import BusInvalid
from cenoby.kernel.envelope import Envelope
from cenoby.kernel.errors import Refused, error_from_wire
from cenoby.telemetry.recorder import Recorder


class Parcel(msgspec.Struct, frozen=True):
    """A payload."""

    weight: int


def envelope(payload: Any) -> Envelope:
    return Envelope(
        id="1", tenant="default", correlation="c", sender="s", recipient="main.default.mad.echo", event="parcel.v1",
        payload=payload,
    )  # fmt: skip


async def echo(one: Envelope) -> Any:
    return one.payload


async def test_memory_passes_by_reference() -> None:
    """`memory://` copies nothing."""
    bus = await connect_bus("memory://")
    await bus.subscribe("main.default.mad.echo", echo, group="echo")
    parcel = Parcel(3)
    assert await bus.request(envelope(parcel)) is parcel
    await bus.close()


async def test_codec_passes_the_plain_form() -> None:
    """`memory://?codec=msgpack` hands over what another process would see, and refuses what could not get there."""
    bus = await connect_bus("memory://?codec=msgpack")
    await bus.subscribe("main.default.mad.echo", echo, group="echo")
    assert await bus.request(envelope(Parcel(3))) == {"weight": 3}
    for operation in (bus.publish, bus.request):
        with pytest.raises(BusInvalid) as caught:
            await operation(envelope(object()))
        assert caught.value.code == "bus_payload_invalid"
    await bus.close()


async def test_deliveries_are_recorded() -> None:
    """A published envelope leaves a span for its wait and one for its handling, under its correlation."""
    recorder = Recorder(10)
    bus = await connect_bus("memory://", trace=recorder.record)
    handled = asyncio.Event()

    async def fails_second(one: Envelope) -> None:
        if one.payload == 2:
            handled.set()
            raise RuntimeError

    await bus.subscribe("main.default.mad.echo", fails_second)
    await bus.publish(envelope(1))
    await bus.publish(envelope(2))
    await handled.wait()
    await bus.close()
    spans = recorder.spans("c")
    assert sorted((span.name, span.status) for span in spans) == [
        ("bus main.default.mad.echo", "error"), ("bus main.default.mad.echo", "ok"),
        ("handle", "error"), ("handle", "ok"), ("wait", "ok"), ("wait", "ok"),
    ]  # fmt: skip
    assert all(span.duration_ns >= 0 and span.agent == "s" for span in spans)
    assert len({span.id for span in spans}) == len(spans)


async def test_codec_refuses_an_answer_without_plain_form() -> None:
    """A responder that returns what no wire carries is found with the codec forced."""

    async def odd(_: Envelope) -> object:
        return object()

    bus = await connect_bus("memory://?codec=msgpack")
    await bus.subscribe("main.default.mad.echo", odd, group="echo")
    with pytest.raises(BusInvalid):
        await bus.request(envelope(None))
    await bus.close()


def test_error_of_a_newer_node_keeps_family_and_code() -> None:
    """A code that nobody here declares arrives as its family's class."""
    error = error_from_wire({"code": "from_the_future", "message": "No.", "family": "refused", "retry_after": 2.0})
    assert isinstance(error, Refused)
    assert error.to_wire() == {"code": "from_the_future", "message": "No.", "family": "refused", "retry_after": 2.0}
    assert not Refused.codes


@pytest.mark.parametrize("url", ["memory://?codec=pickle", "memory://?x=1", "memory://host", "carrier-pigeon://", ""])
async def test_unknown_bus_url(url: str) -> None:
    """A URL that names no transport, or an option it does not have, is refused at start."""
    with pytest.raises(BusInvalid):
        await connect_bus(url)
