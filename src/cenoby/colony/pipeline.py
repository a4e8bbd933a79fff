"""The pipeline: what happens to every tool call, in order. There is no other way to a tool.

Each stage is one file in `colony/stages/`, one object with one async method. On the way in a stage passes the call on
(returns None), answers it (returns an Outcome), or refuses or parks it (raises a CenobyError). Whatever came of it then
goes the whole way back, so that nothing is answered before it is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from cenoby.colony.errors import ToolFault
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.stages import Ports
from cenoby.colony.stages.admit import Admit
from cenoby.colony.stages.approve import Approve
from cenoby.colony.stages.authorise import Authorise
from cenoby.colony.stages.budget import Budget
from cenoby.colony.stages.classify import Classify
from cenoby.colony.stages.conduct import Conduct
from cenoby.colony.stages.dispatch import Dispatch
from cenoby.colony.stages.follow import Follow
from cenoby.colony.stages.identify import Identify
from cenoby.colony.stages.intend import Intend
from cenoby.colony.stages.learn import Learn
from cenoby.colony.stages.record import Record
from cenoby.colony.stages.redact import Redact
from cenoby.colony.stages.restore import RestoreArguments, RestoreResult
from cenoby.colony.stages.sanitise import Sanitise
from cenoby.colony.stages.settle import Settle
from cenoby.colony.stages.watch import Watch
from cenoby.colony.stages.withhold import Withhold
from cenoby.kernel.errors import CenobyError
from cenoby.telemetry.logs import correlation_id, get_logger
from cenoby.telemetry.recorder import CallTrace

_log = get_logger("colony.pipeline")


class Stage(Protocol):
    """One step of the pipeline."""

    name: str

    async def __call__(self, invocation: Invocation) -> Outcome | None: ...


class Pipeline:
    """The stages in order, and the walk through them."""

    def __init__(self, ports: Ports) -> None:
        self._way_in: Sequence[Stage] = (
            Identify(ports),  # who calls: token to principal
            Admit(ports),  # is the caller within rate and quota, is there such a tool, is it switched on
            Sanitise(ports),  # size, depth, hidden characters, and does it fit the schema
            Classify(ports),  # which action type, effect and risk tier policy decides on
            Conduct(ports),  # may this agent act at all just now
            Authorise(ports),  # do policy, the security rules and the flow of data allow it
            Approve(ports),  # must a person decide first
            Budget(ports),  # reserve what it may cost
            Follow(ports),  # the labels of the call are in its contexts
            Intend(ports),  # side effects: decision and intent are durable from here on
            RestoreArguments(ports),  # tokens are values again, for tools that may see them
            Dispatch(ports),  # to the MAD's mailbox, and wait for the result
        )
        self._way_back: Sequence[Stage] = (
            Settle(ports),  # give back what was reserved and not spent
            Withhold(ports),  # was the caller's token revoked meanwhile
            Redact(ports),  # black out secrets and personal data; the result as JSON, bounded
            Learn(ports),  # what the result brings with it is known before it is answered
            Record(ports),  # make decision and outcome durable; only then answer
            *((Watch(ports.watch),) if ports.watch else ()),  # does it lower the caller's autonomy
            RestoreResult(ports),  # tokens are values again, for the caller who brought them
        )
        self._ports = ports

    @property
    def way_in(self) -> Sequence[Stage]:
        """The stages up to the tool's result, in order; for who measures them."""
        return self._way_in

    async def run(self, invocation: Invocation) -> Outcome:
        """Take one call through all stages.

        Never raises a CenobyError: a refusal is an outcome, too, with its own journal record.

        Raises:
            asyncio.CancelledError: the caller gave up; what had happened by then is recorded first.
        """
        ports = self._ports
        invocation.started_ns = ports.clock.now_ns()
        invocation.marks.append(("start", ports.clock.monotonic_ns()))
        outer = correlation_id.set(invocation.correlation)
        try:
            invocation.outcome = await self._go_in(invocation)
        except asyncio.CancelledError:
            invocation.outcome = Outcome("cancelled")
            await asyncio.shield(self._go_back(invocation, 0))
            raise
        else:
            await self._go_back(invocation, 0)
        finally:
            self._trace(invocation)
            correlation_id.reset(outer)
        return invocation.outcome

    async def _go_in(self, invocation: Invocation) -> Outcome:
        marks, now = invocation.marks, self._ports.clock.monotonic_ns
        for stage in self._way_in:
            try:
                outcome = await stage(invocation)
            except CenobyError as error:
                marks.append((stage.name, now()))
                return Outcome.failed(error, began=invocation.began)
            except Exception as error:  # noqa: BLE001 - a bug of ours is recorded and answered, too
                return Outcome.failed(_broken(stage, invocation, error), began=invocation.began)
            marks.append((stage.name, now()))
            if outcome is not None:
                return outcome
        raise AssertionError("dispatch always answers")

    async def _go_back(self, invocation: Invocation, first: int) -> None:
        marks, now = invocation.marks, self._ports.clock.monotonic_ns
        for position in range(first, len(self._way_back)):
            stage = self._way_back[position]
            try:
                await stage(invocation)
            except asyncio.CancelledError:
                # The stage has handed its write over before it waited; only the stages after it are still to do.
                await asyncio.shield(self._go_back(invocation, position + 1))
                raise
            except CenobyError as error:
                invocation.outcome = Outcome.failed(error, began=invocation.began)
            except Exception as error:  # noqa: BLE001 - as on the way in
                invocation.outcome = Outcome.failed(_broken(stage, invocation, error), began=invocation.began)
            marks.append((stage.name, now()))

    def _trace(self, invocation: Invocation) -> None:
        marks = invocation.marks
        status = invocation.outcome.status if invocation.outcome else "cancelled"
        mad = invocation.tool.mad if invocation.tool else ""
        tool = invocation.tool.name if invocation.tool else ""
        agent = invocation.principal.agent if invocation.principal else ""
        self._ports.metrics.call(tool, mad, status, (marks[-1][1] - marks[0][1]) / 1e9)
        self._ports.recorder.record(
            CallTrace(
                correlation=invocation.correlation,
                invocation=invocation.id,
                tool=tool,
                agent=agent,
                status=status,
                start_ns=invocation.started_ns,
                marks=marks,
                tenant=invocation.principal.tenant if invocation.principal else "",
            )
        )


def _broken(stage: Stage, invocation: Invocation, error: Exception) -> ToolFault:
    _log.error("pipeline_failed", stage=stage.name, correlation=invocation.correlation, exc_info=error)
    return ToolFault(
        "pipeline_failed",
        f"The {stage.name} stage failed; the log has the cause under correlation {invocation.correlation}.",
    )
