"""The way to one other colony: over HTTP through the egress guard; its answer cleaned, its errors in our words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cenoby.kernel.errors import CenobyError
from cenoby.kernel.mcp_request import request_body, request_headers, result_in, tool_error
from cenoby.mads.colonies.errors import ForeignFault, ForeignRefused, ForeignUnavailable
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.sanitise import InputRefused, sanitise

_METHOD = "tools/call"
_LARGEST = 8 * 1024 * 1024
_DEEPEST = 64


class Link:
    """Calls tools of one colony.

    Args:
        colony: what we call it.
        url: its MCP endpoint.
        token: reads our token there, once per call.
        egress: the way out; its circuit for the colony's host opens while nothing answers there.
    """

    def __init__(self, colony: str, url: str, token: Callable[[], Awaitable[str]], egress: EgressGuard) -> None:
        self._colony = colony
        self._url = url
        self._token = token
        self._egress = egress

    async def call(
        self, tool: str, arguments: dict[str, Any], *, seconds: float, trace: str, by: Sender
    ) -> dict[str, Any]:
        """The result of a tool, in MCP's form, without characters that hide something.

        Args:
            tool: canonical name there.
            arguments: plain JSON types.
            seconds: time for everything.
            trace: W3C trace parent, which its journal keeps as the cause.
            by: on whose behalf.

        Raises:
            ForeignRefused, ForeignUnavailable, ForeignFault: what the colony says.
            EgressRefused, EgressFailed: it may not or cannot be reached.
            Unavailable: circuit_open, circuit_held_open: it is left alone.
            CenobyError: what the reader of the token raises.
        """
        params = {"name": tool, "arguments": arguments}
        headers = request_headers(_METHOD, params, (await self._token()).strip())
        body = request_body(_METHOD, params, client="cenoby", trace=trace)
        # Not followed where it is redirected: the token and the arguments are for this address alone.
        way = self._egress.stream("POST", self._url, headers, body, by=by, timeout=seconds, max_bytes=_LARGEST)
        async with way as answer:
            status, kind, data = answer.status, answer.headers.get("content-type", ""), await answer.read()
        try:
            result = result_in(status, kind, data)
            error = tool_error(result)
        except CenobyError as raised:
            error, result = raised, {}
        if error is not None:
            raise self._in_our_words(error) from None
        return self._cleaned(result)

    def _cleaned(self, result: dict[str, Any]) -> dict[str, Any]:
        try:
            return sanitise(result, max_bytes=_LARGEST, max_depth=_DEEPEST)[0]
        except InputRefused as refused:
            raise ForeignFault(
                "foreign_answer_invalid", f"{self._colony}: the result is not acceptable ({refused.code})."
            ) from None

    def _in_our_words(self, error: CenobyError) -> CenobyError:
        told, what = {"colony": self._colony, "error": error.to_wire()}, f"{self._colony}: {error.message}"
        if error.family == "unauthenticated":
            return ForeignRefused("foreign_token", what, details=told)
        if error.family in ("invalid", "refused", "not_found"):
            return ForeignRefused("foreign_refused", what, details=told)
        if error.family == "unavailable":
            return ForeignUnavailable("foreign_unavailable", what, retry_after=error.retry_after, details=told)
        code = "foreign_answer_invalid" if error.code == "colony_answer_invalid" else "foreign_failed"
        return ForeignFault(code, what, details=told)
