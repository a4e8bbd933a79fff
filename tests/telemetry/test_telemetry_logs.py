"""Logs: JSON lines with correlation ids, nothing secret in them, and no reader who can stop the colony."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.clock import ManualClock
from cenoby.kernel.settings import TelemetrySettings
from cenoby.telemetry.log_lines import LineWriter
from cenoby.telemetry.logs import configure_logging, correlation_id, get_logger


def hide(text: str) -> str:
    return text.replace("hunter2", "[redacted]")


class Output:
    def __init__(self, **settings: Any) -> None:
        self.stream = io.StringIO()
        self.writer = configure_logging(TelemetrySettings(**settings), hide, self.stream, clock=ManualClock())

    def text(self) -> str:
        assert self.writer.flush()
        return self.stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().split("\n")[:-1]]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers.clear()
    yield
    configure_logging(TelemetrySettings(), str, io.StringIO()).close()
    root.handlers[:], root.level = before, level
    logging.captureWarnings(False)
    warnings.resetwarnings()
    warnings.simplefilter("error")


def test_a_line_is_one_json_object_with_time_level_logger_and_correlation() -> None:
    """What every reader of the logs relies on."""
    output = Output()
    outer = correlation_id.set("c-1")
    get_logger("colony.test").info("mad_started", mad="rogers", tools=7)
    correlation_id.reset(outer)
    get_logger("colony.test").info("outside")
    first, second = output.lines()
    assert first == {
        "time": "2026-01-01T00:00:00.000000Z",
        "level": "info",
        "logger": "colony.test",
        "event": "mad_started",
        "correlation": "c-1",
        "mad": "rogers",
        "tools": 7,
    }
    assert "correlation" not in second


async def test_structlog_context_variables_are_merged() -> None:
    """Code that binds context in structlog's own way gets it into the lines."""
    output = Output()
    with structlog.contextvars.bound_contextvars(agent="ann"):
        get_logger("x").warning("event")
    assert output.lines()[0]["agent"] == "ann"


def test_levels_below_the_configured_one_are_not_written() -> None:
    """The level holds for Cenoby's own loggers and for the standard library's."""
    output = Output(log_level="warning")
    log = get_logger("x")
    log.debug("no")
    log.info("no")
    logging.getLogger("lib").info("no")
    log.warning("yes")
    logging.getLogger("lib").error("yes %d", 2)
    assert [line["event"] for line in output.lines()] == ["yes", "yes 2"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_reaches_a_line(log_format: str) -> None:
    """Values pass the redactor wherever they sit; values under a secret's key are never shown at all."""
    output = Output(log_format=log_format)
    log = get_logger("x")
    log.info("a hunter2", plain="hunter2", deep={"list": ["hunter2", {"x": "hunter2"}]}, other=ValueError("hunter2"))
    log.info("b", token="cby_verysecret", headers={"Authorization": "Bearer verysecret", "cookie": "verysecret"})
    log.info("c", api_key="verysecret", body=b"verysecret", nested={"password": ["verysecret"]})
    logging.getLogger("uvicorn.error").warning("d %s", "hunter2")
    try:
        raise RuntimeError("hunter2")
    except RuntimeError:
        log.exception("e")
        logging.getLogger("lib").exception("f")
    text = output.text()
    assert "hunter2" not in text
    assert "verysecret" not in text
    assert "RuntimeError" in text


def test_figures_under_a_secret_looking_key_stay() -> None:
    """`tokens=512` is a count of a model's tokens and no secret."""
    output = Output()
    get_logger("x").info("usage", tokens=512)
    assert output.lines()[0]["tokens"] == 512


def test_an_exception_is_shown_with_its_cause() -> None:
    """The traceback comes as one string field, so that a line stays a line."""
    output = Output()
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    except ValueError as error:
        get_logger("x").error("failed", exc_info=error)
    (line,) = output.lines()
    assert line["exception"].startswith("Traceback")
    assert "KeyError: 'inner'" in line["exception"]
    assert line["exception"].endswith("ValueError: outer")


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(st.characters(), max_size=20), max_size=3), st.text())
def test_any_text_makes_exactly_one_line(fields: dict[str, str], event: str) -> None:
    """Newlines, quotes, control characters and lone surrogates cannot forge a second line or break the JSON."""
    output = Output()
    get_logger("x").info(event, fields=fields)
    assert len(output.lines()) == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_text_steers_a_terminal(log_format: str) -> None:
    """Controls, C1 among them, text directions, line separators and tags are written as escapes."""
    output = Output(log_format=log_format)
    steering = "\x1b[2J\x9b1m\x7f\x85\u2028\u202e\u2066\U000e0041"
    get_logger("x").info("told", text=f"before{steering}after")
    text = output.text()
    assert "before" in text
    assert not [sign for sign in steering if not sign.isprintable() and sign in text.replace("\x1b[0m", "")]


