"""Export of a sample of calls to an OpenTelemetry collector, by OTLP over HTTP.

The OpenTelemetry SDK is imported only when `telemetry.otlp_endpoint` is set. Calls are handed over as the recorder has
them; a thread of its own makes SDK spans of them and sends those. When the collector is away, calls are dropped and
counted: telemetry never slows down or fills up the colony.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from cenoby.kernel.errors import InvalidInput
from cenoby.telemetry.logs import get_logger
from cenoby.telemetry.recorder import CallTrace, Span, expand

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

_log = get_logger("telemetry.otlp")

_BATCH = 128
_WAITING = 4096
_TIMEOUT = 5.0


class TelemetrySettingsError(InvalidInput):
    """The telemetry settings ask for something that this installation cannot do."""

    codes = {"otlp_extra_missing": "telemetry.otlp_endpoint is set, but the `otlp` extra is not installed."}


class OtlpExport:
    """Sends a sample of finished calls to a collector; `offer` is the recorder's `sink`.

    All calls of one correlation are sampled alike, so that an exported trace is whole.

    Args:
        endpoint: the collector's URL for traces, e.g. `http://127.0.0.1:4318/v1/traces`.
        sample: share of correlations exported, 0 to 1.
        colony, node, version: say at the collector where the spans come from.

    Raises:
        TelemetrySettingsError: the OpenTelemetry SDK is not installed.
    """

    def __init__(self, endpoint: str, sample: float, *, colony: str, node: str, version: str) -> None:
        self._exporter, self._resource = _open(endpoint, colony, node, version)
        self._threshold = round(sample * 2**32)
        self._queue: SimpleQueue[CallTrace | None] = SimpleQueue()
        self._failing = False
        self.sent = 0
        """Calls that the collector took."""
        self.dropped = 0
        """Calls that were sampled and never arrived."""
        self._thread = threading.Thread(target=self._work, name="otlp-export", daemon=True)
        self._thread.start()

    def offer(self, trace: CallTrace) -> None:
        """Take a finished call for export if it is in the sample; never waits and never raises."""
        if zlib.crc32(trace.correlation.encode("utf-8", "replace")) >= self._threshold:
            return
        if self._queue.qsize() >= _WAITING:
            self.dropped += 1
        else:
            self._queue.put(trace)

    def close(self, timeout: float = 2.0) -> None:
        """Send what waits, for at most `timeout` seconds, and stop."""
        self._queue.put(None)
        self._thread.join(timeout)
        # Ends a wait before the next try, too; what is left then counts as dropped.
        self._exporter.shutdown()
        self._thread.join(timeout)

    def _work(self) -> None:
        going = True
        while going:
            batch: list[CallTrace] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) == _BATCH:
                    break
                try:
                    item = self._queue.get(timeout=0.2)
                except Empty:
                    break
            going = item is not None
            if batch:
                self._send(batch)

    def _send(self, batch: Sequence[CallTrace]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans = [made for trace in batch for made in readable_spans(trace, self._resource)]
        arrived = self._exporter.export(spans) is SpanExportResult.SUCCESS
        if arrived:
            self.sent += len(batch)
        else:
            self.dropped += len(batch)
        if arrived is self._failing:
            self._failing = not arrived
            if self._failing:
                _log.warning("otlp_export_failing", dropped=self.dropped)
            else:
                _log.info("otlp_export_recovered", dropped=self.dropped)


def readable_spans(trace: CallTrace, resource: Resource) -> list[ReadableSpan]:
    """One finished call as OpenTelemetry SDK spans: the call itself and a child for each stage."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.status import Status, StatusCode

    scope = InstrumentationScope("cenoby")
    made: list[ReadableSpan] = []
    for span in expand(trace):
        failed = span.status == "error"
        made.append(
            ReadableSpan(
                name=span.name,
                context=_context(span.correlation, span.id),
                parent=_context(span.correlation, span.parent) if span.parent else None,
                resource=resource,
                attributes=_attributes(span),
                kind=SpanKind.INTERNAL if span.parent else SpanKind.SERVER,
                status=Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET),
                start_time=span.start_ns,
                end_time=span.start_ns + span.duration_ns,
                instrumentation_scope=scope,
            )
        )
    return made


def trace_id(correlation: str) -> int:
    """The 128-bit trace id of a correlation: a UUID or W3C trace id itself, any other text by its hash."""
    digits = correlation.replace("-", "")
    try:
        number = int(digits, 16) if len(digits) == 32 else 0
    except ValueError:
        number = 0
    return number or int.from_bytes(hashlib.sha256(correlation.encode("utf-8", "replace")).digest()[:16], "big")


def span_id(identifier: str) -> int:
    """The 64-bit span id of one of the recorder's spans."""
    return int.from_bytes(hashlib.sha256(identifier.encode("utf-8", "replace")).digest()[:8], "big") or 1


def _context(correlation: str, identifier: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        trace_id(correlation), span_id(identifier), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


def _attributes(span: Span) -> dict[str, str]:
    found = {"cenoby.correlation": span.correlation, "cenoby.status": span.status}
    if not span.parent:
        found["cenoby.invocation"] = span.id
    if span.agent:
        found["cenoby.agent"] = span.agent
    return found


def _open(endpoint: str, colony: str, node: str, version: str) -> tuple[OTLPSpanExporter, Resource]:
    try:
        import requests
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
    except ImportError as error:
        raise TelemetrySettingsError(
            "otlp_extra_missing",
            "telemetry.otlp_endpoint is set, but OpenTelemetry is not installed; run `pip install 'cenoby[otlp]'` "
            "or take the setting out.",
        ) from error
    session = requests.Session()
    # Spans go to the address in the settings, not to a proxy that the environment happens to name.
    session.trust_env = False
    resource = Resource.create(
        {
            "service.name": "cenoby",
            "service.namespace": colony,
            "service.instance.id": node,
            "service.version": version,
        }
    )
    return OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT, session=session), resource
