"""However a denied text is written, it is caught: properties over encodings, and the bounds of looking."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cenoby.kernel.settings import EgressSettings
from cenoby.kernel.settings_rules import RuleSettings
from cenoby.protection.rules import spellings
from cenoby.protection.rules.engine import RuleEngine
from cenoby.protection.rules.spellings import TooMuch, encoded_runs, may_hold_runs, plain, readings
from tests.protection.rules.calls import found

COMMANDS = (
    "rm -rf /srv/data",
    "sudo rm -fr ./everything",
    "mkfs.ext4 /dev/sda1",
    "dd if=/dev/zero of=/dev/sda",
    "rd /s /q C:\\data",
)
FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


def utf16_base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-16-le")).decode()


def url_safe(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


ENCODINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": url_safe,
    "UTF-16 in base64": utf16_base64,
    "hex": lambda text: text.encode().hex(),
    "spaced hex": lambda text: text.encode().hex(" "),
    "escaped hex": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "percent where needed": lambda text: quote(text, safe=""),
    "references": lambda text: "".join(f"&#{ord(one)};" for one in text),
}
LOOKS: dict[str, Callable[[str], str]] = {
    "full width": lambda text: text.translate(FULL_WIDTH),
    "zero width": lambda text: "\u200b".join(text),
    "soft hyphens": lambda text: "\u00ad".join(text),
    "tags between": lambda text: "\U000e0041".join(text),
    "as it is": str,
}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(COMMANDS),
    st.sampled_from(sorted(LOOKS)),
    st.lists(st.sampled_from(sorted(ENCODINGS)), max_size=3),
    st.sampled_from(["command", "input", "data"]),
)
@example(COMMANDS[0], "zero width", ["base64", "hex", "base64"], "input")
@example(COMMANDS[0], "full width", ["UTF-16 in base64", "percent", "base64"], "input")
def test_every_encoding_of_a_denied_command_is_denied(command: str, look: str, layers: list[str], name: str) -> None:
    """Up to the declared depth of three layers, in any order, under any look, the command is found."""
    text = LOOKS[look](command)
    for layer in layers:
        text = ENCODINGS[layer](text)
    assert "deny" in found({name: text}).values(), text
    if layers and name == "command":
        assert "deny" in found({name: f"echo {text} | decode"}).values(), text


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ENCODINGS)), st.text(alphabet="abcdefghij /-", min_size=0, max_size=40))
def test_no_encoding_of_harmless_words_is_denied(layer: str, text: str) -> None:
    """What decodes to nothing bad is nothing bad."""
    assert "deny" not in found({"input": ENCODINGS[layer](f"note {text}")}).values()


def test_depth_is_what_the_settings_say() -> None:
    """With less depth, deeper layers are not taken off; that is the price of a smaller setting."""
    text = COMMANDS[0]
    for _ in range(2):
        text = base64.b64encode(text.encode()).decode()
    for depth, caught in ((0, False), (1, False), (2, True), (3, True)):
        engine = RuleEngine(RuleSettings(decode_depth=depth), EgressSettings())
        assert bool(found({"input": text}, engine=engine)) == caught


def test_too_much_to_look_into_is_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hides behind the bound: text that decodes to more than is looked at asks."""
    monkeypatch.setattr(spellings, "MOST_DECODED", 1000)
    many = "%41" * 1001
    with pytest.raises(TooMuch):
        list(readings(many, 3))
    assert found({"input": many}) == {"engine.too_much": "ask"}


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """No text makes the reading fail, and the plain text comes first and is plain."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    spelled = list(readings(text, 3))
    assert spelled[0] == plain(text)
    assert len(set(spelled)) == len(spelled)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from(sorted(ENCODINGS)), st.text(max_size=20))
def test_a_quick_no_is_certain(text: str, encoding: str, around: str) -> None:
    """Whatever has an encoded run that says something is found by the quick look at its bytes, too."""
    whole = plain(f"{around} {ENCODINGS[encoding](text)} {around}")
    if next(encoded_runs(whole), None) is not None:
        assert may_hold_runs(whole.encode(errors="replace"))
