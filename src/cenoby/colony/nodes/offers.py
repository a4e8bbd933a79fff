"""What a MAD offers, as other nodes must know it: described where it is hosted, and made into tools where it is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from jsonschema import Draft202012Validator

from cenoby.access.actions import RiskTier, declare_action, tier_of
from cenoby.access.budgets.accounts import Cost
from cenoby.colony.errors import ToolFault
from cenoby.colony.invocation import ClientChannel
from cenoby.colony.mad import Mad, Prompt, ResourceKind
from cenoby.colony.nodes.answers import MadOffer, PromptOffer, ToolOffer
from cenoby.colony.prompts import HostedPrompt
from cenoby.colony.schema_tool import SchemaTool, arguments_named_in
from cenoby.colony.tool import Declaration, Tool, ToolContent
from cenoby.kernel.codec import digest
from cenoby.kernel.envelope import Priority
from cenoby.kernel.events import meaning_of

PriceAsked = Callable[[str, Mapping[str, Any]], Awaitable[Cost]]
"""Asks the node that has a tool what a call with these arguments may cost at most."""


@dataclass(frozen=True)
class RemoteTool(SchemaTool):
    """A tool that is hosted elsewhere: only called by way of its node."""


class RemoteMad:
    """A MAD that another node hosts.

    Args:
        offer: what it offers.
        price: asks what a call may cost.

    Raises:
        ValueError: an action type of it is registered here with another risk tier, a tool is another MAD's, or a schema
            points to somewhere else.
        Exception: its schemas are none.
    """

    def __init__(self, offer: MadOffer, price: PriceAsked) -> None:
        for one in offer.tools:
            if not one.name.startswith(f"mads.{offer.name}."):
                raise ValueError(f"{offer.name} offers {one.name}, which is another MAD's to offer")
            Draft202012Validator.check_schema(one.input_schema)  # pyright: ignore[reportUnknownMemberType]
            if not all(where.startswith("#") for where in _references(one.input_schema)):
                # It would be fetched, from wherever that is, when a call is checked.
                raise ValueError(f"the input schema of {one.name} points to another document")
        self.name = offer.name
        self.summary = offer.summary
        self.tools = {one.name: _remote_tool(offer.name, one, price) for one in offer.tools}
        self.resources = [ResourceKind(**kind) for kind in offer.resources]
        self.prompts = [HostedPrompt(offer.name, _remote_prompt(one)) for one in offer.prompts]

    def prompt_tool(self, name: str) -> Tool | None:
        """The tool of that name that one of its prompts has."""
        return next((tool for one in self.prompts for tool in (one.render, one.complete) if tool.name == name), None)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, part in cast(dict[str, Any], schema).items():
            if name in ("$ref", "$dynamicRef") and isinstance(part, str):
                yield part
            yield from _references(part)
    elif isinstance(schema, list):
        for part in cast(list[Any], schema):
            yield from _references(part)


def offer_of(mad: Mad, tools: list[Tool]) -> MadOffer:
    """What a hosted MAD offers just now."""
    return MadOffer(
        name=mad.name,
        summary=mad.summary,
        tools=[_tool_offer(tool) for tool in tools],
        prompts=[
            PromptOffer(one.name, one.description, one.action, int(tier_of(one.action)), one.title, [*one.arguments])
            for one in mad.prompts()
        ],
        resources=[asdict(kind) | {"arguments": dict(kind.arguments)} for kind in mad.resources()],
    )


def offer_digest(offer: MadOffer) -> str:
    """Equal for equal offers."""
    return digest(offer)


def _tool_offer(tool: Tool) -> ToolOffer:
    says = tool.says
    return ToolOffer(
        name=tool.name,
        description=tool.description,
        action=says.action,
        action_tier=int(tier_of(says.action)),
        effect=says.effect,
        idempotent=says.idempotent,
        title=says.title,
        timeout=says.timeout,
        risk=int(says.risk),
        sensitive=sorted(says.sensitive),
        sensitive_result=says.sensitive_result,
        priced=tool.estimate is not None,
        priority=int(says.priority),
        waits=says.waits,
        flow=says.flow,
        people=says.people,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        events={name: kind if isinstance(kind, str) else meaning_of(kind) for name, kind in tool.events.items()},
        kinds=dict(says.kinds),
    )


def _remote_tool(mad: str, offer: ToolOffer, price: PriceAsked) -> RemoteTool:
    async def estimate(arguments: Mapping[str, Any]) -> Cost:
        return await price(offer.name, arguments)

    return RemoteTool(
        name=offer.name,
        mad=mad,
        says=Declaration(
            action=declare_action(offer.action, RiskTier(offer.action_tier)),
            effect=offer.effect,
            idempotent=offer.idempotent,
            title=offer.title,
            timeout=offer.timeout,
            risk=RiskTier(offer.risk),
            sensitive=frozenset(offer.sensitive),
            sensitive_result=offer.sensitive_result,
            cost="elsewhere" if offer.priced else None,
            priority=Priority(offer.priority),
            waits=offer.waits,
            kinds=offer.kinds,
            flow=offer.flow,
            people=offer.people,
        ),
        description=offer.description,
        arguments_model=arguments_named_in(offer.input_schema),
        returns=ToolContent,
        run=_not_here,
        estimate=estimate if offer.priced else None,
        events=offer.events,
        takes=offer.input_schema,
        gives=offer.output_schema,
    )


def _remote_prompt(offer: PromptOffer) -> Prompt:
    async def render(arguments: Mapping[str, str], client: ClientChannel | None = None) -> list[dict[str, Any]]:
        del arguments, client
        return await _not_here()

    return Prompt(
        name=offer.name,
        description=offer.description,
        action=declare_action(offer.action, RiskTier(offer.action_tier)),
        title=offer.title,
        arguments=offer.arguments,
        render=render,
    )


async def _not_here(*arguments: Any, **more: Any) -> Any:
    # Dispatch sends the call to its node; whoever calls the tool itself has gone round the pipeline.
    del arguments, more
    raise ToolFault("tool_failed", "The tool is hosted on another node.")