def test_long_values_are_cut_after_they_were_redacted() -> None:
    """A huge argument costs bounded space, and a secret at the cut is still seen as one."""
    output = Output()
    get_logger("x").info("big", text="a" * 8189 + "hunter2" + "b" * 100_000)
    text = output.lines()[0]["text"]
    assert len(text) < 9000
    assert "hunt" not in text
    assert text.endswith("(108196 characters)")


def test_lines_of_uvicorn_and_warnings_are_routed() -> None:
    """Nothing is left that writes to standard error in a form of its own."""
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(io.StringIO()))
    output = Output()
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /?token=x")
    warnings.simplefilter("always")
    warnings.warn("old", stacklevel=1)
    events = [(line["logger"], line["event"].splitlines()[0]) for line in output.lines()]
    assert events[0] == ("uvicorn.error", "started")
    assert events[1][0] == "py.warnings"
    assert len(events) == 2


def test_a_log_record_that_cannot_be_formatted_harms_nobody() -> None:
    """A library's wrong format string is reported with its place and without its arguments, and the caller goes on."""
    output = Output()
    logging.getLogger().handlers[:-1] = []
    logging.getLogger("lib").warning("%d", "hunter2")
    (line,) = output.lines()
    assert line["event"] == "log_record_unusable"
    assert line["place"].startswith(__file__)


def test_before_configuration_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that fails before it read its settings can still say so, without a secret."""
    Output().writer.close()
    from cenoby.telemetry import logs

    logs._output.close()
    get_logger("early").warning("problem", token="x")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["token"]) == ("problem", "[redacted]")


def test_a_reader_who_stops_reading_stops_nobody() -> None:
    """With the pipe full and the queue full, writing returns at once and what is lost is counted and told."""
    reader, writer_end = os.pipe()
    with os.fdopen(writer_end, "w") as stream:
        writer = LineWriter(stream, depth=10)
        done = threading.Event()

        def flood() -> None:
            for number in range(2000):
                writer.write(f"{number} " + "x" * 1000)
            done.set()

        threading.Thread(target=flood, daemon=True).start()
        assert done.wait(20)
        assert writer.dropped > 0
        received = bytearray()
        drain = threading.Thread(target=_drain, args=(reader, received))
        drain.start()
        assert writer.flush(20)
        writer.write("last")
        writer.close(20)
    drain.join(20)
    lines = received.decode().splitlines()
    assert lines[0].startswith("0 ")
    assert lines[-1] == "last"
    told = sum(json.loads(line)["lines"] for line in lines if line.startswith("{"))
    assert told == writer.dropped


def _drain(reader: int, into: bytearray) -> None:
    with os.fdopen(reader, "rb") as stream:
        while piece := stream.read(4096):
            into.extend(piece)


def test_a_stream_that_is_gone_is_counted() -> None:
    """A closed stream raises nothing in whoever logs."""
    stream: TextIO = io.StringIO()
    writer = LineWriter(stream)
    stream.close()
    writer.write("x")
    assert writer.flush()
    assert writer.dropped == 1
    writer.close()
