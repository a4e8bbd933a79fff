"""The MAD: one tool for each published tool that is used, as the document of its API describes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from cenoby.access.actions import require_action, tier_of
from cenoby.access.flows.labels import FlowMarks
from cenoby.colony.apis.document import ApiDocument, ApiTool
from cenoby.colony.foreign_schema import misfits, unfit, validator_of
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.schema_tool import SchemaTool, arguments_named_in
from cenoby.colony.tool import LONGEST_NAME, Declaration, Tool, ToolContent
from cenoby.kernel.envelope import Priority
from cenoby.kernel.settings_apis import ColonySettings
from cenoby.kernel.settings_file import SettingsError
from cenoby.mads.colonies.errors import ForeignFault
from cenoby.mads.colonies.link import Link

_WORD = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")
_JOURNEY_SECONDS = 5.0
"""How much longer than there a call may take here."""


class ForeignColony(Mad):
    """The tools of another colony; made by `foreign_colony`."""

    def __init__(self, link: Link, tools: Sequence[Tool]) -> None:
        self._link = link
        self._tools = tools

    def further_tools(self) -> Sequence[Tool]:
        return self._tools


def foreign_colony(name: str, settings: ColonySettings, documents: Sequence[ApiDocument], link: Link) -> Mad:
    """The MAD for another colony.

    Args:
        name: what we call it.
        settings: what is said of it; its `uses` are those of `documents`, in order.
        documents: what it published.
        link: the way there.

    Raises:
        SettingsError: a document is of another API, a tool's name is too long or no word, one of its schemas cannot be
            used, or a priced tool has no price here.
    """
    tools: list[Tool] = []
    for contract, document in zip(settings.uses, documents, strict=True):
        if (contract.api, contract.version) != (document.api, document.version):
            raise _invalid(name, f"{contract.document} is of {document.api} v{document.version}")
        for word, told in document.tools.items():
            own = f"mads.{name}.{document.api}_v{document.version}_{word}"
            there = f"mads.{document.api}_v{document.version}.{word}"
            if _WORD.fullmatch(word) is None:
                raise _invalid(name, f"{contract.document} has a tool {word[:64]!a}, whose name is no small_words")
            if len(own) > LONGEST_NAME:
                raise _invalid(name, f"{own} is longer than {LONGEST_NAME} characters; use a shorter name")
            if told.priced and contract.usd_per_call is None:
                raise _invalid(name, f"{there} has a price; say usd_per_call, what a call of it may cost")
            if problem := unfit(told.input) or (told.output is not None and unfit(told.output)):
                raise _invalid(name, f"a schema of {there} is not used: {problem}")
            price = round((contract.usd_per_call or 0) * 1e6) if told.priced else None
            tools.append(_tool(own, name, told, settings.action, partial(_call, link, there, told), price))
    kind = type(ForeignColony.__name__, (ForeignColony,), {"name": name, "summary": f"Another colony: {settings.url}."})
    return kind(link, tools)


def _tool(name: str, mad: str, told: ApiTool, action: str, run: Any, price: int | None) -> Tool:
    def estimate(arguments: Mapping[str, Any]) -> int:
        del arguments
        return price or 0

    return SchemaTool(
        name=name,
        mad=mad,
        says=Declaration(
            action=require_action(action),
            effect="reads" if told.effect == "reads" else "outside",
            idempotent=told.idempotent,
            title="",
            timeout=told.timeout + _JOURNEY_SECONDS,
            risk=tier_of(action),
            sensitive=frozenset(told.sensitive),
            sensitive_result=told.sensitive_result,
            cost=None if price is None else "usd_per_call",
            priority=Priority.INTERACTIVE,
            waits=told.waits,
            # What it is asked goes outside, also where it says that it only reads.
            flow=FlowMarks(foreign=True, labels=("posts:outside",)),
        ),
        description=told.description,
        arguments_model=arguments_named_in(told.input),
        returns=ToolContent,
        run=run,
        estimate=None if price is None else estimate,
        takes=told.input,
        gives=told.output,
    )


async def _call(link: Link, there: str, told: ApiTool, call: Call, /, **arguments: Any) -> dict[str, Any] | ToolContent:
    result = await link.call(there, arguments, seconds=told.timeout, trace=_trace(call), by=call.sender)
    if told.output is None:
        return ToolContent(result.get("content", []))
    value: Any = result.get("structuredContent")
    if problems := misfits(validator_of(told.output), value):
        raise ForeignFault(
            "foreign_answer_invalid",
            f"{there} gave what does not fit its document: {problems}. See `cenoby api check`.",
        )
    return value


def _trace(call: Call) -> str:
    """The W3C trace parent that names this call to the other colony's journal: our correlation, and our invocation."""
    correlation, invocation = (text.replace("-", "") for text in (call.correlation, call.invocation))
    return f"00-{correlation}-{invocation[-16:]}-01"


def _invalid(colony: str, problem: str) -> SettingsError:
    return SettingsError("settings_invalid", f"colonies.{colony}: {problem}.")
