"""How late the event loop is, and whose step it is that keeps it.

All MADs of a node share one loop, so its lateness says nothing about who caused it. A thread beside the loop looks at
the loop's stack whenever the loop misses a beat: the frame of a MAD that stands there at look after look is the step
that blocks. Calls cost nothing for it, because nobody looks while the loop answers.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from cenoby.colony.along import Along
from cenoby.colony.mad import Mad
from cenoby.colony.prompts import HostedPrompt
from cenoby.kernel.clock import Clock
from cenoby.telemetry.logs import get_logger

_log = get_logger("colony.loop_watch")
_LOOK_SECONDS = 0.2
_LOOKS_WITHIN_LIMIT = 5
_OVERSLEPT = 3
"""Looks that the watcher itself missed: it got no processor, or code that never lets go of the interpreter ran."""
_WORST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch in which the loop answered nobody.

    Attributes:
        mad: whose step it was; empty where no MAD was on the stack.
        place: the MAD's method that the loop had entered, e.g. `mads.marco.fetch`; empty where `mad` is.
        at: file and line where it stood when it was last seen.
        seconds: how long that one step held the loop, at least.
    """

    mad: str
    place: str
    at: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Lag:
    """Lateness of the loop in seconds: at its last beat, and the worst of the last half to whole minute."""

    last: float
    worst: float


@dataclass(frozen=True, slots=True)
class _Step:
    mad: str
    place: str
    entry: FrameType | None


class LoopWatch:
    """Measures the lateness of the running loop, and names who blocks it.

    Args:
        clock: the time.
        longest: seconds that one step may hold the loop; None to measure only.
        mad_of: the hosted MAD whose `along` this is, or nothing.
        accusable: asked for a MAD by the watching thread while the loop is blocked; where it says no, as while a MAD is
            started, the block is nobody's.
        blocked: told, on the loop and once it answers again, of each step that held it longer.
    """

    def __init__(
        self,
        clock: Clock,
        longest: float | None,
        *,
        mad_of: Callable[[Along], str],
        accusable: Callable[[str], bool],
        blocked: Callable[[Block], None],
    ) -> None:
        self._clock = clock
        self._longest = longest
        self._mad_of = mad_of
        self._accusable = accusable
        self._blocked = blocked
        self._look_every = min(_LOOK_SECONDS, (longest or 1.0) / _LOOKS_WITHIN_LIMIT)
        self._beats = 0
        self._due_ns = 0
        self._last = 0.0
        self._worst = (0.0, 0.0)
        self._worst_since_ns = 0
        self._found: tuple[int, Block] | None = None
        self._told = -1
        self._timer: asyncio.TimerHandle | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat, and to watch where there is a limit; called on the loop that is watched."""
        self._worst_since_ns = self._clock.monotonic_ns()
        self._schedule()
        if self._longest is not None:
            arguments = (threading.get_ident(), self._longest)
            self._thread = threading.Thread(target=self._watch, args=arguments, name="loop-watch", daemon=True)
            self._thread.start()

    async def stop(self) -> None:
        """Measure and watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._over.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def lag(self) -> Lag:
        """How late the loop is."""
        return Lag(self._last, max(self._worst))

    def _schedule(self) -> None:
        seconds = self._look_every / 2
        self._due_ns = self._clock.monotonic_ns() + round(seconds * 1e9)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._beat)

    def _beat(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self._last = max(now_ns - self._due_ns, 0) / 1e9
        if now_ns - self._worst_since_ns > _WORST_SECONDS * 1e9:
            self._worst, self._worst_since_ns = (0.0, self._worst[0]), now_ns
        self._worst = (max(self._worst[0], self._last), self._worst[1])
        if self._found is not None and self._found[0] > self._told:
            self._told, block = self._found
            self._blocked(block)
        self._beats += 1
        self._schedule()

    def _watch(self, thread: int, longest: float) -> None:
        """The watching thread: one look at a time, until the end."""
        processor = _processor_time_of(thread)
        beats, step, held = -1, _Step("", "", None), 0.0
        looked_ns, worked_ns = self._clock.monotonic_ns(), processor()
        while not self._over.wait(self._look_every):
            now_ns, now_worked_ns = self._clock.monotonic_ns(), processor()
            passed = (now_ns - looked_ns) / 1e9
            overslept = passed > self._look_every * _OVERSLEPT
            # What the watcher missed counts as far as the loop's thread computed: code that keeps the interpreter to
            # itself does, a machine that gave nobody a processor does not.
            passed = min(passed, (now_worked_ns - worked_ns) / 1e9) if overslept else passed
            looked_ns, worked_ns = now_ns, now_worked_ns
            if self._beats != beats:
                beats, step, held = self._beats, _Step("", "", None), 0.0
                if not overslept:
                    continue
            frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
            seen = self._step(frame)
            known = seen.entry is step.entry
            held = held + passed if known else passed if overslept else 0.0
            step = seen
            if held > longest and self._beats == beats:
                self._report(beats, Block(seen.mad, seen.place, _line(frame), held))
            del frame, seen

    def _report(self, beats: int, block: Block) -> None:
        first = self._found is None or self._found[0] != beats
        self._found = (beats, block)
        if first:
            # At once, because this loop may never answer again.
            _log.error("loop_blocked", mad=block.mad, place=block.place, at=block.at, seconds=round(block.seconds, 3))

    def _step(self, frame: FrameType | None) -> _Step:
        """The MAD's step on the stack: the innermost MAD, by the outermost of its frames that no other MAD called."""
        found = _Step("", "", None)
        for one in _outwards(frame):
            owner = self._owner(one)
            if owner is None or (found.mad and owner[0] != found.mad):
                if owner is not None:
                    break
                continue
            found = _Step(*owner, one)
        return found if found.mad and self._accusable(found.mad) else _Step("", "", None)

    def _owner(self, frame: FrameType) -> tuple[str, str] | None:
        """The MAD whose method a frame runs, and where the loop entered it."""
        code = frame.f_code
        if not code.co_argcount or code.co_varnames[0] != "self":
            return None
        owner: Any = frame.f_locals.get("self")
        if isinstance(owner, Mad):
            return owner.name, f"mads.{owner.name}.{code.co_name}"
        if isinstance(owner, HostedPrompt):
            return owner.render.mad, owner.render.name
        if isinstance(owner, Along) and (name := self._mad_of(owner)):
            return name, f"the work beside the calls of {name}"
        return None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _line(frame: FrameType | None) -> str:
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _processor_time_of(thread: int) -> Callable[[], int]:
    """Reads how many nanoseconds a thread has computed; always 0 where the system does not tell."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: 0
    clock = time.pthread_getcpuclockid(thread)
    return lambda: time.clock_gettime_ns(clock)
