"""A prompt before it goes to a model: its data class, the models that may see it, and whether it attacks the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from cenoby.kernel.settings_content import ContentSettings, ModelRule, Thresholds
from cenoby.protection.content.classes import Classified, DataClasses
from cenoby.protection.content.errors import ContentDenied
from cenoby.protection.content.jailbreak import Mark, marks, score
from cenoby.protection.content.model_policy import NOT_ALLOWED, Asker, ModelFacts, ModelPolicy
from cenoby.protection.rules.judge import Judge

Source = Literal["person", "agent", "tainted"]
"""Whose words a part of a prompt is: a person's, an agent's own, or maybe of somebody outside."""
PromptAction = Literal["allow", "log", "ask", "block"]
_STRICTNESS: tuple[PromptAction, ...] = ("allow", "log", "ask", "block")
_NO_PROMPT = frozenset({"model", "data_class"})
"""Arguments of a model call that are no part of what the model reads."""


class Marked(NamedTuple):
    """One mark in a prompt: its category, and the words; empty where it is no single place."""

    category: str
    passage: str


class Attack(NamedTuple):
    """What a prompt's words say of its intent.

    Attributes:
        action: what is done about it.
        score: 0 to 100, of the source that decides.
        source: whose words those are.
        categories: what was found in them.
    """

    action: PromptAction
    score: int
    source: Source
    categories: tuple[str, ...]


class ContentPolicy:
    """The content policy over prompts.

    Args:
        settings: classes, rules and thresholds.
        models: all models that can be asked, in the order in which one is chosen.

    Attributes:
        judge: is asked about prompts that are only logged; None: nobody is.

    Raises:
        SettingsError: the settings name what there is not.
    """

    def __init__(self, settings: ContentSettings, models: Sequence[ModelFacts]) -> None:
        self.settings = settings
        self.classes = DataClasses(settings)
        self.judge: Judge | None = None
        self._models = tuple(models)
        self._policy = ModelPolicy(settings, settings.rules, models)

    @property
    def default(self) -> str:
        """The model that answers where none is named; empty where there is none."""
        return self._policy.default

    def use(self, rules: Sequence[ModelRule]) -> None:
        """Put other model rules in force."""
        self._policy = ModelPolicy(self.settings, rules, self._models)

    def model_for(self, asker: Asker, data: Classified, named: str | None, *, choose: bool) -> str:
        """The model that is asked.

        Args:
            asker: who asks.
            data: the class of the prompt.
            named: the model that the caller wants; None: any.
            choose: whether another one may be taken where the default may not see it.

        Returns:
            Its name; empty where the tool says nothing of models and its own one may see the data.

        Raises:
            ContentDenied: content_model_denied.
        """
        policy = self._policy
        wanted = policy.default if named is None and choose else named or ""
        why = policy.why_not(asker, data.name, policy.facts(wanted))
        if not why:
            return wanted
        allowed = policy.allowed(asker, data.name)
        if named is None and choose and allowed:
            return allowed[0]
        raise _denied(wanted, data, why, allowed)

    def may_see(self, asker: Asker, data_class: str) -> frozenset[str]:
        """Names of the models that may see data of a class."""
        return frozenset(self._policy.allowed(asker, data_class))

    def attack(self, marked: Iterable[Marked], whose: Callable[[str], Source]) -> Attack:
        """What the words of a prompt say of its intent.

        Args:
            marked: the marks in it.
            whose: the source of a passage; of an empty one, that of words that nobody is known to have said.
        """
        found: dict[Source, set[str]] = {}
        for category, passage in marked:
            found.setdefault(whose(passage), set()).add(category)
        worst = Attack("allow", 0, whose(""), ())
        for source, categories in found.items():
            points = score(frozenset(categories))
            action = _action(getattr(self.settings.jailbreak, source), points)
            if (_STRICTNESS.index(action), points) > (_STRICTNESS.index(worst.action), worst.score):
                worst = Attack(action, points, source, tuple(sorted(categories)))
        return worst


def marked_in(texts: Iterable[str]) -> list[Marked]:
    """All marks in the texts of a prompt, each once."""
    return list(dict.fromkeys(Marked(mark.category, _passage(text, mark)) for text in texts for mark in marks(text)))


def texts_of(arguments: Mapping[str, Any]) -> list[str]:
    """All that a model would read of a call's arguments."""
    return [text for name, value in arguments.items() if name not in _NO_PROMPT for text in _texts(value)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in cast(dict[str, Any], value).items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in cast(list[Any], value):
            yield from _texts(inner)


def _passage(text: str, mark: Mark) -> str:
    return text[mark.start : mark.end] if mark.start >= 0 else ""


def _action(thresholds: Thresholds, points: int) -> PromptAction:
    for action, least in (("block", thresholds.block), ("ask", thresholds.ask), ("log", thresholds.log)):
        if least is not None and points >= least:
            return cast(PromptAction, action)
    return "allow"


def _denied(model: str, data: Classified, why: str, allowed: list[str]) -> ContentDenied:
    who = repr(model) if model else "The model behind this tool"
    rule = (
        f"No rule of `content.rules` lets {who} see it"
        if why == NOT_ALLOWED
        else f"The rule {why!r} keeps it from {who}"
    )
    others = f"allowed: {', '.join(allowed)}" if allowed else "no model may see it; an operator can add a rule"
    return ContentDenied(
        "content_model_denied",
        f"The prompt is {data.name} ({', '.join(data.because)}). {rule}; {others}.",
        details={
            "data_class": data.name,
            "because": list(data.because),
            "rule": why,
            "model": model,
            "allowed": allowed,
        },
    )
