"""Settings of data protection: what is done about secrets and personal data, by direction, tenant and destination."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from cenoby.kernel.settings_section import Section

DataAction = Literal["allow", "redact", "tokenise", "block", "ask"]
Direction = Literal["in", "out", "model", "log"]


class DlpRule(Section):
    """What is done about some kinds of data; the first rule that fits a find decides."""

    types: Annotated[list[str], Field(min_length=1)]
    """Kinds as in `[redacted:<kind>]`, groups (`national_id`), `secret`, `personal`, or `*` for all."""
    action: DataAction
    """Let it pass, black it out, put a token for it, refuse the call, or let a person decide (not on the way out)."""
    directions: Annotated[list[Direction], Field(min_length=1)]
    """`in`: arguments of calls; `model`: arguments of `model:call` tools, so prompts; `out`: results; `log`: lines."""
    tenants: list[str] = ["*"]
    """Tenants it holds for; `*` stands for any characters."""
    destinations: list[str] = ["*"]
    """Tools it holds for, e.g. `mads.marco.*`; towards models also `model:<name>`."""

    @model_validator(mode="after")
    def _nobody_decides_results(self) -> Self:
        if self.action == "ask" and "out" in self.directions:
            raise ValueError("a result is there already: on the way out say allow, redact, tokenise or block")
        if "log" in self.directions and self.action not in ("allow", "redact"):
            raise ValueError("a log line is written and cannot wait: for the direction log say allow or redact")
        return self


class RestoreRule(Section):
    """Where tokens in arguments are what they stand for again, before the tool gets them."""

    types: Annotated[list[str], Field(min_length=1)] = ["*"]
    """Kinds, as in rules."""
    tenants: list[str] = ["*"]
    """Tenants it holds for."""
    destinations: Annotated[list[str], Field(min_length=1)]
    """Tools that may see the values, e.g. `mads.pay.*`."""


class TokenKeeping(Section):
    """How values are kept for which tokens were put."""

    days: Annotated[float, Field(gt=0, le=3660)] = 30
    """After so many days since it was last made, a token stands for nothing any more."""
    per: Literal["tenant", "conversation"] = "tenant"
    """Within what a value has the same token each time."""


class DlpSettings(Section):
    """Data protection beside `redaction`, which says what is blacked out in results, the journal and logs."""

    rules: list[DlpRule] = []
    """Asked in this order. Where none fits: arguments pass, results follow `redaction`, models get no secrets."""
    restore: list[RestoreRule] = []
    """Tools that get the values for which their arguments have tokens; no others do."""
    tokens: TokenKeeping = TokenKeeping()
    canaries: dict[str, SecretStr] = {}
    """Planted texts by name, each of 12 characters or more; a call that carries one is refused, and journalled."""

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        short = [name for name, text in self.canaries.items() if len(text.get_secret_value()) < 12]
        if short:
            raise ValueError(
                f"canaries need 12 characters or more, so that none is met by accident: {', '.join(short)}"
            )
        return self
