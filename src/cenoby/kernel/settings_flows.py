"""Settings of policy over sequences: which combinations need a person or are forbidden, and what taint does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cenoby.kernel.settings_section import Count, Section

Label = Annotated[str, Field(pattern=r"^[a-z]+:[a-z][a-z0-9_-]*$")]
RuleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class FlowRule(Section):
    """One combination of labels that must not come together unseen."""

    name: RuleName
    """Name of the rule; who is asked sees it as `flow:<name>`."""
    labels: Annotated[list[Label], Field(min_length=1, max_length=8)]
    """The labels that must come together, such as `[reads:secret, posts:outside]`."""
    order: Literal["any", "last"] = "last"
    """`last`: only a call that carries the last label is stopped, after the others; `any`: whichever completes them."""
    within: Literal["window", "conversation", "task"] = "window"
    """Where they count: what one agent did and was told, one conversation, or one task (one trace of calls)."""
    seconds: Count = 3600
    """For how long a label counts."""
    effect: Literal["ask", "forbid"] = "ask"
    """A person must decide, or nobody can."""


class FlowSettings(Section):
    """Labels that flow with data, from call to call and with messages from agent to agent."""

    rules: list[FlowRule] = [
        FlowRule(name="tainted-secret-outside", labels=["reads:outside", "reads:secret", "posts:outside"])
    ]
    """Combinations of labels; the strictest rule that applies wins."""
    taint: Literal["off", "values", "context"] = "values"
    """What an agent that has read content from outside may still do without a person: everything; what can be traced to
    a person's words and to records; or nothing of high risk."""
    taint_seconds: Count = 3600
    """For how long content from outside counts after it was read."""
    max_labels: Count = 100_000
    """Labels of all contexts together; a call that would add one more is refused."""
