"""Grace's tools for published APIs: what other colonies may build on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from cenoby.colony.apis.document import ApiDocument
from cenoby.colony.apis.published import Publications
from cenoby.colony.invocation import Call
from cenoby.colony.tool import tool


@dataclass(frozen=True, slots=True)
class ApiView:
    """One major version of an API; `until` is the last day (UTC) on which it is served, null without end."""

    api: str
    version: int
    until: str | None
    ended: bool
    tools: list[str]
    events: list[str]


@dataclass(frozen=True, slots=True)
class ApiList:
    apis: list[ApiView]


class ApiTools:
    """The part of Grace that shows published APIs."""

    _publications: Publications

    @tool("colony:read", effect="reads", title="List published APIs")
    async def list_apis(self, call: Call) -> ApiList:
        """List the APIs that this colony publishes, every major version, ended ones too."""
        del call
        return ApiList(
            [
                ApiView(
                    api=one.name,
                    version=one.version,
                    until=one.until.isoformat() if one.until else None,
                    ended=self._publications.has_ended(one),
                    tools=[f"mads.{one.name}_v{one.version}.{word}" for word in one.tools],
                    events=one.events,
                )
                for one in self._publications.apis
            ]
        )

    @tool("colony:read", effect="reads", title="Schema of a published API")
    async def get_api(
        self,
        call: Call,
        api: Annotated[str, Field(description="Name of the API, from list_apis.", max_length=64)],
        version: Annotated[int, Field(description="Its major version.", ge=1)],
    ) -> ApiDocument:
        """Show one major version of an API as a document: its tools and events with their JSON Schemas."""
        del call
        return self._publications.document(api, version)
