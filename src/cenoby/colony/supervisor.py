"""Supervision: a MAD that breaks is made anew, its mailbox stays, and one that keeps breaking is given up.

After OTP's `one_for_one`: only the MAD that broke is restarted, after a pause that doubles each time and is spread by
chance; more than `restarts` within `within` seconds, and it stays down until a person restarts it (Erlang/OTP,
`supervisor`, "Maximum Restart Intensity"). A person may pause, resume, restart and kill as well.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

from cenoby.colony.errors import CallInvalid, ColonyUnavailable
from cenoby.colony.events import MadChange, MadFailed, MadKilled, MadPaused, MadRestarted, MadResumed
from cenoby.colony.host import Host
from cenoby.colony.mad import Mad
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings import SupervisionSettings
from cenoby.telemetry.logs import get_logger

_log = get_logger("colony.supervisor")


class MadState(StrEnum):
    """How a MAD stands."""

    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    KILLED = "killed"
    FAILED = "failed"


class _Life:
    """One MAD: how to make it again, and what became of it."""

    def __init__(self, make: Callable[[], Mad]) -> None:
        self.make = make
        self.state = MadState.RUNNING
        self.reason = ""
        self.restarts = 0
        self.recent_ns: deque[int] = deque()
        self.turn = asyncio.Lock()
        self.again: asyncio.Task[Any] | None = None
        self.recycling: asyncio.TimerHandle | None = None


class Supervisor:
    """The life of every MAD of a node.

    Args:
        host: where they are hosted.
        settings: how often one may break, and how long to wait.
        clock: the time.
        changed: told of each change, at once and on the loop.
    """

    def __init__(
        self, host: Host, settings: SupervisionSettings, clock: Clock, changed: Callable[[MadChange], None]
    ) -> None:
        self._host = host
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._lives: dict[str, _Life] = {}

    async def start(self, make: Callable[[], Mad]) -> str:
        """Make a MAD, host it and watch over it; its name.

        Raises:
            Exception: whatever making or starting it raised; nothing is hosted then.
        """
        mad = make()
        await self._host.add(mad)
        self._lives[mad.name] = life = _Life(make)
        self._watch(mad, life)
        return mad.name

    async def stop(self) -> None:
        """Watch no more, and stop all MADs, the last started first."""
        for life in self._lives.values():
            if life.again is not None:
                life.again.cancel()
                with suppress(asyncio.CancelledError):
                    await life.again
            if life.recycling is not None:
                life.recycling.cancel()
        self._lives.clear()
        await self._host.stop()

    async def dismiss(self, name: str) -> None:
        """Stop one MAD and watch over it no more; it is hosted elsewhere now."""
        life = self._lives.pop(name, None)
        if life is None:
            return
        self._forget_restart(life)
        if life.recycling is not None:
            life.recycling.cancel()
        await self._host.remove(name)

    def state(self, name: str) -> tuple[MadState, str, int]:
        """How a MAD stands, why, and how often it was restarted."""
        life = self._lives.get(name)
        return (life.state, life.reason, life.restarts) if life else (MadState.RUNNING, "", 0)

    def serves(self, name: str) -> bool:
        """Whether it runs, or is paused; not while it is started, restarted, or down. Any thread may ask."""
        life = self._lives.get(name)
        return life is not None and life.state in (MadState.RUNNING, MadState.PAUSED) and life.again is None

    def breach(self, name: str, reason: str) -> bool:
        """Make a MAD anew that passed a limit, as one that broke; whether that begins now.

        Args:
            name: of the MAD; one that does not serve is left alone.
            reason: which limit, for the journal and for `status`.
        """
        if not self.serves(name):
            return False
        _log.error("mad_passed_limit", mad=name, reason=reason)
        life = self._lives[name]
        life.again = asyncio.create_task(self._recover(name, life, reason))
        return True

    async def pause(self, name: str, reason: str) -> None:
        """Let its calls wait in the mailbox; those under way go on.

        Raises:
            CallInvalid: there is no such MAD.
            ColonyUnavailable: mad_down: it does not run.
        """
        life = self._life(name)
        async with life.turn:
            if life.state not in (MadState.RUNNING, MadState.PAUSED):
                raise ColonyUnavailable("mad_down", f"{name} is {life.state}: {life.reason}. Restart it first.")
            self._host.hold(name)
            self._turn(name, life, MadState.PAUSED, MadPaused, reason)

    async def resume(self, name: str) -> None:
        """Serve the calls that wait.

        Raises:
            CallInvalid: there is no such MAD, or it is not paused.
        """
        life = self._life(name)
        async with life.turn:
            if life.state is not MadState.PAUSED:
                raise CallInvalid("arguments_invalid", f"{name} is not paused but {life.state}.")
            self._host.release(name)
            self._turn(name, life, MadState.RUNNING, MadResumed, "")

    async def kill(self, name: str, reason: str) -> None:
        """Stop it at once: its calls under way and waiting end as faults, and new ones are refused with the reason.

        Raises:
            CallInvalid: there is no such MAD.
        """
        life = self._life(name)
        self._forget_restart(life)
        async with life.turn:
            self._turn(name, life, MadState.KILLED, MadKilled, reason)
            await self._host.take_down(name, f"{name} was killed: {reason}")

    async def restart(self, name: str, reason: str) -> None:
        """Make it anew, also one that is paused, killed or failed; its mailbox stays, and what waits is served then.

        Raises:
            CallInvalid: there is no such MAD.
            ColonyUnavailable: mad_down: it cannot be made or started; the message says why.
        """
        life = self._life(name)
        self._forget_restart(life)
        life.recent_ns.clear()
        try:
            await self._anew(name, life, reason)
        except Exception as error:
            raise ColonyUnavailable("mad_down", f"{name} is down: {life.reason}") from error

    async def _anew(self, name: str, life: _Life, reason: str) -> None:
        async with life.turn:
            life.state, life.reason = MadState.RESTARTING, reason
            self._host.hold(name)
            try:
                mad = life.make()
                await self._host.replace(mad)
            except BaseException as error:
                life.state, life.reason = MadState.FAILED, f"it cannot be made anew: {error}"
                await self._host.take_down(name, f"{name} is down: {life.reason}")
                raise
            life.restarts += 1
            self._watch(mad, life)
            self._turn(name, life, MadState.RUNNING, MadRestarted, reason)
            self._host.release(name)

    def _watch(self, mad: Mad, life: _Life) -> None:
        mad.along.on_failure(lambda error: self._broke(mad, life, error))
        if life.recycling is not None:
            life.recycling.cancel()
        seconds = self._settings.recycle_after
        if seconds is not None:
            life.recycling = asyncio.get_running_loop().call_later(seconds, self._recycle, mad.name, life)

    def _recycle(self, name: str, life: _Life) -> None:
        if life.state is MadState.RUNNING and life.again is None:
            life.again = asyncio.create_task(self._try_again(name, life, 0.0, "its time was up"))

    def _broke(self, mad: Mad, life: _Life, error: BaseException) -> None:
        _log.error("mad_broke", mad=mad.name, exc_info=error)
        if self.serves(mad.name):
            reason = f"{type(error).__name__}: {error}"
            life.again = asyncio.create_task(self._recover(mad.name, life, reason))

    async def _recover(self, name: str, life: _Life, reason: str) -> None:
        settings = self._settings
        while True:
            now_ns = self._clock.monotonic_ns()
            while life.recent_ns and now_ns - life.recent_ns[0] > settings.within * 1e9:
                life.recent_ns.popleft()
            if len(life.recent_ns) >= settings.restarts:
                life.again = None
                await self._give_up(name, life, reason)
                return
            pause = min(settings.backoff * 2 ** len(life.recent_ns), settings.longest_backoff)
            life.recent_ns.append(now_ns)
            if await self._try_again(name, life, pause * random.uniform(0.5, 1.5), reason):  # noqa: S311 - no secret
                return
            reason = life.reason

    async def _try_again(self, name: str, life: _Life, pause: float, reason: str) -> bool:
        self._host.hold(name)
        life.state, life.reason = MadState.RESTARTING, reason
        await asyncio.sleep(pause)
        try:
            await self._anew(name, life, reason)
        except Exception:  # noqa: BLE001 - the border to a MAD's code
            _log.exception("mad_restart_failed", mad=name)
            return False
        life.again = None
        return True

    async def _give_up(self, name: str, life: _Life, reason: str) -> None:
        settings = self._settings
        async with life.turn:
            why = f"it broke more than {settings.restarts} times within {settings.within:g} s, the last time: {reason}"
            self._turn(name, life, MadState.FAILED, MadFailed, why)
            await self._host.take_down(name, f"{name} is down: {why}")

    def _turn(self, name: str, life: _Life, state: MadState, kind: type[MadChange], reason: str) -> None:
        life.state, life.reason = state, reason
        self._changed(kind(mad=name, restarts=life.restarts, notes=reason))

    def _forget_restart(self, life: _Life) -> None:
        if life.again is not None:
            life.again.cancel()
            life.again = None

    def _life(self, name: str) -> _Life:
        life = self._lives.get(name)
        if life is None:
            raise CallInvalid("arguments_invalid", f"There is no MAD {name!r}; there are {sorted(self._lives)}.")
        return life
