"""What nodes answer each other: the bodies of their signed answers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cenoby.access.flows.labels import NO_MARKS, FlowMarks
from cenoby.protection.rules.arguments import ArgumentKind


class ToolOffer(msgspec.Struct, frozen=True):
    """One tool as other nodes must know it; the fields are those of `Declaration` and `Tool`."""

    name: str
    description: str
    action: str
    action_tier: int
    effect: Literal["reads", "writes", "outside"]
    idempotent: bool
    title: str
    timeout: float
    risk: int
    sensitive: list[str]
    sensitive_result: bool
    priced: bool
    priority: int
    waits: bool
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    events: dict[str, str]
    kinds: dict[str, ArgumentKind] = {}
    flow: FlowMarks = NO_MARKS
    people: int = 0


class PromptOffer(msgspec.Struct, frozen=True):
    """One prompt; its two tools are called as those of a prompt at home are."""

    name: str
    description: str
    action: str
    action_tier: int
    title: str
    arguments: list[tuple[str, str, bool]]


class MadOffer(msgspec.Struct, frozen=True):
    """All that a MAD offers."""

    name: str
    summary: str
    tools: list[ToolOffer]
    prompts: list[PromptOffer]
    resources: list[dict[str, Any]]


class Offers(msgspec.Struct, frozen=True):
    """What the MADs of a node offer."""

    mads: list[MadOffer]


class OrderTaken(msgspec.Struct, frozen=True):
    """The node leaves these MADs."""

    mads: list[str]


class RemoteReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the tool gave back, or the error that it ended with.

    Attributes:
        spent: micro-US-dollars, where the tool said so.
        spent_tokens: tokens of language models, where it said so.
        began: whether it ran.
        not_ours: it got no leave to run here: another node has the call, or nobody wants it any more.
    """

    value: Any = None
    blocks: list[dict[str, Any]] | None = None
    is_error: bool = False
    error: dict[str, Any] | None = None
    spent: int | None = None
    spent_tokens: int | None = None
    began: bool = False
    not_ours: bool = False


class Leave(msgspec.Struct, frozen=True):
    """Whether the work may begin."""

    given: bool


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most so many micro-US-dollars, and tokens of language models."""

    micro_usd: int
    tokens: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What the client said, or the error that came instead."""

    content: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
