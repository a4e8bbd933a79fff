"""sanitise: size, depth, encoding and hidden characters of the arguments; then the tool's schema."""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.kernel.codec import canonical_json
from cenoby.protection.sanitise import sanitise


class Sanitise:
    """Cleans the arguments, writes them in canonical form, and reads them back by the tool's input schema."""

    name = "sanitise"

    def __init__(self, ports: Ports) -> None:
        self._max_bytes = ports.limit_settings.max_argument_bytes
        self._max_depth = ports.limit_settings.max_depth

    async def __call__(self, invocation: Invocation) -> None:
        invocation.arguments, invocation.removed = sanitise(
            invocation.arguments, max_bytes=self._max_bytes, max_depth=self._max_depth
        )
        invocation.canonical = canonical_json(invocation.arguments)
        invocation.parsed = invocation.target.parse(invocation.canonical)
