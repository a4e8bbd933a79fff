"""Settings of the content policy: which model may see which data, and what is done about prompts and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cenoby.kernel.settings_flows import Label, RuleName
from cenoby.kernel.settings_rules import JudgeSettings
from cenoby.kernel.settings_section import Count, Seconds, Section

DataClass = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Score = Annotated[int, Field(ge=1, le=100)]
AnswerAction = Literal["allow", "log", "redact", "block"]
"""What becomes of a place in an answer: nothing, a note of it, it is blacked out, or the answer is withheld."""


class ModelRule(Section):
    """Which models may see which data; what is not said fits every model and every caller."""

    name: RuleName
    """Name of the rule; a refusal names it."""
    allow_up_to: DataClass | None = None
    """The models may see data up to this class."""
    forbid_from: DataClass | None = None
    """The models may not see data of this class or a higher one, whatever other rules allow."""
    models: list[str] = ["*"]
    """Names from `models`; `*` stands for any characters, here and below."""
    providers: list[str] = ["*"]
    """Who runs them. A model whose provider is not said is taken for any by a rule that forbids, and for none by one
    that allows; the same holds for regions."""
    regions: list[str] = ["*"]
    """Where they run."""
    local: bool | None = None
    """Only models on this machine or its network (true), or only others (false)."""
    agents: list[str] = ["*"]
    """Who asks."""
    roles: list[str] = ["*"]
    """Roles of who asks; one of them is enough."""
    tenants: list[str] = ["*"]
    """Whose agent asks."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.allow_up_to is None) == (self.forbid_from is None):
            raise ValueError("a rule says either `allow_up_to` or `forbid_from`")
        return self


class ModelRules(Section):
    """What a file of model rules holds."""

    rules: list[ModelRule]
    """In the place of `content.rules`."""


class Thresholds(Section):
    """From which score on something is done about a prompt; null: never."""

    log: Score | None
    """Journalled; the judge is asked, where there is one."""
    ask: Score | None
    """A person must decide."""
    block: Score | None
    """Refused."""


class JailbreakSettings(Section):
    """What is done about prompts that try to turn a model against its rules, by whose words they are."""

    person: Thresholds = Thresholds(log=30, ask=None, block=None)
    """A person's own words."""
    agent: Thresholds = Thresholds(log=30, ask=60, block=100)
    """Words of an agent that has read nothing from outside."""
    tainted: Thresholds = Thresholds(log=20, ask=40, block=60)
    """Words that an agent may have from outside: it has read content from there, and no person said them."""


class AnswerSettings(Section):
    """What is done about places in models' answers."""

    secret: AnswerAction = "redact"  # noqa: S105 - a category
    """Keys, tokens, passwords."""
    personal: AnswerAction = "allow"
    """Personal data; `redaction` blacks it out after this in any case where it says so."""
    prompt_leak: AnswerAction = "redact"
    """Ten words in a row, or a marker, of the directive that went before the prompt."""
    data_url: AnswerAction = "redact"
    """Links and images whose address carries data."""
    tool_call: AnswerAction = "log"
    """Tool calls written as text."""
    destructive: AnswerAction = "log"
    """Commands and statements that destroy."""
    instruction: AnswerAction = "log"
    """Text that speaks to the next model as if it were its master."""


class ContentSettings(Section):
    """The content policy, before and after every model call."""

    classes: Annotated[list[DataClass], Field(min_length=2, max_length=16)] = [
        "public",
        "internal",
        "confidential",
        "restricted",
    ]
    """Data classes, the least protected first."""
    default: DataClass = "internal"
    """The class of a prompt of which nothing else is known."""
    labels: dict[Label, DataClass] = {"reads:secret": "restricted", "reads:database": "confidential"}
    """The class of what an agent says after its calls brought it a label, such as `reads:database`."""
    label_seconds: Count = 3600
    """For how long such a label counts."""
    types: dict[str, DataClass] = {
        "secret": "restricted",
        "card": "restricted",
        "national_id": "restricted",
        "ssn": "restricted",
        "iban": "confidential",
    }
    """The class of a prompt that holds such data after `dlp` had its way with it: types as `dlp.rules` names them."""
    closed_from: DataClass | None = None
    """From this class on, a model may see data only where a rule allows it; the highest class if it is not said."""
    rules: list[ModelRule] = [ModelRule(name="local-models", allow_up_to="restricted", local=True)]
    """Which models may see which data. A rule that forbids beats all that allow."""
    file: Path | None = None
    """A YAML file with `rules:` in their place, relative to the settings file; followed while the colony runs."""
    look_every: Seconds = 0.5
    """Seconds between looks at that file; a change holds after two looks that see the same."""
    jailbreak: JailbreakSettings = JailbreakSettings()
    answers: AnswerSettings = AnswerSettings()
    judge: JudgeSettings = JudgeSettings()
    """A model that is asked about prompts that are only logged; its word can only make it stricter."""

    @model_validator(mode="after")
    def _classes_are_declared(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: one is named twice")
        check_classes(self, self.rules)
        used = {"default": self.default, "closed_from": self.closed_from or self.classes[-1]}
        used |= {f"labels.{label}": one for label, one in self.labels.items()}
        used |= {f"types.{kind}": one for kind, one in self.types.items()}
        for place, one in used.items():
            if one not in self.classes:
                raise ValueError(f"{place}: {one!r} is none of the classes {', '.join(self.classes)}")
        return self


def check_classes(settings: ContentSettings, rules: list[ModelRule]) -> None:
    """See that rules name classes that are declared, and that no two have one name.

    Raises:
        ValueError: one does not.
    """
    seen: set[str] = set()
    for rule in rules:
        named = rule.allow_up_to or rule.forbid_from
        if named not in settings.classes:
            known = ", ".join(settings.classes)
            raise ValueError(f"rules.{rule.name}: {named!r} is none of the classes {known}")
        if rule.name in seen:
            raise ValueError(f"rules: {rule.name!r} is named twice")
        seen.add(rule.name)
