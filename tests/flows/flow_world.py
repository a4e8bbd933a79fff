"""What the tests of the flows share: agents, tools by their declarations, and the three steps of a call in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cenoby.access.actions import tier_of
from cenoby.access.flows.flows import Flows
from cenoby.access.flows.labels import FlowMarks, ToolFlow, tool_flow
from cenoby.access.principals import Principal
from cenoby.access.verdicts import Ask
from cenoby.kernel.clock import Clock
from cenoby.kernel.settings import FlowSettings
from cenoby.kernel.settings_flows import FlowRule
from cenoby.store.database import Database
from cenoby.store.table_cache import TableCache
from tests.stores import cache_of


def agent(name: str, tenant: str = "default") -> Principal:
    return Principal(name, tenant, ("developer",), "agent")


PERSON = Principal("ola", "default", ("operator",), "person")


def flow_of(action: str, effect: str, name: str = "mads.test.do_it", **marks: Any) -> ToolFlow:
    return tool_flow(name, name.split(".")[1], action, effect, tier_of(action), FlowMarks(**marks))


QUERY = flow_of("db:query", "reads", "mads.shop.read_orders")
FETCH = flow_of("web:fetch", "outside", "mads.web.fetch")
POST_OUT = flow_of("comms:external", "outside", "mads.mail.send_mail")
LEAVE = flow_of("comms:internal", "writes", "mads.talk.post_message", place="conversation")
READ = flow_of("comms:read", "reads", "mads.talk.get_history", place="conversation")
LEAK = FlowRule(name="leak", labels=["reads:database", "posts:outside"], effect="forbid")


class Office:
    """One process with its view of the labels, on a database that others may share."""

    def __init__(self, database: Database, clock: Clock, settings: FlowSettings) -> None:
        self.cache: TableCache = cache_of(database)
        self.flows = Flows(self.cache, clock, settings)

    async def call(
        self,
        who: Principal,
        flow: ToolFlow,
        arguments: dict[str, Any] | None = None,
        result: Any = None,
        task: str = "",
    ) -> Sequence[Ask]:
        """A call that runs unless it is asked for; why it is.

        Raises:
            AccessRefused: it is forbidden.
        """
        step, asks = self.flows.check(who, flow, self.flows.watched(flow), arguments or {}, task)
        if asks or step is None:
            return asks
        await self.flows.follow(step)
        await self.flows.learn(step, result, 0)
        return asks


async def office(database: Database, clock: Clock, settings: FlowSettings) -> Office:
    """A process that has read the labels."""
    made = Office(database, clock, settings)
    await made.cache.warm()
    return made
