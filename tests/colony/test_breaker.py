"""Circuit breakers, alone with a manual clock, and around a MAD through the pipeline."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.access.principals import Principal
from cenoby.app.composition import Colony, open_colony
from cenoby.colony.breaker import Breaker, BreakerView, CircuitState
from cenoby.colony.errors import CallInvalid, ColonyUnavailable, ToolFault
from cenoby.colony.invocation import Call, Invocation, Outcome
from cenoby.colony.mad import Mad
from cenoby.colony.tool import ToolContent, tool
from cenoby.kernel.clock import ManualClock, SystemClock
from cenoby.kernel.settings import BreakerSettings
from cenoby.kernel.settings_file import load_settings
from cenoby.store.journal import JournalQuery

ADA = Principal("ada", "default", ("developer",), "agent")
OLA = Principal("ola", "default", ("operator",), "person")
SETTINGS = BreakerSettings(failures=3, window=60, open_seconds=10, probes=1)


def breaker() -> tuple[Breaker, ManualClock, list[BreakerView]]:
    clock, seen = ManualClock(), list[BreakerView]()
    return Breaker("mad:x", SETTINGS, clock, seen.append), clock, seen


def fail(circuit: Breaker, times: int) -> None:
    for _ in range(times):
        circuit.enter()
        circuit.failed("it broke")


def test_so_many_failures_in_a_row_open_it() -> None:
    """Two and a success and two leave it closed; a third in a row opens it, with the reason and when to come back."""
    circuit, _, seen = breaker()
    fail(circuit, 2)
    circuit.enter()
    circuit.succeeded()
    fail(circuit, 2)
    circuit.enter()
    circuit.failed("the last straw")
    with pytest.raises(ColonyUnavailable, match="the last straw") as refused:
        circuit.enter()
    assert (refused.value.code, refused.value.retry_after) == ("circuit_open", 10)
    assert [one.state for one in seen] == [CircuitState.OPEN]


def test_failures_far_apart_do_not_open_it() -> None:
    """A failure after the window begins the count anew."""
    circuit, clock, _ = breaker()
    fail(circuit, 2)
    clock.advance(61)
    fail(circuit, 2)
    circuit.enter()


@pytest.mark.parametrize("works", [True, False])
def test_a_probe_decides(works: bool) -> None:
    """When its time is up one call goes through and no second beside it; what becomes of it closes or opens again."""
    circuit, clock, seen = breaker()
    fail(circuit, 3)
    clock.advance(10)
    circuit.enter()
    with pytest.raises(ColonyUnavailable):
        circuit.enter()
    if works:
        circuit.succeeded()
        circuit.enter()
    else:
        circuit.failed("still broken")
        with pytest.raises(ColonyUnavailable, match="still broken"):
            circuit.enter()
    assert seen[-1].state is (CircuitState.CLOSED if works else CircuitState.OPEN)


def test_a_probe_that_was_given_up_leaves_room_for_another() -> None:
    """A cancelled probe says nothing, so the next call is a probe."""
    circuit, clock, _ = breaker()
    fail(circuit, 3)
    clock.advance(10)
    circuit.enter()
    circuit.left()
    circuit.enter()


def test_what_a_person_opened_only_a_person_closes() -> None:
    """Held open, no time and no success of a call that was under way lets anything through, until it is reset."""
    circuit, clock, _ = breaker()
    circuit.enter()
    circuit.hold_open("maintenance")
    circuit.succeeded()
    clock.advance(1_000)
    with pytest.raises(ColonyUnavailable, match="maintenance") as refused:
        circuit.enter()
    assert refused.value.code == "circuit_held_open"
    circuit.reset()
    circuit.enter()


@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "left"]), st.floats(0, 30)), max_size=60))
def test_whatever_happens_it_serves_again_once_it_works(story: list[tuple[str, float]]) -> None:
    """After any history, when the time is up one success is enough for calls to go through again."""
    circuit, clock, _ = breaker()
    for what, pause in story:
        clock.advance(pause)
        try:
            circuit.enter()
        except ColonyUnavailable as refused:
            assert refused.retry_after is not None
            continue
        {"ok": circuit.succeeded, "fail": lambda: circuit.failed("no"), "left": circuit.left}[what]()
    clock.advance(SETTINGS.open_seconds)
    circuit.enter()
    circuit.succeeded()
    circuit.enter()
    assert circuit.view().state is CircuitState.CLOSED


class Moody(Mad):
    """Breaks when it is told to."""

    name = "moody"
    broken = True

    @tool("test:run", effect="reads")
    async def look(self, call: Call, polite: bool = False, node: str = "") -> ToolContent:
        """Look."""
        if node:
            raise ToolFault("node_lost", f"{node} is gone.")
        if polite:
            raise CallInvalid("arguments_invalid", "Not like this.")
        if self.broken:
            raise RuntimeError("a bug")
        return ToolContent([])


@asynccontextmanager
async def moody(folder: Path) -> AsyncIterator[tuple[Colony, Moody]]:
    overrides: dict[str, Any] = {
        "data": folder / "data",
        "mads": ["grace"],
        "breaker": {"failures": 3, "open_seconds": 3600},
        "telemetry": {"log_level": "error"},
    }
    async with open_colony(load_settings(environment={}, overrides=overrides), SystemClock()) as colony:
        mad = Moody()
        await colony.parts.ports.host.add(mad)
        yield colony, mad


async def call(colony: Colony, tool_name: str, who: Principal = ADA, **arguments: Any) -> Outcome:
    return await colony.parts.pipeline.run(Invocation(tool_name, arguments, who))


def code(outcome: Outcome) -> str:
    return outcome.error.code if outcome.error else outcome.status


async def test_a_mad_that_keeps_failing_is_left_alone(tmp_path: Path) -> None:
    """Faults in a row open its circuit, refusals do not; it is journalled, shown, and an operator closes it."""
    async with moody(tmp_path) as (colony, mad):
        assert [code(await call(colony, "mads.moody.look", polite=True)) for _ in range(5)] == ["arguments_invalid"] * 5
        assert [code(await call(colony, "mads.moody.look")) for _ in range(4)] == ["tool_failed"] * 3 + ["circuit_open"]
        mad.broken = False
        assert code(await call(colony, "mads.moody.look")) == "circuit_open"
        status = json.loads((await call(colony, "mads.grace.status", OLA)).json)
        assert [(one["name"], one["state"]) for one in status["circuits"]] == [("mad:moody", "open")]
        assert code(await call(colony, "mads.grace.close_circuit", circuit="mad:moody")) == "action_not_allowed"
        assert code(await call(colony, "mads.grace.close_circuit", OLA, circuit="mad:moody")) == "ok"
        assert code(await call(colony, "mads.moody.look")) == "ok"
        journal = colony.parts.ports.journal
        for wanted in ("circuit_open", "circuit_closed"):
            page = await journal.page(JournalQuery(code=wanted, kind="event", limit=10))
            assert len(page.records) == 1, wanted


async def test_a_lost_node_does_not_close_its_mad_off(tmp_path: Path) -> None:
    """The node broke, not the MAD, and another node or its next process serves at once: no circuit opens for that."""
    async with moody(tmp_path) as (colony, mad):
        mad.broken = False
        assert [code(await call(colony, "mads.moody.look", node="blue")) for _ in range(9)] == ["node_lost"] * 9
        assert code(await call(colony, "mads.moody.look")) == "ok"


async def test_a_person_keeps_calls_away_and_cannot_lock_themselves_out(tmp_path: Path) -> None:
    """A circuit opened by hand refuses with the reason; Grace's own never keeps her from closing it."""
    async with moody(tmp_path) as (colony, mad):
        mad.broken = False
        for circuit in ("mad:moody", "mad:grace"):
            outcome = await call(colony, "mads.grace.open_circuit", OLA, circuit=circuit, reason="upgrade")
            assert code(outcome) == "ok"
        outcome = await call(colony, "mads.moody.look")
        assert code(outcome) == "circuit_held_open"
        assert outcome.error is not None
        assert "upgrade (ola)" in outcome.error.message
        assert code(await call(colony, "mads.grace.close_circuit", OLA, circuit="mad:grace")) == "ok"
        assert code(await call(colony, "mads.grace.open_circuit", OLA, circuit="mad:moddy", reason="x")) == (
            "arguments_invalid"
        )
