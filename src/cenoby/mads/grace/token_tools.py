"""Grace's tool for tokens: what one stands for, told to a person who says why, and only after the journal has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.mads.grace.events import PiiRevealed
from cenoby.protection.dlp.token_store import TokenStore


@dataclass(frozen=True, slots=True)
class Revealed:
    token: str
    value: str


class TokenTools:
    """The part of Grace that reveals values."""

    _pii: TokenStore | None

    @tool("pii:reveal", effect="reads", idempotent=False, title="Reveal a token", sensitive_result=True)
    async def reveal(
        self,
        call: Call,
        token: Annotated[str, Field(description="Such as `<email:...>`, as it was shown.", max_length=100)],
        reason: Annotated[str, Field(description="Why; the journal has it.", min_length=1, max_length=500)],
    ) -> Revealed:
        """Tell what a token of the caller's tenant stands for; journalled as `pii_revealed` first."""
        assert self._pii is not None, "the composition root gives Grace the tokens"
        value = (await self._pii.open(call.principal.tenant, [token])).get(token)
        await call.note(PiiRevealed(token=token, found=value is not None, notes=reason))
        if value is None:
            raise CallInvalid(
                "arguments_invalid", "This token stands for nothing here: it expired, or was never given."
            )
        return Revealed(token, value)
