"""`python -m bench.rules [--json]`: what the security rules cost per call.

Times are processor time, the best of nine rounds: they say what the work takes, and not what else the machine does.
"""

from __future__ import annotations

import json
import random
import sys
import timeit
from collections.abc import Callable
from time import process_time
from typing import Any

from cenoby.kernel.codec import canonical_json
from cenoby.kernel.settings import EgressSettings
from cenoby.kernel.settings_rules import RuleSettings
from cenoby.protection.rules.engine import RuleEngine
from cenoby.protection.rules.instructions import may_be_marked

_TEXT = (
    "the quick brown fox jumps over the authorisation of lazy dogs in 2026 and writes a message about documentation "
    "that updates, deletes or drops nothing; please confirm it on https://example.com/a?b=c by Friday"
)
_WORDS = _TEXT.split()
_ID = "0192f0c1-2345-7890-abcd-0123456789ab"


def _prose(size: int, chance: random.Random) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append(chance.choice(_WORDS))
    return " ".join(words)[:size]


def _calls(chance: random.Random) -> dict[str, dict[str, Any]]:
    prose = {size: _prose(size, chance) for size in (200, 1_000, 10_000)}
    return {
        **{f"a message of {size} B": {"conversation": _ID, "content": text} for size, text in prose.items()},
        **{f"a file of {size} B": {"path": "src/app/main.py", "content": text} for size, text in prose.items()},
        "a URL": {"url": "https://example.com/search?q=ferry"},
        "a command": {"command": "git commit -m 'mend the build' && git push origin main"},
        "a statement": {"sql": "UPDATE users SET name = 'ada' WHERE id = 7"},
        "a message in German of 1000 B": {"content": ("Grüße aus Köln, schöne Übung. " * 40)[:1000]},
    }


def _microseconds(call: dict[str, Any], engine: RuleEngine) -> float:
    data = canonical_json(call)
    rounds = 2_000 if len(data) < 5_000 else 200

    def check() -> None:
        engine.check(call, data, action="tool:call", outside=False, kinds={}, sensitive=frozenset())

    return _best(check, rounds)


def _best(work: Callable[[], object], rounds: int) -> float:
    return min(timeit.repeat(work, number=rounds, repeat=9, timer=process_time)) / rounds * 1e6


def main() -> None:
    """Print what a check costs by kind and size of call."""
    engine = RuleEngine(RuleSettings(), EgressSettings())
    calls = _calls(random.Random(4))
    times = {name: round(_microseconds(call, engine), 1) for name, call in calls.items()}
    results: dict[str, float] = {}
    for size in (200, 1_000, 10_000):
        data = canonical_json(calls[f"a message of {size} B"])
        results[f"a result of {size} B"] = round(
            min(timeit.repeat(lambda data=data: may_be_marked(data), number=500, repeat=9, timer=process_time))
            / 500
            * 1e6,
            1,
        )
    if "--json" in sys.argv:
        print(json.dumps({"check_us": times, "result_us": results}))
        return
    for name, microseconds in (times | results).items():
        print(f"{name:32} {microseconds:8.1f} us")


if __name__ == "__main__":
    main()
