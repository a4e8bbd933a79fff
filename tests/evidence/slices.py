"""A journal with everything in it that an export can hold, its log, and the verifier, which is a file of its own."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from cenoby.kernel.signing import SigningKey
from cenoby.protection.evidence.export import Choice, export, to_text
from cenoby.protection.evidence.notes import NoteKey
from cenoby.store.journal import Entry, Journal

VERIFIER_FILE = Path(__file__).resolve().parents[2] / "verifier" / "cenoby_verify.py"
PAYLOADS: tuple[dict[str, Any], ...] = (
    {},
    {"amount": 12, "to": "Zoë ✓ \u2028", "nested": {"list": [1, -1, 2.5, None, True, {"deep": ""}]}},
    {"big": 2**63, "small": -(2**63), "many": list(range(70_000))},
    {"long": "x" * 300, "longer": "y" * 70_000, "zero": 0.0, "false": False},
    {f"key{number}": number * 1000003 for number in range(20)},
)


def load_verifier() -> ModuleType:
    """The verifier, imported by its path."""
    spec = importlib.util.spec_from_file_location("cenoby_verify", VERIFIER_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VERIFIER = load_verifier()


class Openssl:
    """The verifier's own check of signatures by the `openssl` command, remembered for bytes that it has checked."""

    def __init__(self) -> None:
        self.known: dict[tuple[bytes, bytes, bytes], bool] = {}
        self.runs = 0

    def __call__(self, key: bytes, data: bytes, signature: bytes) -> bool:
        found = self.known.get((key, data, signature))
        if found is None:
            self.runs += 1
            found = self.known[key, data, signature] = VERIFIER.openssl_verifies(key, data, signature)
        return found


def entry(number: int, payload: dict[str, Any], agent: str = "") -> Entry:
    """One of several kinds of entries."""
    return Entry(
        kind=("call", "event", "decision")[number % 3],
        tenant="acme",
        agent=agent or ("ada", "bob")[number % 2],
        correlation=f"c{number // 3}",
        mad="rogers",
        tool="mads.rogers.post_message",
        action="comms:internal",
        decision=("allowed", "", "refused")[number % 3],
        status="ok",
        code="noted" if number % 3 == 1 else "",
        payload=payload,
    )


async def fill(journal: Journal, count: int, *, rich: bool = False) -> list[str]:
    """Append so many entries, each on its own; their ids. With `rich`, some payloads are large."""
    small = [{}, PAYLOADS[1], {"number": 7}]
    ids: list[str] = []
    for number in range(count):
        payload = PAYLOADS[number % len(PAYLOADS)] if rich else small[number % 3]
        ids.append((await journal.append(entry(number, payload))).id)
    return ids


def exported(connection: Any, keys: list[SigningKey], choice: Choice = Choice(), kept: tuple[str, ...] = ()) -> Any:  # noqa: B008
    """An export as whoever gets the file reads it."""
    return json.loads("".join(to_text(export(connection, keys, choice, kept))))


def key_of(origin: str, key: SigningKey) -> Any:
    """A log's public key as the verifier takes it."""
    return VERIFIER.Key(NoteKey(origin, key.public).to_text())
