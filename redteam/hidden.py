"""Unicode that shows one thing and means another: in tool names, in arguments that rules read, in names of agents."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from redteam.house import House, suite
from redteam.report import Report, Room
from redteam.target import REACHED

_FOLDS: dict[str, Callable[[str], str]] = {
    "full width": lambda text: "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text),
    "mathematical": lambda text: "".join(
        chr(ord(sign) - 97 + 0x1D41A) if "a" <= sign <= "z" else sign for sign in text
    ),
    "monospace": lambda text: "".join(chr(ord(sign) - 97 + 0x1D68A) if "a" <= sign <= "z" else sign for sign in text),
    "zero width space": lambda text: "\u200b".join(text),
    "word joiner": lambda text: "\u2060".join(text),
    "soft hyphen": lambda text: "\u00ad".join(text),
    "byte order mark": lambda text: "\ufeff".join(text),
    "variation selector": lambda text: "\ufe0f".join(text),
    "Hangul filler": lambda text: "\u3164".join(text),
    "tags": lambda text: text[:2] + "".join(chr(0xE0000 + ord(sign)) for sign in "hidden") + text[2:],
    "right to left": lambda text: f"\u202e{text}\u202c",
    "isolate": lambda text: f"\u2066{text}\u2069",
    "combining joiner": lambda text: "\u034f".join(text),
    "Mongolian separator": lambda text: "\u180e".join(text),
    "doubly encoded": lambda text: "".join(f"%25{ord(sign):02x}" for sign in text),
    "character references": lambda text: "".join(f"&#x{ord(sign):x};" for sign in text),
    "JavaScript escapes": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
}
_FORBIDDEN = (
    ("open_file", "path", "../../etc/passwd"),
    ("open_file", "path", "/etc/shadow"),
    ("visit", "url", "http://localhost/"),
    ("visit", "url", "http://169.254.169.254/"),
    ("say", "text", "api_key = ghp_a1B2c3D4e5F6a1B2c3D4e5F6a1B2c3D4e5F6"),
)
_KEYS = ("te\u200bxt", "text\u00ad", "ｔext", "tеxt", "TEXT", "te\ufeffxt", "text\x00", "text ", "\u202etext")
_NAMES = (
    "mads.target.gоvern",
    "mads.target.ｇovern",
    "mads.target.govern\u200b",
    "mads.target.\u202egovern",
    "MADS.TARGET.GOVERN",
    "mads.target.govern\x00",
    "mads.target.govern ",
    "mads․target․govern",
    "mads__target__govern",
    "mads.target..govern",
    "mads/target/govern",
    "mads.target.ſay",
    "mads.tаrget.say",
    "mads.target.say\n",
    "mads.target.govern%00say",
)
_INNOCENT = (
    "Grüße aus Köln",
    "日本語のテキスト",
    "می\u200cخواهم",
    "👩\u200d👩\u200d👧 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "naïve café",
)


def _attacks() -> Iterator[tuple[str, str, dict[str, str]]]:
    """What is tried, the tool, its arguments."""
    for verb, argument, text in _FORBIDDEN:
        for name, fold in _FOLDS.items():
            yield f"{verb}: {name}", f"mads.target.{verb}", {argument: fold(text)}
    for key in _KEYS:
        yield f"a key {key!a} beside text", "mads.target.say", {"text": "shown", key: "meant"}
    for name in _NAMES:
        yield f"a tool called {name!a}", name, {"text": "meant"}


async def attack(house: House, room: Room) -> Report:
    """Make each call; it must be refused, or what reaches the tool must be what everybody sees."""
    report = Report()
    for text in _INNOCENT:
        heard = await house.call("ada", "mads.target.say", text=text)
        report.control(f"{text!a} was changed: {heard.code}", passed=heard.code == "ok" and text in REACHED)
    for what, tool, arguments in room.draw(_attacks()):
        before = len(REACHED)
        heard = await house.call("ada", tool, **arguments)
        report.count(f"{what}: {heard.code} {REACHED[before:]!a}", stopped=len(REACHED) == before)
    for name in ("аda", "ada\u200b", "ａda", "ADA", "ada\n", "pia "):
        made = await house.call("pia", "mads.grace.create_token", agent=name, role="operator")
        report.count(f"an agent called {name!a}: {made.code}", stopped=made.code not in ("ok", "http 0"))
    return report


play = suite(attack)
