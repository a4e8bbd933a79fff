"""What the sections of the settings are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
HostPort = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+):\d{1,5}$")]


def host_and_port(text: str) -> tuple[str, int]:
    """The two parts of a `HostPort`; the brackets of an IPv6 address are left out."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Section(BaseModel):
    """A part of the settings: unknown keys are errors, and nothing changes after start."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
