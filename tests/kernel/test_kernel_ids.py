"""Time-ordered ids."""

from __future__ import annotations

import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from cenoby.kernel.clock import ManualClock
from cenoby.kernel.ids import IdSource
from cenoby.kernel.randomness import RandomPool


def test_an_id_is_a_uuid_of_version_seven_with_the_clocks_time() -> None:
    """The standard library reads the id as UUIDv7, and its time is the clock's to the millisecond."""
    clock = ManualClock(1_767_225_600_123_456_789)
    made = IdSource(clock).new()
    assert uuid.UUID(made).version == 7
    assert uuid.UUID(made).variant == uuid.RFC_4122
    assert uuid.UUID(made).int >> 80 == 1_767_225_600_123


@given(st.lists(st.floats(min_value=-2, max_value=2), max_size=30), st.integers(1, 300))
def test_ids_sort_in_the_order_in_which_they_were_made(steps: list[float], many: int) -> None:
    """However the wall clock jumps, later ids are greater, and none repeats."""
    clock = ManualClock()
    source = IdSource(clock)
    made = []
    for step in steps:
        clock.jump(step)
        made += [source.new() for _ in range(many)]
    assert made == sorted(set(made))


def test_more_ids_than_a_millisecond_counts_stay_in_order() -> None:
    """10,000 ids of one millisecond are distinct and ordered."""
    source = IdSource(ManualClock())
    made = [source.new() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_threads_that_ask_at_once_get_ids_of_their_own() -> None:
    """Four threads, switched as often as can be, share a source: no id twice, and each thread's own ids ascend."""
    source, interval = IdSource(ManualClock()), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda _: [source.new() for _ in range(3_000)], range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert all(ids == sorted(ids) for ids in made)
    assert len({one for ids in made for one in ids}) == 12_000


def test_a_forked_process_makes_other_ids_and_other_bytes() -> None:
    """After a fork, parent and child draw different random digits and salts, though both had some in stock."""
    source, pool = IdSource(ManualClock()), RandomPool()
    source.new()
    pool.take(16)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, source.new().encode() + pool.take(16))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    made = os.read(ours, 100)
    os.close(ours)
    assert len(made) == 52
    assert made[:36].decode() != source.new()
    assert made[36:] != pool.take(16)
