"""What the content policy journals: categories, scores and digests, never a text."""

from __future__ import annotations

from cenoby.kernel.events import Event


class ContentRefused(Event, frozen=True, tag="content_refused.v1"):
    """A prompt was not sent to a model, or its answer was withheld.

    Attributes:
        part: `prompt` or `answer`.
        tool, invocation: which call.
        model: who was or would have been asked; empty where the tool does not say.
        data_class: of the prompt; empty for an answer.
        rule: the rule that says which models may see which data, where it was that.
        categories: what was found.
        score: of a prompt, 0 to 100.
        source: whose words they are: `person`, `agent` or `tainted`; empty for an answer.
        digest: SHA-256 of the text.
    """

    part: str
    tool: str
    invocation: str
    model: str
    digest: str
    categories: tuple[str, ...]
    data_class: str = ""
    rule: str = ""
    score: int = 0
    source: str = ""


class ContentFlagged(Event, frozen=True, tag="content_flagged.v1"):
    """A prompt or an answer holds something that is to be known.

    Attributes:
        part, tool, invocation, model, data_class, categories, score, source, digest: as in `content_refused`.
        action: what was done: `log`, `ask` or `redact`, the strictest of several.
    """

    part: str
    tool: str
    invocation: str
    model: str
    digest: str
    action: str
    categories: tuple[str, ...]
    data_class: str = ""
    score: int = 0
    source: str = ""


def refused_like(flagged: ContentFlagged, rule: str = "") -> ContentRefused:
    """The refusal because of what was flagged, or because of a rule on models."""
    return ContentRefused(
        part=flagged.part,
        tool=flagged.tool,
        invocation=flagged.invocation,
        model=flagged.model,
        digest=flagged.digest,
        data_class=flagged.data_class,
        rule=rule,
        categories=flagged.categories,
        score=flagged.score,
        source=flagged.source,
    )


class ContentRulesLoaded(Event, frozen=True, tag="content_rules_loaded.v1"):
    """A file of model rules changed, and what it says is in force from here on.

    Attributes:
        file: which.
        digest: SHA-256 of the file.
        rules: names of the rules.
        node: where.
    """

    file: str
    digest: str
    rules: tuple[str, ...]
    node: str


class ContentRulesRejected(Event, frozen=True, tag="content_rules_rejected.v1"):
    """A file of model rules changed and cannot be used: what held before holds on; `notes` says what is wrong.

    Attributes:
        file: which.
        node: where.
    """

    file: str
    node: str
