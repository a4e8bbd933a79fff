"""restore: tokens are what they stand for again, for a tool that may see it, and for the caller who had it.

Both are the last steps of their way: all that is decided on and journalled has the tokens.
"""

from __future__ import annotations

from cenoby.colony.invocation import Invocation
from cenoby.colony.stages import Ports
from cenoby.kernel.codec import canonical_json, to_json
from cenoby.protection.dlp.tokens import TOKEN, restored


class RestoreArguments:
    """Gives a tool the values that the settings let it see."""

    name = "restore"

    def __init__(self, ports: Ports) -> None:
        self._data = ports.data
        self._tokens = ports.tokens

    async def __call__(self, invocation: Invocation) -> None:
        if self._tokens is None or not self._data.may_restore or b"<" not in invocation.canonical:
            return
        tenant, tool = invocation.caller.tenant, invocation.target
        found = set(TOKEN.findall(invocation.canonical.decode("utf-8", "surrogatepass")))
        allowed = [one for one in found if self._data.restores(tenant, tool.name, one[1 : one.index(":")])]
        values = await self._tokens.open(tenant, allowed)
        if values:
            # The arguments themselves stay as they were approved and journalled.
            invocation.canonical = canonical_json(restored(invocation.arguments, values))
            invocation.parsed = tool.parse(invocation.canonical)
            invocation.restored += len(values)


class RestoreResult:
    """Tells a caller what stands in the result for values that this very call had brought."""

    name = "restore"

    def __init__(self, ports: Ports) -> None:
        del ports

    async def __call__(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        # What the engine resumes is kept for later, and nothing is kept with values.
        if not invocation.tokens or outcome is None or outcome.error is not None or invocation.resumes:
            return
        content = restored(outcome.content, invocation.tokens)
        if outcome.blocks is None:
            outcome.value = content
        else:
            outcome.blocks = content
        outcome.json = to_json(content)
