"""sanitise: size, depth, encoding and hidden characters of the arguments; what they may carry, files too; schema."""

from __future__ import annotations

from cenoby.access.verdicts import Ask
from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.colony.stages.data import direction_of, judge
from cenoby.colony.stages.files import check_files
from cenoby.kernel.codec import canonical_json
from cenoby.protection.files.attached import may_hold_files
from cenoby.protection.sanitise import sanitise


class Sanitise:
    """Cleans the arguments, writes them in canonical form, and reads them back by the tool's input schema."""

    name = "sanitise"

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._max_bytes = ports.limit_settings.max_argument_bytes
        self._max_depth = ports.limit_settings.max_depth

    async def __call__(self, invocation: Invocation) -> None:
        invocation.arguments, invocation.removed = sanitise(
            invocation.arguments, max_bytes=self._max_bytes, max_depth=self._max_depth
        )
        direction, places = direction_of(invocation)
        judged = await judge(self._ports, invocation, direction, places, invocation.arguments)
        if judged is not None:
            invocation.arguments = judged.value
            for kind in judged.asked:
                invocation.ask(Ask(f"dlp:{kind}", f"The arguments hold {kind}, and a rule wants a person to see that."))
        invocation.canonical = canonical_json(invocation.arguments)
        if may_hold_files(invocation.canonical):
            await check_files(self._ports, invocation, "arguments", invocation.arguments)
        invocation.parsed = invocation.target.parse(invocation.canonical)
