"""The settings of what may be done with secrets: who may use which for what, leases, and how one is renewed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cenoby.kernel.settings_section import Count, Seconds, Section

Who = Annotated[str, Field(pattern=r"^(agent|role|tenant|mad):[A-Za-z0-9][A-Za-z0-9_.#-]{0,62}$")]
Destination = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?(:[0-9]{1,5})?$")]
ToolName = Annotated[str, Field(pattern=r"^mads\.[a-z0-9_]+\.[a-z0-9_]+$")]

WINDOWS = {"minute": 60, "hour": 3600, "day": 86_400}
"""Seconds of each word that `per` may be."""
_LETTERS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class SecretPermit(Section):
    """One thing that a secret may be used for. What no permit of a policy names is refused."""

    who: Annotated[list[Who], Field(min_length=1, max_length=64)]
    """Who: `agent:<name>`, `role:<name>`, `tenant:<name>`, or `mad:<name>`, which uses it itself (`mad:fiedler`)."""
    tools: Annotated[list[ToolName], Field(max_length=64)] = []
    """Only by these tools (`mads.turing.get_secret`, `mads.fiedler.complete`); by any where empty."""
    to: Annotated[list[Destination], Field(max_length=64)] = []
    """Only in a header to these: `api.example.com`, `*.example.com`, `host:port` (443 unless said); told to nobody."""
    times: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most uses of each agent or MAD within any span of `per`; without limit where null."""
    per: Literal["minute", "hour", "day"] = "day"
    """The span of `times`."""


class RotationSettings(Section):
    """How a secret gets its next value by itself."""

    by: Literal["generated", "tool", "task"] = "generated"
    """Made by chance, given by a tool of a MAD, or by a Python function that runs in the sandbox."""
    every_hours: Annotated[float, Field(gt=0)] | None = None
    """Hours between two values; only when somebody asks for it where null."""
    grace_minutes: Annotated[float, Field(ge=0)] = 60
    """Minutes for which the value before stays readable; then it is destroyed."""
    length: Annotated[int, Field(ge=16, le=1024)] = 32
    """Characters of a value made by chance."""
    alphabet: Annotated[str, Field(min_length=10, max_length=256)] = _LETTERS_AND_DIGITS
    """What its characters are chosen from."""
    tool: ToolName | None = None
    """The tool that gives it; one that declares its result as sensitive, so that it is not journalled."""
    arguments: dict[str, Any] = {}
    """Its arguments."""
    field: str = "value"
    """The field of its result that holds the value."""
    task: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    """`module:function`: called without arguments in a cell of the sandbox; returns the value."""

    @model_validator(mode="after")
    def _says_what_gives_it(self) -> RotationSettings:
        for kind in ("tool", "task"):
            if (self.by == kind) is (getattr(self, kind) is None):
                raise ValueError(f"`{kind}` is given where `by` is `{kind}`, and nowhere else")
        if len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError("alphabet: each character once, so that all of them are equally likely")
        return self


class SecretTerms(Section):
    """What holds for one secret of the tenant `default`."""

    permits: list[SecretPermit] | None = None
    """Its policy; with an empty list nobody may use it. Where null there is none but its readers."""
    rotation: RotationSettings | None = None
    """How it is renewed."""


class SecretSettings(Section):
    """What may be done with secrets."""

    lease_seconds: Count = 3600
    """Seconds of a lease that a MAD of the colony takes for a secret it uses, and of one renewed without saying."""
    longest_lease_seconds: Count = 86_400
    """Seconds after which a lease ends whatever was renewed; the value must be asked for again."""
    break_glass_seconds: Count = 900
    """Seconds of the lease that comes with a secret read under break-glass; it is never renewed."""
    look_seconds: Seconds = 15
    """Seconds between looks at what is due: leases that ran out, values to be renewed, and old ones to be destroyed."""
    retry_seconds: Seconds = 60
    """Seconds before a failed renewal is tried again, doubled each time."""
    longest_retry_seconds: Seconds = 3600
    """Most seconds between two tries."""
    named: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-/]{1,128}$")], SecretTerms] = {}
    """Policy and renewal of secrets by their names."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> SecretSettings:
        if self.lease_seconds > self.longest_lease_seconds:
            raise ValueError("lease_seconds: no longer than longest_lease_seconds")
        return self
