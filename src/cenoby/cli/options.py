"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Data = Annotated[Path | None, Parameter(name="--data", help="Directory of the colony's state.")]
Config = Annotated[Path | None, Parameter(name="--config", help="Settings file (YAML).")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON value.")]
Token = Annotated[
    str | None,
    Parameter(name="--token", help="Act with this token instead of the operator's (or set CENOBY_TOKEN)."),
]
Operator = Annotated[
    bool,
    Parameter(name="--operator", negative="", help="Act as the operator, whatever CENOBY_TOKEN says."),
]
