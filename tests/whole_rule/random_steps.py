"""Random sequences of what may happen in a colony."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.whole_rule.steps import CHANGES, Alter, Decide, LetGo, Race, Release, Reload, Restart, Step, Wait, Work
from tests.whole_rule.yard import PEOPLE, WORKERS

names, people, numbers = st.sampled_from(WORKERS), st.sampled_from([*PEOPLE, "ola", "boss", "ada"]), st.integers(0, 60)
works = st.builds(
    Work,
    who=names,
    token=st.sampled_from([0, 0, 0, 1, 2]),
    tool=st.sampled_from(
        [f"mads.yard.{verb}" for verb in ("look", "note", "note", "send", "send", "wipe", "buy", "buy")]
        + ["mads.shed.note", "mads.shed.send"]
    ),
    key=st.sampled_from(["a", "a", "a", "b", "../../etc/passwd"]),
    end=st.sampled_from(["answer", "answer", "crash"]),
    amount=st.sampled_from([0, 1, 3, 50, 150]),
    spend=st.sampled_from([None, 0, 1, 40]),
    conversation=st.sampled_from(["", "", "talk"]),
    held=st.sampled_from([False, False, False, True]),
)
alters = st.builds(
    Alter,
    what=st.sampled_from([*CHANGES, "lift", "lift", "level", "token"]),
    by=people,
    name=names,
    number=numbers,
)
reloads = st.builds(
    Reload, what=st.sampled_from(["policies", "policies", "tiers", "broken policies", "broken tiers"]), number=numbers
)
decisions = st.builds(
    Decide,
    number=st.sampled_from([0, 0, 0, 1, 2, 5]),
    by=st.sampled_from([*PEOPLE, "pia", "chief"]),
    yes=st.sampled_from([True, True, False]),
    scope=st.sampled_from(
        [("once", 0, False)] * 3
        + [("time", 90, False), ("time", 90, True), ("conversation", 90, True), ("time", 0, False)]
    ),
)
races = st.builds(Race, works=st.lists(works, min_size=2, max_size=5).map(tuple),
                  change=st.one_of(alters, reloads, decisions))  # fmt: skip
lettings = st.builds(LetGo, number=st.sampled_from([0, 1, 2]), cancels=st.booleans())
waits = st.builds(Wait, minutes=st.sampled_from([30, 65, 245, 1500]))
KINDS: dict[str, tuple[int, st.SearchStrategy[Step]]] = {
    "work": (40, works), "alter": (16, alters), "reload": (8, reloads), "decide": (14, decisions), "race": (10, races),
    "release": (6, st.just(Release())), "let go": (3, lettings), "wait": (5, waits), "restart": (2, st.just(Restart())),
}  # fmt: skip
"""What may happen, and how often among a hundred steps."""
steps = st.sampled_from([kind for kind, (often, _) in KINDS.items() for _ in range(often)]).flatmap(
    lambda kind: KINDS[kind][1]
)

SEQUENCES: st.SearchStrategy[list[Step]] = st.lists(steps, min_size=40, max_size=80)
