"""No sequence of calls, grants, revocations and reloads lets an agent do what the rule in force at that moment denies.

Nor does any keep an agent from what the rule allows.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from cenoby.access.budgets.accounts import Account
from cenoby.access.tokens import NewToken
from cenoby.store.journal import JournalQuery, Record
from tests.whole_rule.known_sequences import KNOWN
from tests.whole_rule.play import Play, first_data
from tests.whole_rule.random_steps import SEQUENCES
from tests.whole_rule.steps import Step, release
from tests.whole_rule.yard import AGENT_USD, CAST, FACTS, TENANT_USD

EXAMPLES = int(os.environ.get("RULE_EXAMPLES", "0"))
"""More of them, and random ones, for a search by hand; the test itself is the same every time."""
SEEN: Counter[str] = Counter()


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, NewToken]]:
    """A data directory with the cast in it, and everybody's token."""
    folder = tmp_path_factory.mktemp("beginning")
    return folder, asyncio.run(first_data(folder))


async def play_all(folder: Path, tokens: Mapping[str, NewToken], sequence: list[Step]) -> None:
    play = Play(folder, tokens)
    await play.open()
    try:
        for number, step in enumerate(sequence):
            SEEN[type(step).__name__] += 1
            await step.take(play)
            assert not play.wrong, (number, step, play.wrong)
        await release(play)
        assert not play.wrong, play.wrong
        SEEN["effects"] += len(play.effects)
        await check_money(play)
        await check_journal(play)
    finally:
        play.gate.set()
        await play.close()


async def check_money(play: Play) -> None:
    """The ledger has what was spent and nothing else, and nobody spent more than their budget."""
    ledger = play.parts.ports.ledger
    for kind, name, limit in [*(("agent", one, AGENT_USD) for one in CAST), ("tenant", "rival", TENANT_USD)]:
        held, spent = await ledger.standing(Account(kind, name, "micro_usd"))
        assert held + spent == play.books.charged(kind, name, play.now_ns), (name, held, spent)
        assert 0 <= held + spent <= limit


async def all_records(play: Play) -> dict[str, list[Record]]:
    """The records of each call, oldest first; without events."""
    found: dict[str, list[Record]] = {}
    cursor, journal = "", play.parts.ports.journal
    while True:
        page = await journal.page(JournalQuery(newest_first=False, limit=500, cursor=cursor))
        for record in page.records:
            if record.kind != "event":
                found.setdefault(record.invocation, []).append(record)
        if not (cursor := page.next):
            return found


async def check_journal(play: Play) -> None:
    """Every call has one decision; what ran was allowed; each side effect has its intent before and one outcome after;
    an approval was used up once at most, for its exact arguments; and the chain verifies."""
    records, ran = await all_records(play), [invocation for invocation, _, _ in play.effects]
    made = {one.invocation.id for one in play.flights.values() if not one.wanted.resumed}
    assert records.keys() == made | play.runs.keys()
    assert len(ran) == len(set(ran))
    for invocation, found in records.items():
        kinds = [one.kind for one in found]
        assert kinds in (["call"], ["decision", "intent", "outcome"]), (invocation, kinds)
        assert [one.decision for one in found if one.decision] == [found[0].decision]
    used: Counter[str] = Counter()
    for invocation, agent, wanted in play.effects:
        first = records[invocation][0]
        assert (first.decision, first.agent, first.tool) == ("allowed", agent, wanted.tool)
        if FACTS[wanted.tool].effect != "reads":
            assert len(records[invocation]) == 3, wanted
        for one in records[invocation]:
            whole = await play.parts.ports.journal.get(one.id)
            assert whole is not None
            if (request := play.books.request(str((whole.payload or {}).get("approval", "")))) is not None:
                used[request.id] += 1
                assert (request.agent, request.wanted.key) == (agent, wanted.key)
                break
    assert all(times == 1 for times in used.values()), used
    assert set(used) == {one.id for one in play.books.requests if one.spent}
    assert (await play.parts.ports.journal.verify()).ok


@settings(
    max_examples=EXAMPLES or 8,
    deadline=None,
    derandomize=not EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if EXAMPLES else [])],
    suppress_health_check=list(HealthCheck),
)
@given(sequence=SEQUENCES)
def test_nobody_does_what_the_rule_denies_nor_is_kept_from_what_it_allows(
    beginning: tuple[Path, Mapping[str, NewToken]], sequence: list[Step]
) -> None:
    """Several agents of two tenants call tools while tokens, roles, policies, tiers, levels and kill switches change,
    people decide, time passes and the colony restarts: each call comes to what an independent oracle says of it."""
    source, tokens = beginning
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "colony"
        shutil.copytree(source, folder)
        asyncio.run(play_all(folder, tokens, sequence))


@pytest.mark.parametrize("name", KNOWN)
def test_known_sequences(beginning: tuple[Path, Mapping[str, NewToken]], tmp_path: Path, name: str) -> None:
    """One of each kind of change beside the calls that it decides on, and what was found once."""
    source, tokens = beginning
    shutil.copytree(source, tmp_path / "colony")
    asyncio.run(play_all(tmp_path / "colony", tokens, KNOWN[name]))


def test_the_property_was_tried_on_everything() -> None:
    """The random sequences are not all of one kind: every kind of step was taken, and much was let through."""
    assert {"Work", "Alter", "Reload", "Decide", "Race", "Release", "LetGo", "Wait", "Restart"} <= SEEN.keys()
    assert SEEN["effects"] > 50, SEEN
