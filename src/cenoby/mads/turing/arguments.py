"""What Turing's tools take."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from cenoby.protection.secrets import LONGEST_VALUE, NAME_FORM, READER_FORM, value_problem

Name = Annotated[
    str,
    Field(
        pattern=f"^{NAME_FORM}$",
        description="Name of the secret: letters, digits and _ . - /, at most 128, e.g. `models/openai`.",
    ),
]
Version = Annotated[int, Field(ge=1)]
Reader = Annotated[str, Field(pattern=f"^{READER_FORM}$")]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]


def _checked(value: str) -> str:
    # The schema counts characters; what the vault keeps is bytes, and it must not say so after the call is on record.
    if problem := value_problem(value):
        raise ValueError(problem)
    return value


Value = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_VALUE,
        description=f"The value, at most {LONGEST_VALUE} bytes in UTF-8; never journalled or shown.",
    ),
    AfterValidator(_checked),
]
