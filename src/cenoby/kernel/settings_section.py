"""What the sections of the settings are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of the settings: unknown keys are errors, and nothing changes after start."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
