"""What a model call costs, in whole micro-US-dollars, always rounded up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one model; a US dollar per million tokens is one micro-US-dollar per token.

    Attributes:
        input: micro-US-dollars per input token.
        output: micro-US-dollars per output token.
    """

    input: Fraction
    output: Fraction

    @classmethod
    def per_million(cls, input_usd: float, output_usd: float) -> Price:
        """A price from US dollars per million tokens, as written in the settings (0.1 is exactly a tenth)."""
        return cls(input=Fraction(repr(input_usd)), output=Fraction(repr(output_usd)))

    def of(self, input_tokens: int, output_tokens: int) -> int:
        """Micro-US-dollars of that many tokens, rounded up, so that no sum of calls is charged too little."""
        return math.ceil(self.input * input_tokens + self.output * output_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one call is charged.

    Attributes:
        input_tokens, output_tokens: tokens paid for.
        micro_usd: the cost.
        estimated: the provider did not say; these are upper bounds.
    """

    input_tokens: int
    output_tokens: int
    micro_usd: int
    estimated: bool = False


NOTHING = Charge(input_tokens=0, output_tokens=0, micro_usd=0)
"""For a call that the provider turned down before it did any work."""


class Meter:
    """The charge of one call while it runs: its upper bound until the provider's own figure is known.

    A call that ends in any unforeseen way (cancelled, cut off, timed out) leaves the bound standing: what may have been
    billed counts as billed.
    """

    __slots__ = ("charge",)

    def __init__(self, bound: Charge) -> None:
        self.charge = bound
