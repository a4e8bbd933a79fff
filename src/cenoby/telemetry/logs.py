"""Logs: one JSON object a line on standard error, by structlog, with the correlation id of the call they belong to.

    {"time": "2026-11-20T22:30:01.123456Z", "level": "warning", "logger": "protection.egress",
     "event": "egress_refused", "correlation": "0192...", "host": "169.254.169.254"}

Whatever logs through the standard library (uvicorn, mcp, alembic) comes out the same way. Each string value passes the
redactor that `app` injects, and values whose key names a secret never get as far as that.
"""

from __future__ import annotations

import atexit
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TextIO, cast

from cenoby.kernel.clock import Clock, SystemClock, iso_time
from cenoby.kernel.codec import to_json
from cenoby.kernel.settings import TelemetrySettings
from cenoby.telemetry.log_lines import LineWriter

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
# What a terminal or a viewer of logs obeys: controls (but tabulator, line feed), line separators, directions, tags.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
SECRET_KEY = re.compile(
    r"(^|_)(tokens?|passwords?|passwd|passphrase|secret|authorization|cookies?|credentials?|(api|private|master|access)_?key)$",
    re.IGNORECASE,
)
_LONGEST_TEXT = 8192
_DEEPEST = 6
# Libraries that say more at info than an operator of Cenoby wants, or one line for every call.
_QUIET = {
    "uvicorn.access": logging.WARNING,
    "mcp": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    # Its exporter reports each failed batch; `otlp.py` reports when that begins and when it ends, and counts the rest.
    "opentelemetry": logging.CRITICAL + 1,
}

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
"""The correlation id that log lines of the current task carry."""


class Logger:
    """Writes events of one part of the colony. A level below the configured one costs a comparison.

    Events are names (`egress_refused`), facts are fields; nothing is interpolated.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, **fields: Any) -> None:
        """For whoever looks for a fault in the code."""
        if _output.level <= 10:
            _output.emit("debug", self._name, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something that an operator may want to know happened."""
        if _output.level <= 20:
            _output.emit("info", self._name, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something that an operator should look at when there is time."""
        if _output.level <= 30:
            _output.emit("warning", self._name, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something failed that should not."""
        if _output.level <= 40:
            _output.emit("error", self._name, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """`error` with the exception that is being handled."""
        self.error(event, **({"exc_info": True} | fields))


def get_logger(name: str) -> Logger:
    """The logger of a part of the colony, e.g. `colony.pipeline`; may be made at import time."""
    return Logger(name)


def configure_logging(
    settings: TelemetrySettings,
    redact: Callable[[str], str],
    stream: TextIO | None = None,
    *,
    clock: Clock | None = None,
) -> LineWriter:
    """Send all logs of the process to `stream`, the standard library's included; a later call replaces an earlier one.

    Args:
        settings: level and format.
        redact: blacks out secrets and personal data in a text.
        stream: a text stream; standard error by default.
        clock: the time.

    Returns:
        The writer; `flush` or `close` it before the process ends on purpose.
    """
    _output.close()
    target = sys.stderr if stream is None else stream
    writer = LineWriter(target)
    _output.level = LEVELS[settings.log_level]
    _output.redact = redact
    _output.clock = clock or SystemClock()
    _output.writer = writer
    _output.processors = _processors(settings.log_format, colors=target.isatty())
    _route_standard_library(_output.level)
    return writer


class _Output:
    """Where all loggers of the process write: logging is of the process, like its standard error, and not injected."""

    def __init__(self) -> None:
        self.level = LEVELS["warning"]
        self.redact: Callable[[str], str] | None = None
        self.clock: Clock = SystemClock()
        self.writer: LineWriter | None = None
        self.processors: list[Callable[..., Any]] = []
        atexit.register(self.close)

    def emit(self, level: str, name: str, event: str, fields: dict[str, Any]) -> None:
        line: Any = {"time": iso_time(self.clock.now_ns()), "level": level, "logger": name, "event": event}
        correlation = correlation_id.get()
        if correlation:
            line["correlation"] = correlation
        line.update(fields)
        for process in self.processors or _processors("json", colors=False):
            line = process(None, level, line)
        if self.writer is not None:
            self.writer.write(line)
        else:
            sys.stderr.write(f"{line}\n")  # before configuration, e.g. in a command that failed early

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


def _processors(log_format: str, *, colors: bool) -> list[Callable[..., Any]]:
    # structlog costs 90 ms to import, so commands that never log never import it.
    import structlog

    if log_format == "console":
        renderer: Callable[..., Any] = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time")
    else:
        renderer = structlog.processors.JSONRenderer(serializer=_serialise)
    return [structlog.contextvars.merge_contextvars, _explain_exception, _black_out, renderer]


def _serialise(line: dict[str, Any], **_: Any) -> str:
    return to_json(line).decode()


def _explain_exception(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = cast(tuple[Any, ...], error)[1]
    if isinstance(error, BaseException):
        line["exception"] = "".join(traceback.format_exception(error)).rstrip()
    return line


def _black_out(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
    redact = _output.redact or str
    return {key: _clean(key, value, redact, 0) for key, value in line.items()}


def _clean(key: str, value: Any, redact: Callable[[str], str], depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if SECRET_KEY.search(key):
        return "[redacted]"
    if isinstance(value, Mapping) and depth < _DEEPEST:
        items = cast(Mapping[Any, Any], value).items()
        return {_shorten(str(inner), redact): _clean(str(inner), item, redact, depth + 1) for inner, item in items}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_clean("", item, redact, depth + 1) for item in cast(list[Any], value)]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(cast(bytes, value))} bytes]"
    return _shorten(str(cast(object, value)), redact)


def _shorten(text: str, redact: Callable[[str], str]) -> str:
    # A lone surrogate, as a caller may send one, has no UTF-8 form.
    text = text.encode("utf-8", "backslashreplace").decode()
    # Redacted with a margin before it is cut, so that no half of a secret at the cut goes unrecognised.
    clean = redact(text[: 2 * _LONGEST_TEXT])
    # Afterwards, because the redactor sees through such characters, and not through their escapes.
    clean = _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), clean)
    if len(text) <= _LONGEST_TEXT:
        return clean
    return f"{clean[:_LONGEST_TEXT]}… ({len(text)} characters)"


class _FromStandardLibrary(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        try:
            event = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit, or whose __str__ raises, must not break the caller
            # logging's own report would print the arguments as they are, and they may hold a secret.
            event, fields = "log_record_unusable", {"place": f"{record.pathname}:{record.lineno}"}
        _output.emit(level if level in LEVELS else "info", record.name, event, fields)


def _route_standard_library(level: int) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _FromStandardLibrary):
            root.removeHandler(handler)
    root.addHandler(_FromStandardLibrary())
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "mcp"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    if level > LEVELS["debug"]:
        for name, quiet in _QUIET.items():
            logging.getLogger(name).setLevel(max(quiet, level))
    logging.captureWarnings(True)


_output = _Output()
