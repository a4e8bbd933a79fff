"""AgentDojo's functions as tools of MADs, one MAD for each suite. Every agent acts in an environment of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel

from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.schema_tool import SchemaTool, arguments_named_in
from cenoby.colony.tool import Declaration, Tool
from cenoby.kernel.envelope import Priority
from redteam.agentdojo.declared import says
from redteam.agentdojo.library import suites

ENVIRONMENTS: dict[str, Any] = {}
"""The environment in which each agent's calls are done, by the agent's name."""


def plain(value: Any) -> Any:
    """A value of AgentDojo's as plain JSON types."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


@cache
def runtime(suite: str) -> Any:
    """What runs the functions of a suite."""
    from agentdojo.functions_runtime import FunctionsRuntime  # type: ignore[import-not-found]

    return FunctionsRuntime(suites()[suite].tools)


class _Dojo(Mad):
    summary: ClassVar[str] = "Functions of an AgentDojo suite."

    def further_tools(self) -> Sequence[Tool]:
        return [_tool(self.name, function) for function in suites()[self.name].tools]


class Banking(_Dojo):
    """The functions of the suite `banking`."""

    name = "banking"


class Slack(_Dojo):
    """The functions of the suite `slack`."""

    name = "slack"


class Travel(_Dojo):
    """The functions of the suite `travel`."""

    name = "travel"


class Workspace(_Dojo):
    """The functions of the suite `workspace`."""

    name = "workspace"


def _tool(mad: str, function: Any) -> SchemaTool:
    declared = says(function.name)
    schema = function.parameters.model_json_schema()

    async def run(call: Call, **arguments: Any) -> dict[str, Any]:
        environment = ENVIRONMENTS[call.principal.agent]
        result, error = runtime(mad).run_function(environment, function.name, arguments)
        return {"error": error} if error else {"result": plain(result)}

    return SchemaTool(
        name=f"mads.{mad}.{function.name}",
        mad=mad,
        says=Declaration(
            action=declared.action,
            effect=declared.effect,
            idempotent=declared.effect == "reads",
            title="",
            timeout=30.0,
            risk=declared.risk,
            sensitive=frozenset(),
            sensitive_result=False,
            cost=None,
            priority=Priority.INTERACTIVE,
            waits=False,
            flow=declared.flow,
        ),
        description=function.description,
        arguments_model=arguments_named_in(schema),
        returns=dict[str, Any],
        run=run,
        estimate=None,
        takes=schema,
        gives={"type": "object"},
    )
