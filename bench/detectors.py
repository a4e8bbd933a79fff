"""How well the detectors find what others labelled, by kind: `./dev bench detectors`.

The labelled texts come from packages that are installed from a lock of their own (`bench/peers/detector_data.py`),
and nothing of theirs is in this repository. A find counts when it covers the labelled place and is of its kind; a find
where nothing of its kind is labelled is wrong. Of Kingfisher's examples one half (by a digest of the rule's name) was
looked at while the detectors were built; only the other half counts.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from bench.figures import Figure
from bench.servers import ROOT
from cenoby.kernel.settings import RedactionSettings
from cenoby.kernel.settings_dlp import DlpSettings
from cenoby.protection.dlp.log_lines import log_redaction
from cenoby.protection.dlp.national import NATIONAL
from cenoby.protection.dlp.provider_tokens import PROVIDER_TOKENS
from cenoby.protection.dlp.scan import PERSONAL, SECRET_KINDS, Scanner
from cenoby.protection.redact import Redactor

VENV = ROOT / ".detectors-venv"
LEAST_RECALL, LEAST_PRECISION, LEAST_SPEED = 0.97, 0.95, 30.0
BARE = "faker-bare"


def main(as_json: bool) -> int:
    rows = labelled()
    scores = score(rows)
    speed = clean_speed()
    print_to = sys.stderr if as_json else sys.stdout
    print(f"a log line without finds: {log_line_us():.1f} µs of processor time", file=print_to)
    figures = [*_figures(scores), Figure("redaction_mb_per_s", speed, LEAST_SPEED, "MB/s", at_least=True)]
    if as_json:
        print(json.dumps({"kinds": scores, "figures": {one.name: one.value for one in figures}}, indent=1))
    else:
        _print(scores)
        print(*figures, sep="\n")
    return 0 if all(one.reached for one in figures) else 1


def labelled() -> list[dict[str, Any]]:
    """All labelled texts, from the environment that has their sources, which is made at first use."""
    python, sources = VENV / "bin" / "python", VENV / "sources"
    locks = [ROOT / "requirements" / name for name in ("detectors.txt", "detectors-data.txt")]
    stamp = VENV / ".stamp"
    if not stamp.exists() or any(stamp.stat().st_mtime < lock.stat().st_mtime for lock in locks):
        print("bench: installing the labelled data's packages into .detectors-venv (once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(python), "-m", "pip"]
        subprocess.run([*pip, "install", "-q", "--require-hashes", "-r", str(locks[0])], check=True)
        # The data is in the source archive alone.
        download = ["download", "-q", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
        subprocess.run([*pip, *download, "-r", str(locks[1]), "-d", str(sources)], check=True)
        stamp.touch()
    script = ROOT / "bench" / "peers" / "detector_data.py"
    done = subprocess.run([str(python), str(script), str(sources)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def score(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Recall and precision by kind, over all sources."""
    scanner = Scanner(secrets=True, personal=PERSONAL)
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        hits = scanner.spans(row["text"])
        if row["source"] == "kingfisher":
            _score_kingfisher(row["about"], hits, tally)
        else:
            _score_row(row, hits, tally)
    return {kind: _scored(counts) for kind, counts in sorted(tally.items())}


def _score_row(row: dict[str, Any], hits: list[tuple[int, int, str]], tally: dict[str, Counter[str]]) -> None:
    bare = " (bare)" if row["source"] == BARE else ""
    for start, end, kind in row["labels"]:
        found = any(at <= start and to >= end and is_kind(hit, kind) for at, to, hit in hits)
        tally[kind + bare]["found" if found else "missed"] += 1
    for at, to, hit in hits:
        right = any(at < end and to > start and is_kind(hit, kind) for start, end, kind in row["labels"])
        # One of several countries' numbers may be read as another's: it is gone either way.
        national = hit in NATIONAL_KINDS and any(at < end and to > start for start, end, _ in row["labels"])
        if not national or right:
            group = "any secret" if hit in SECRET_KINDS else hit
            tally[group + (bare if right else "")]["right" if right else "wrong"] += 1


NATIONAL_KINDS = frozenset(kind for detector in NATIONAL for kind in detector.kinds)
PROVIDERS = frozenset(kind.split("_")[0] for kind in PROVIDER_TOKENS.kinds)


