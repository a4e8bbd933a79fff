"""Grace's tools for canaries: texts to plant, which give away whoever takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool
from cenoby.kernel.clock import iso_time
from cenoby.mads.grace.events import CanaryCreated, CanaryDeleted
from cenoby.protection.dlp.canaries import Canary
from cenoby.protection.dlp.canary_book import CanaryBook
from cenoby.protection.dlp.minting import CanaryKind


@dataclass(frozen=True, slots=True)
class CanaryView:
    id: str
    label: str
    kind: str
    created_by: str
    created: str


@dataclass(frozen=True, slots=True)
class NewCanary:
    id: str
    label: str
    kind: str
    value: str
    """Told this once; only a digest of it is kept."""


@dataclass(frozen=True, slots=True)
class CanaryList:
    canaries: list[CanaryView]


class CanaryTools:
    """The part of Grace that keeps canaries."""

    _canaries: CanaryBook | None

    @tool("journal:read", effect="reads", title="List canaries")
    async def list_canaries(self, call: Call) -> CanaryList:
        """Show the caller's tenant's canaries, the newest first, without their values."""
        return CanaryList([_view(one) for one in self._book().list(call.principal.tenant)])

    @tool("canary:write", effect="writes", idempotent=False, title="Create a canary", sensitive_result=True)
    async def create_canary(
        self,
        call: Call,
        label: Annotated[str, Field(description="Where it will be planted.", min_length=1, max_length=100)],
        kind: Annotated[CanaryKind, Field(description="What it looks like.")] = "api_key",
        host: Annotated[
            str,
            Field(
                description="The domain of an email or a url; one of your own.",
                pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,200}[A-Za-z0-9])?$",
            ),
        ] = "example.com",
    ) -> NewCanary:
        """Make a text to plant; from now on every call that carries it is refused, and journalled as `canary_seen`."""
        who = call.principal
        minted = await self._book().create(who.tenant, label, kind, host=host, made_by=who.agent)
        canary = minted.canary
        await call.note(CanaryCreated(canary=canary.id, label=label, kind=kind))
        return NewCanary(canary.id, canary.label, canary.kind, minted.value)

    @tool("canary:write", effect="writes", idempotent=True, title="Delete a canary")
    async def delete_canary(
        self, call: Call, canary: Annotated[str, Field(description="Its id.", max_length=64)]
    ) -> CanaryList:
        """Look for a canary no more. Returns those that are left."""
        if not await self._book().delete(call.principal.tenant, canary):
            raise CallInvalid("arguments_invalid", "There is no canary with this id; list_canaries shows them.")
        await call.note(CanaryDeleted(canary=canary))
        return await self.list_canaries(call)

    def _book(self) -> CanaryBook:
        assert self._canaries is not None, "the composition root gives Grace the canaries"
        return self._canaries


def _view(canary: Canary) -> CanaryView:
    return CanaryView(canary.id, canary.label, canary.kind, canary.made_by, iso_time(canary.made_ns))
