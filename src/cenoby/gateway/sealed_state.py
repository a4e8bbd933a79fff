"""The `requestState` of revision 2026-07-28: answers so far, sealed so that only this colony can have written them.

A state holds for the same request of the same principal, and for ten minutes (basic/utilities/mrtr asks servers to
treat what comes back as an attacker's). The key lives as long as the process: after a restart a call starts over.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from cenoby.access.principals import Principal
from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import digest, pack, unpack

LIFETIME_NS = 600 * 1_000_000_000


class Asked(msgspec.Struct, frozen=True):
    """Which request a state belongs to: method, tool or prompt or URI, its arguments, and who sent it."""

    method: str
    target: str
    arguments: dict[str, Any]
    tenant: str
    agent: str


class _Sealed(msgspec.Struct, frozen=True):
    asked: str
    expires_ns: int
    answers: dict[str, Any]


class StateSeal:
    """Seals and opens states.

    Args:
        clock: says when a state is too old.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codec = AESGCMRequestStateCodec([os.urandom(32)])

    def seal(self, asked: Asked, answers: dict[str, Any]) -> str:
        """An opaque text that holds `answers`."""
        return self._codec.seal(pack(_Sealed(digest(asked), self._clock.now_ns() + LIFETIME_NS, answers)))

    def open(self, asked: Asked, state: str) -> dict[str, Any]:
        """The answers in `state`.

        Raises:
            MCPError: it was not sealed here for this request, or is too old; which of these is not told.
        """
        try:
            sealed = unpack(self._codec.unseal(state), _Sealed)
        except InvalidRequestState:
            sealed = None
        if sealed is None or sealed.asked != digest(asked) or sealed.expires_ns < self._clock.now_ns():
            raise MCPError(INVALID_PARAMS, "Invalid or expired requestState; repeat the call without it.")
        return sealed.answers


def asked_by(principal: Principal, method: str, target: str, arguments: dict[str, Any]) -> Asked:
    """What a state for this request is bound to."""
    return Asked(method, target, arguments, principal.tenant, principal.agent)