def is_kind(hit: str, kind: str) -> bool:
    """Whether a find is of a labelled kind; a number that is valid in two countries may be told as either."""
    return (
        hit == kind
        or (kind in NATIONAL_KINDS and hit in NATIONAL_KINDS)
        or (kind == "any secret" and hit in SECRET_KINDS)
    )


def _score_kingfisher(rule: str, hits: list[tuple[int, int, str]], tally: dict[str, Counter[str]]) -> None:
    provider = rule.split(".")[1]
    group = "providers in the table" if provider in PROVIDERS else "providers not in the table"
    half = "" if is_held_out(rule) else " (looked at)"
    found = any(kind in SECRET_KINDS for _, _, kind in hits)
    tally[f"kingfisher: {group}{half}"]["found" if found else "missed"] += 1


def is_held_out(rule: str) -> bool:
    """Whether a rule of Kingfisher's belongs to the half that nobody looked at while building."""
    return hashlib.sha256(rule.encode()).digest()[0] % 2 == 0


def _scored(counts: Counter[str]) -> dict[str, float]:
    labelled, told = counts["found"] + counts["missed"], counts["right"] + counts["wrong"]
    made: dict[str, float] = {"labelled": labelled, "wrong": counts["wrong"]}
    if labelled:
        made["recall"] = counts["found"] / labelled
    if told:
        made["precision"] = counts["right"] / told
    return made


def _figures(scores: dict[str, dict[str, float]]) -> list[Figure]:
    checksummed = ["card", "iban", *sorted(NATIONAL_KINDS & scores.keys())]
    rows = [scores[kind] for kind in checksummed if scores[kind]["labelled"]]
    labelled = sum(row["labelled"] for row in rows)
    found = sum(row["labelled"] * row["recall"] for row in rows)
    wrong = sum(row["wrong"] for row in rows)
    keys = scores["kingfisher: providers in the table"]
    false_keys = scores.get("any secret", {}).get("wrong", 0)
    found_keys = keys["labelled"] * keys["recall"]
    return [
        Figure("checksummed recall", found / labelled, LEAST_RECALL, "", at_least=True),
        Figure("checksummed precision", found / (found + wrong), LEAST_PRECISION, "", at_least=True),
        Figure("keys recall", keys["recall"], LEAST_RECALL, "", at_least=True),
        Figure("keys precision", found_keys / (found_keys + false_keys), LEAST_PRECISION, "", at_least=True),
    ]


def _print(scores: dict[str, dict[str, float]]) -> None:
    print(f"{'kind':44}{'labelled':>9}{'recall':>9}{'precision':>11}{'wrong':>7}")
    for kind, row in scores.items():
        recall = f"{row['recall']:.3f}" if "recall" in row else "-"
        precision = f"{row['precision']:.3f}" if "precision" in row else "-"
        print(f"{kind:44}{row['labelled']:>9.0f}{recall:>9}{precision:>11}{row['wrong']:>7.0f}")


def clean_speed() -> float:
    """Megabytes of text without hits a second of processor time, with the shipped settings: the best of five."""
    redactor = Redactor(RedactionSettings())
    text = _clean_text()
    assert redactor.text(text) is text, "the clean text holds something"
    best = 0.0
    for _ in range(5):
        begun = time.thread_time()
        redactor.text(text)
        best = max(best, len(text.encode()) / 1e6 / (time.thread_time() - begun))
    return best


def log_line_us() -> float:
    """Microseconds of processor time for the texts of one usual log line: the best of five."""
    redact = log_redaction(DlpSettings(), RedactionSettings(), Redactor(RedactionSettings()))
    line = (
        "2026-11-20T22:30:01.123456Z",
        "warning",
        "protection.egress",
        "egress_refused",
        "host",
        "tools.example.org",
    )
    best = float("inf")
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(2000):
            for text in line:
                redact(text)
        best = min(best, (time.thread_time() - begun) / 2000 * 1e6)
    return best


def _clean_text() -> str:
    # Documentation of this repository: words, code, versions, dates, tables; lines with finds are left out.
    redactor = Redactor(RedactionSettings())
    lines = [line for path in sorted(Path(ROOT, "docs").glob("*.md")) for line in path.read_text().splitlines()]
    clean = "\n".join(line for line in lines if not redactor.spans(line))
    return "\n".join([clean] * (8_000_000 // len(clean) + 1))


if __name__ == "__main__":
    sys.exit(main("--json" in sys.argv))
