"""Reading @mentions and #topics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenoby.mads.rogers.names import MOST_NAMES, mentions_in, topics_in


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("@bob hello", ["bob"]),
        ("hello @bob.", ["bob"]),
        ("(@bob, @Ann-2!) @bob", ["bob", "ann-2"]),
        ("mail bob@example.org or see http://x/@bob", []),
        ("use `@decorator` and\n```python\n@tool\n```\nthen @bob", ["bob"]),
        ("an open ``` fence @bob", ["bob"]),
        ("@", []),
        ("@@bob", []),
        ("@" + "x" * 63, ["x" * 63]),
        ("@" + "x" * 64, []),
    ],
)
def test_mentions(content: str, expected: list[str]) -> None:
    """Names after @ where a person would read them so; addresses, paths and code are none."""
    assert mentions_in(content) == expected


@pytest.mark.parametrize(
    ("content", "tags", "expected"),
    [
        ("#Plan and #plan", [], ["plan"]),
        ("fixes #12, see a#b and &#39; and ## Heading", [], []),
        ("über #Größe!", ["#Tag", "  "], ["tag", "größe"]),
        ("`#include` #real-one", [], ["real-one"]),
    ],
)
def test_topics(content: str, tags: list[str], expected: list[str]) -> None:
    """Words after #, in any script, beside the tags given; issue numbers, headings and code are none."""
    assert topics_in(content, tags) == expected


@given(st.text())
def test_any_text_is_read(content: str) -> None:
    """Whatever the text, the names are few, unique, lower-case, and in it."""
    for found in (mentions_in(content), topics_in(content)):
        assert len(found) == len(set(found)) <= MOST_NAMES
        assert all(name in content.lower() for name in found)


def test_names_are_bounded() -> None:
    """A message cannot notify everybody."""
    assert len(mentions_in(" ".join(f"@a{n}" for n in range(1000)))) == MOST_NAMES
