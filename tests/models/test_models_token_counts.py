"""Bounds on the tokens of a prompt."""

from hypothesis import given
from hypothesis import strategies as st

from cenoby.models.token_counts import TokenCounter

TEXTS = st.lists(st.text(), min_size=1, max_size=4)


@given(TEXTS)
def test_no_byte_level_vocabulary_exceeds_the_upper_bound(texts: list[str]) -> None:
    """The worst such vocabulary has one token per byte; the bound holds for it with room for the chat template."""
    worst = sum(len(text.encode()) for text in texts)
    assert worst < TokenCounter().at_most("m", texts)
    assert TokenCounter().at_least(texts) <= worst


def test_a_provider_that_adds_tokens_is_remembered_per_model() -> None:
    """After one report above the bound the next bound covers it, for that model only, and never shrinks again."""
    counter = TokenCounter()
    before = counter.at_most("m", ["hello"])
    counter.correct("m", ["hello"], 1000)
    assert counter.at_most("m", ["hello"]) == 1000
    assert counter.at_most("other", ["hello"]) == before
    counter.correct("m", ["hello"], 5)
    assert counter.at_most("m", ["hello"]) == 1000


def test_half_a_surrogate_pair_is_counted_not_raised() -> None:
    """Text that has no UTF-8 form still has a bound; refusing it is the sanitiser's business."""
    assert TokenCounter().at_most("m", ["\ud800"]) > 3
