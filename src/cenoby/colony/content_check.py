"""The content policy as the pipeline meets it: before a model is called, which model it is and what it is told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial

from cenoby.access.flows.flows import Flows
from cenoby.access.verdicts import Ask
from cenoby.colony.invocation import Invocation
from cenoby.kernel.codec import canonical_json
from cenoby.kernel.events import Event
from cenoby.protection.content.classes import Classified
from cenoby.protection.content.errors import ContentDenied
from cenoby.protection.content.events import ContentFlagged, refused_like
from cenoby.protection.content.jailbreak import MEANINGS
from cenoby.protection.content.model_policy import Asker
from cenoby.protection.content.prompts import Attack, ContentPolicy, Marked, Source, marked_in, texts_of
from cenoby.protection.redact import Redactor
from cenoby.protection.rules.judge import Judge, Opinion, Question
from cenoby.store.journal import Entry, Journal
from cenoby.telemetry.logs import get_logger

_log = get_logger("colony.content")
_MODEL_CALL = "model:call"
_QUICK = 4096
"""Characters of a prompt that are looked at on the loop; longer ones in a thread."""


class ContentCheck:
    """Asks the content policy about every call of a model.

    Args:
        policy: the policy.
        flows: know what an agent has read, and what persons said to it.
        journal: where it is said what was refused and what stood out.
        redactor: blacks out what the judge is shown.
    """

    def __init__(self, policy: ContentPolicy, flows: Flows, journal: Journal, redactor: Redactor) -> None:
        self._policy = policy
        self._flows = flows
        self._journal = journal
        self._redactor = redactor

    async def __call__(self, invocation: Invocation) -> None:
        """Pass if the policy lets this prompt go to its model; choose the model where the caller named none.

        Raises:
            ContentDenied: content_model_denied, content_prompt_denied.
            ContentInvalid: content_class_unknown.
            StoreUnavailable: what the agent has read is not known yet, or it could not be journalled.
        """
        if invocation.target.says.action != _MODEL_CALL:
            return
        texts = texts_of(invocation.arguments)
        data, marked = await self._looked(invocation, texts)
        whose = self._sources(invocation)
        attack = self._policy.attack(marked, whose)
        try:
            model = self._model(invocation, data)
        except ContentDenied as error:
            wanted, rule = error.details["model"], error.details["rule"]
            flagged = _flagged(invocation, texts, wanted, data, Attack("allow", 0, whose(""), ()))
            await self._journal_of(invocation, refused_like(flagged, rule))
            raise
        if attack.action != "allow":
            await self._answer_to(attack, invocation, data, _flagged(invocation, texts, model, data, attack))

    async def _looked(self, invocation: Invocation, texts: list[str]) -> tuple[Classified, list[Marked]]:
        labels = self._flows.labels_of(invocation.caller, self._policy.settings.label_seconds)
        said = invocation.arguments.get("data_class")
        declared = said if isinstance(said, str) else None
        classify = partial(self._policy.classes.of, labels, invocation.arguments, declared)
        if sum(map(len, texts)) <= _QUICK:
            return classify(), marked_in(texts)
        return await asyncio.to_thread(classify), await asyncio.to_thread(marked_in, texts)

    def _sources(self, invocation: Invocation) -> Callable[[str], Source]:
        caller = invocation.caller
        if caller.kind == "person":
            return lambda _: "person"
        if not self._flows.is_tainted(caller):
            return lambda _: "agent"
        return partial(self._whose, invocation)

    def _whose(self, invocation: Invocation, passage: str) -> Source:
        # What a person wrote to the agent stays the person's, also after it has read pages.
        return "person" if passage and self._flows.was_said_by_person(invocation.caller, passage) else "tainted"

    def _model(self, invocation: Invocation, data: Classified) -> str:
        """The model that is asked; where it is another one than the default, the arguments name it from here on."""
        properties = invocation.target.input_schema.get("properties", {})
        named = invocation.arguments.get("model")
        caller = invocation.caller
        asker = Asker(caller.tenant, caller.agent, caller.roles)
        choose = "model" in properties
        model = self._policy.model_for(asker, data, named if isinstance(named, str) else None, choose=choose)
        if choose and named is None and model != self._policy.default:
            invocation.arguments = {**invocation.arguments, "model": model}
            invocation.canonical = canonical_json(invocation.arguments)
            invocation.parsed = invocation.target.parse(invocation.canonical)
        return model

    async def _answer_to(
        self, attack: Attack, invocation: Invocation, data: Classified, flagged: ContentFlagged
    ) -> None:
        invocation.rules = (*invocation.rules, *(f"content.{one}:{attack.action}" for one in attack.categories))
        if attack.action == "block":
            await self._journal_of(invocation, refused_like(flagged))
            raise _denied(attack)
        await self._journal_of(invocation, flagged)
        if attack.action == "ask":
            reason = f"The prompt scores {attack.score} of 100 as an attack on the model, in words of {attack.source}"
            invocation.ask(Ask("content:jailbreak", f"{reason}: {_words(attack)}."))
        elif self._policy.judge is not None:
            await self._consult(self._policy.judge, invocation, data, attack)

    async def _consult(self, judge: Judge, invocation: Invocation, data: Classified, attack: Attack) -> None:
        caller, tool = invocation.caller, invocation.target
        asker = Asker(caller.tenant, caller.agent, caller.roles)
        question = Question(
            caller.tenant,
            caller.agent,
            tool.name,
            invocation.action,
            self._redactor.value(invocation.arguments)[0],
            [f"content.{one} ({MEANINGS[one]})" for one in attack.categories],
            self._policy.may_see(asker, data.name),
        )
        try:
            opinion = await judge(question)
        except Exception as error:  # noqa: BLE001 - a judge that fails has not said yes
            _log.warning("content_judge_failed", correlation=invocation.correlation, error=type(error).__name__)
            opinion = Opinion("ask", "The judge failed.")
        invocation.rules = (*invocation.rules, f"content.judge:{opinion.verdict}")
        said = self._redactor.text(opinion.reason)
        if opinion.verdict == "deny":
            raise _denied(attack, f" The judge says no: {said}")
        if opinion.verdict == "ask":
            invocation.ask(Ask("content:judge", f"{_words(attack)}: {said}"))

    async def _journal_of(self, invocation: Invocation, event: Event) -> None:
        caller = invocation.caller
        await self._journal.append(Entry.event(event, tenant=caller.tenant, agent=caller.agent))


def _flagged(invocation: Invocation, texts: list[str], model: str, data: Classified, attack: Attack) -> ContentFlagged:
    return ContentFlagged(
        part="prompt",
        tool=invocation.target.name,
        invocation=invocation.id,
        model=model,
        digest=hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest(),
        action=attack.action,
        data_class=data.name,
        categories=attack.categories,
        score=attack.score,
        source=attack.source,
    )


def _words(attack: Attack) -> str:
    return "; ".join(MEANINGS[one] for one in attack.categories)


def _denied(attack: Attack, more: str = "") -> ContentDenied:
    return ContentDenied(
        "content_prompt_denied",
        f"The prompt scores {attack.score} of 100 as an attack on the model, in words of source {attack.source}: "
        f"{_words(attack)}.{more} Leave that out; docs/rule/content.md says what is scored.",
        details={"categories": list(attack.categories), "score": attack.score, "source": attack.source},
    )
