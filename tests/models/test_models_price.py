"""Prices in whole micro-US-dollars."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from cenoby.models.price import Price

TOKENS = st.integers(min_value=0, max_value=10**9)
USD = st.floats(min_value=0, max_value=1000, allow_nan=False)


def test_a_dollar_per_million_is_a_micro_dollar_per_token() -> None:
    """The unit needs no conversion factor, and mixed prices add up."""
    assert Price.per_million(3.0, 15.0).of(1000, 200) == 3000 + 3000


def test_decimal_prices_are_exact() -> None:
    """0.1 in the settings is a tenth, not its nearest binary fraction, so whole sums are not rounded up by one."""
    assert Price.per_million(0.1, 0.0).of(10, 0) == 1
    assert Price.per_million(0.1, 0.0).of(11, 0) == 2


@given(USD, USD, TOKENS, TOKENS)
def test_a_charge_is_never_too_small_and_at_most_one_too_large(
    input_usd: float, output_usd: float, input_tokens: int, output_tokens: int
) -> None:
    """Rounding is up, by less than one micro-US-dollar."""
    exact = Fraction(repr(input_usd)) * input_tokens + Fraction(repr(output_usd)) * output_tokens
    charged = Price.per_million(input_usd, output_usd).of(input_tokens, output_tokens)
    assert exact <= charged < exact + 1


@given(USD, USD, TOKENS, TOKENS, TOKENS, TOKENS)
def test_more_tokens_never_cost_less(a: float, b: float, few: int, more: int, out: int, extra: int) -> None:
    """A bound on the tokens is a bound on the cost."""
    price = Price.per_million(a, b)
    assert price.of(few, out) <= price.of(few + more, out + extra)
