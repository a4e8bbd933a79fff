"""Typed events: what their tags say, and how a reader makes the present version from those before."""

from __future__ import annotations

from typing import Any

import pytest

from cenoby.kernel.codec import CodecError
from cenoby.kernel.events import Event, name_of, plain_event, read_event, split_tag, tag_of


def _in_metres(fields: dict[str, Any]) -> dict[str, Any]:
    return {"metres": fields["feet"] * 0.3}


def _with_place(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "place": "unknown"}


class Climbed(Event, frozen=True, tag="wall_climbed.v3"):
    """Somebody climbed."""

    metres: float
    place: str
    upgraders = {1: _in_metres, 2: _with_place}


def test_a_tag_is_a_name_and_a_version() -> None:
    """A bare name is the first version, and what is neither is refused."""
    assert (tag_of(Climbed), name_of(Climbed)) == ("wall_climbed.v3", "wall_climbed")
    assert split_tag("wall_climbed.v12") == ("wall_climbed", 12)
    assert split_tag("wall_climbed") == ("wall_climbed", 1)
    for text in ("", "Wall.v1", "wall.v0", "wall.v01", "wall.2", "wall_.v1", "wall.v1.v2"):
        with pytest.raises(CodecError):
            split_tag(text)


@pytest.mark.parametrize(
    ("payload", "tag"),
    [
        ({"feet": 10}, "wall_climbed"),
        ({"event": "wall_climbed.v1", "feet": 10}, "wall_climbed"),
        ({"metres": 3.0}, "wall_climbed.v2"),
        ({"event": "wall_climbed.v2", "metres": 3.0, "later": "unknown to us"}, "wall_climbed"),
        ({"event": "wall_climbed.v3", "metres": 3.0, "place": "unknown"}, "wall_climbed"),
    ],
)
def test_every_version_is_read_as_the_present_one(payload: dict[str, Any], tag: str) -> None:
    """Upgraders are applied one after the other from the version of the payload on, which is left as it was."""
    before = dict(payload)
    read = read_event(Climbed, payload, tag)
    assert read == Climbed(metres=3.0, place="unknown")
    assert plain_event(read) == {"event": "wall_climbed.v3", "metres": 3.0, "place": "unknown"}
    assert payload == before


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"event": "wall_climbed.v4"}, "cannot be read"),
        ({"event": "wall_painted.v1"}, "cannot be read"),
        ({"event": "wall_climbed.v3", "metres": "many", "place": ""}, "does not fit"),
        ({"event": 7}, "no event"),
        (None, "cannot be read"),
        ([1], "cannot be read"),
    ],
)
def test_what_is_another_event_or_does_not_fit_is_refused(payload: Any, words: str) -> None:
    """A newer version than ours, another event, wrong fields, or no object at all."""
    with pytest.raises(CodecError, match=words):
        read_event(Climbed, payload, "wall_climbed.v3")


def test_a_version_without_upgrader_is_refused() -> None:
    """The error says what is missing."""

    class Fallen(Event, frozen=True, tag="wall_fallen.v2"):
        """Somebody fell."""

    with pytest.raises(CodecError, match="no upgrader from version 1"):
        read_event(Fallen, {}, "wall_fallen")
