"""Prompts as the pipeline meets them: making one and completing its arguments are calls of tools that no list shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cenoby.access.actions import tier_of
from cenoby.colony.errors import CallInvalid
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad, Prompt
from cenoby.colony.tool import Declaration, Tool
from cenoby.kernel.envelope import Priority

_TIMEOUT_SECONDS = 30.0
_MARK = "/"
"""No declared tool has it in its name, so a prompt's tools are never taken for one."""


class _RenderArguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    arguments: dict[str, str] = Field(default_factory=dict[str, str])


class _CompleteArguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    argument: str
    text: str


class HostedPrompt:
    """A prompt of a hosted MAD with its two tools.

    Args:
        mad: name of the MAD.
        prompt: what its author said.

    Attributes:
        render: `(arguments) -> {"messages": [...]}`, named `mads.<mad>.prompt/<prompt>`.
        complete: `(argument, text) -> {"values": [...]}`, named `mads.<mad>.completion/<prompt>`.
    """

    def __init__(self, mad: str, prompt: Prompt) -> None:
        self.prompt = prompt
        self.render = self._tool(mad, "prompt", _RenderArguments, self._render)
        self.complete = self._tool(mad, "completion", _CompleteArguments, self._complete)

    async def _render(self, call: Call, arguments: dict[str, str]) -> dict[str, Any]:
        prompt = self.prompt
        missing = [name for name, _, required in prompt.arguments if required and name not in arguments]
        if missing:
            raise CallInvalid(
                "arguments_invalid", f"The prompt {prompt.name!r} needs the arguments {', '.join(missing)}."
            )
        return {"messages": await prompt.render(arguments, client=call.client)}

    async def _complete(self, call: Call, argument: str, text: str) -> dict[str, Any]:
        complete = self.prompt.complete
        return {"values": await complete(argument, text) if complete is not None else []}

    def _tool(self, mad: str, kind: str, arguments: type[BaseModel], run: Callable[..., Awaitable[Any]]) -> Tool:
        prompt = self.prompt
        says = Declaration(
            action=prompt.action,
            effect="reads",
            idempotent=True,
            title=prompt.title,
            timeout=_TIMEOUT_SECONDS,
            risk=tier_of(prompt.action),
            sensitive=frozenset(),
            sensitive_result=False,
            cost=None,
            priority=Priority.INTERACTIVE,
            waits=False,
        )
        return Tool(
            name=f"mads.{mad}.{kind}{_MARK}{prompt.name}",
            mad=mad,
            says=says,
            description=prompt.description,
            arguments_model=arguments,
            returns=dict[str, Any],
            run=run,
            estimate=None,
        )


def hosted_prompts(mads: Iterable[Mad]) -> list[HostedPrompt]:
    """What these MADs offer just now."""
    return [HostedPrompt(mad.name, prompt) for mad in mads for prompt in mad.prompts()]


def prompt_tool(mads: Iterable[Mad], name: str) -> Tool | None:
    """The tool of that name that a prompt of one of these MADs has; None where there is none."""
    if _MARK not in name:
        return None
    tools = (tool for hosted in hosted_prompts(mads) for tool in (hosted.render, hosted.complete))
    return next((tool for tool in tools if tool.name == name), None)
