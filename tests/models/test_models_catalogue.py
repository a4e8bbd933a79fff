"""Models by name, and requests within their limits."""

import pytest

from cenoby.kernel.settings import ModelSettings
from cenoby.kernel.settings_file import SettingsError
from cenoby.models.catalogue import Catalogue, ModelInputError
from cenoby.models.token_counts import TokenCounter


def catalogue(*names: str, context: int = 1000, most: int = 100) -> Catalogue:
    entries = [
        ModelSettings(
            name=name,
            url="https://models.example/v1/",
            input_usd_per_million=1,
            output_usd_per_million=2,
            context_tokens=context,
            max_output_tokens=most,
        )
        for name in names
    ]
    return Catalogue(entries, TokenCounter())


def test_the_first_model_is_the_default() -> None:
    """No name means the first entry of the settings."""
    assert catalogue("a", "b").get().name == "a"
    assert catalogue("a", "b").get("b").name == "b"
    assert catalogue("a").get().url == "https://models.example/v1"


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    """The message names the choices; without any model it says where to add one."""
    with pytest.raises(ModelInputError, match="choose one of: a, b") as caught:
        catalogue("a", "b").get("c")
    assert caught.value.code == "model_unknown"
    with pytest.raises(ModelInputError, match=r"`models` .* `--config FILE`"):
        catalogue().get()


def test_two_entries_of_one_name_are_refused() -> None:
    """Which of them a caller would get is not left to chance."""
    with pytest.raises(SettingsError, match="'a' is named twice"):
        catalogue("a", "a")


@pytest.mark.parametrize("url", ["models.example/v1", "ftp://x/v1", "https://", "https://u:p@x/v1", "https://x/v1?a=b"])
def test_an_address_that_is_none_is_refused_at_start(url: str) -> None:
    """Not at the first call; and never with credentials in it."""
    entry = ModelSettings(name="a", url=url, input_usd_per_million=1, output_usd_per_million=1)
    with pytest.raises(SettingsError, match=r"models\.0\.url"):
        Catalogue([entry], TokenCounter())


def test_the_cap_is_the_smallest_of_wish_model_and_context() -> None:
    """What is sent as the cap is what the bound was computed with."""
    assert catalogue("a").request("hi").max_output_tokens == 100
    assert catalogue("a").request("hi", max_output_tokens=7).max_output_tokens == 7
    assert catalogue("a").request("hi", max_output_tokens=7000).max_output_tokens == 100
    assert catalogue("a", context=50).request("x" * 80).max_output_tokens == 40
    bound = catalogue("a").request("hi", max_output_tokens=7).bound
    assert bound.output_tokens == 7
    assert bound.micro_usd == bound.input_tokens + 14


def test_a_prompt_beyond_the_context_is_refused_before_anything_is_spent() -> None:
    """The error names both figures."""
    with pytest.raises(ModelInputError, match=r"at least 1250 tokens.*takes 1000") as caught:
        catalogue("a").request("x" * 10_000)
    assert caught.value.code == "prompt_too_long"


def test_a_directive_comes_before_the_prompt() -> None:
    """Roles and order as providers expect them."""
    request = catalogue("a").request("question", system="be brief")
    assert request.messages == (("system", "be brief"), ("user", "question"))
