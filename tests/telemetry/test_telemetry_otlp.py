"""OTLP export against a real HTTP receiver that decodes the protobuf; and what happens when it is away."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from cenoby.telemetry.otlp import OtlpExport, TelemetrySettingsError, span_id, trace_id
from cenoby.telemetry.recorder import CallTrace


class Collector:
    """A receiver of OTLP over HTTP."""

    def __init__(self, status: int = 200) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.status = status
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/x-protobuf"
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def spans(self) -> list[ProtoSpan]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


def export(url: str, sample: float = 1.0) -> OtlpExport:
    return OtlpExport(url, sample, colony="main", node="n1", version="1")


def trace(correlation: str = "01930000-0000-7000-8000-000000000001", status: str = "ok", number: int = 1) -> CallTrace:
    marks = [("start", 100), ("identify", 400), ("record", 1_100)]
    return CallTrace(correlation, f"i{number}", "mads.a.b", "ann", status, 1_000_000, marks)


def test_a_call_arrives_as_a_trace_that_the_protocol_decodes(collector: Collector) -> None:
    """Names, ids, parents, times, status and the colony's name are what a collector needs."""
    out = export(collector.url)
    out.offer(trace(status="error"))
    out.close()
    root, first, second = collector.spans()
    assert (root.name, first.name, second.name) == ("mads.a.b", "identify", "record")
    assert root.trace_id.hex() == first.trace_id.hex() == "01930000000070008000000000000001"
    assert root.parent_span_id == b""
    assert first.parent_span_id == second.parent_span_id == root.span_id
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (1_000_000, 1_001_000)
    assert first.end_time_unix_nano == second.start_time_unix_nano
    assert root.status.code == 2
    attributes = {one.key: one.value.string_value for one in root.attributes}
    assert attributes == {
        "cenoby.agent": "ann",
        "cenoby.correlation": "01930000-0000-7000-8000-000000000001",
        "cenoby.invocation": "i1",
        "cenoby.status": "error",
    }
    resource = {one.key: one.value.string_value for one in collector.requests[0].resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["service.namespace"]) == ("cenoby", "main")
    assert (out.sent, out.dropped) == (1, 0)


def test_the_sample_keeps_correlations_whole(collector: Collector) -> None:
    """About the asked share is exported, and of one correlation all calls or none."""
    out = export(collector.url, 0.25)
    for number in range(800):
        for call in range(2):
            out.offer(trace(f"correlation {number}", number=2 * number + call))
    out.close(10)
    roots = [span for span in collector.spans() if not span.parent_span_id]
    assert 100 < len(roots) / 2 < 300
    by_trace = [span.trace_id for span in roots]
    assert all(by_trace.count(one) == 2 for one in set(by_trace))
    assert out.sent == len(roots)


def test_a_share_of_none_and_of_all(collector: Collector) -> None:
    """The ends of the range mean what they say."""
    none, everything = export(collector.url, 0), export(collector.url, 1)
    for number in range(50):
        none.offer(trace(str(number)))
        everything.offer(trace(str(number)))
    none.close()
    everything.close()
    assert (none.sent, none.dropped, everything.sent, everything.dropped) == (0, 0, 50, 0)


def test_calls_are_dropped_and_counted_when_the_collector_refuses() -> None:
    """Nothing is kept for ever and nothing raises."""
    collector = Collector(status=400)
    out = export(collector.url)
    out.offer(trace())
    out.close()
    collector.close()
    assert (out.sent, out.dropped) == (0, 1)


def test_calls_are_dropped_and_counted_when_nobody_listens() -> None:
    """With the collector away, closing still ends in bounded time and every call is accounted for."""
    collector = Collector()
    collector.close()
    out = export(collector.url)
    for number in range(10):
        out.offer(trace(str(number)))
    out.close(0.3)
    assert (out.sent, out.dropped) == (0, 10)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package ends in the settings error with the command that mends it."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(TelemetrySettingsError, match=r"cenoby\[otlp\]") as caught:
        export("http://127.0.0.1:1/v1/traces")
    assert caught.value.code == "otlp_extra_missing"


def test_ids_are_valid_whatever_the_correlation_is() -> None:
    """Trace and span ids are never zero and fit their width, also for ids that clients made up."""
    for text in ("", "x", "0" * 32, "z" * 32, "0af7651916cd43dd8448eb211c80319c", "\ud800"):
        assert 0 < trace_id(text) < 2**128
        assert 0 < span_id(text) < 2**64
    assert trace_id("0af7651916cd43dd8448eb211c80319c") == 0x0AF7651916CD43DD8448EB211C80319C
