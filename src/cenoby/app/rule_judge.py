"""The judge of calls that the security rules are in doubt of: a model, under a budget and a deadline of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from cenoby.access.budgets.ledger import Ledger
from cenoby.kernel.clock import Clock
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings_rules import JudgeSettings
from cenoby.models.catalogue import Catalogue, Model, ModelRequest
from cenoby.models.client import ModelClient
from cenoby.models.price import NOTHING, Meter
from cenoby.protection.egress_rules.sender import Sender
from cenoby.protection.rules.judge import Opinion, Question, opinion_in, prompt_of
from cenoby.telemetry.logs import get_logger

_log = get_logger("app.judge")
JUDGE_ACCOUNT = "colony:judge"
"""Who pays in the ledger: no agent can have such a name."""

_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("claude",),
    "openai": ("gpt", "chatgpt", "o1", "o3", "o4"),
    "google": ("gemini", "gemma", "palm"),
    "meta": ("llama",),
    "mistral": ("mistral", "mixtral", "codestral", "ministral", "magistral", "devstral"),
    "deepseek": ("deepseek",),
    "alibaba": ("qwen", "qwq"),
    "xai": ("grok",),
    "cohere": ("command-",),
}


class ModelJudge:
    """Asks the first model of the settings that is of another family than the actor's.

    Args:
        settings: models, deadline, cap, families of actors.
        catalogue, client: the colony's models.
        ledger: of the judge's own budget.
        clock: for the deadline.
        account: who pays in the ledger.
    """

    def __init__(
        self,
        settings: JudgeSettings,
        catalogue: Catalogue,
        client: ModelClient,
        ledger: Ledger,
        clock: Clock,
        account: str = JUDGE_ACCOUNT,
    ) -> None:
        self._settings = settings
        self._account = account
        self._models: Sequence[Model] = [catalogue.get(name) for name in settings.models]
        self._named = {model.name: model for model in catalogue.all()}
        self._catalogue = catalogue
        self._client = client
        self._ledger = ledger
        self._clock = clock

    async def __call__(self, question: Question) -> Opinion:
        """The judge's opinion; `ask` where there is none that can be relied on."""
        model = self._of_another_family(question.agent, question.models)
        texts = prompt_of(question)
        if model is None:
            return Opinion("ask", "No model may judge it: of the caller's own family, or not allowed to see the data.")
        if texts is None:
            return Opinion("ask", "The arguments are too long to be judged whole.")
        try:
            request = self._catalogue.request(
                texts[1],
                model=model.name,
                system=texts[0],
                max_output_tokens=self._settings.max_output_tokens,
                temperature=0.0,
            )
            answer = await asyncio.wait_for(self._paid(question.tenant, request), self._settings.timeout)
        except (CenobyError, TimeoutError) as error:
            code = error.code if isinstance(error, CenobyError) else "timeout"
            _log.warning("judge_gave_no_answer", model=model.name, reason=code)
            return Opinion("ask", f"The judge gave no answer ({code}).")
        return opinion_in(answer) or Opinion("ask", "The judge's answer was not of the asked form.")

    async def _paid(self, tenant: str, request: ModelRequest) -> str:
        reservation = await self._ledger.reserve(self._account, tenant, request.bound.micro_usd)
        meter = Meter(NOTHING)
        deadline_ns = self._clock.now_ns() + round(self._settings.timeout * 1e9)
        try:
            completion = await self._client.complete(request, meter, deadline_ns=deadline_ns, by=Sender(part="judge"))
        finally:
            # However it ends, also when time is up: what may have been billed is spent.
            await asyncio.shield(self._ledger.settle(reservation, meter.charge.micro_usd))
        return completion.text

    def _of_another_family(self, agent: str, allowed: frozenset[str] | None) -> Model | None:
        known = self._settings.actors.get(agent, "")
        actor = family_of(self._named[known]) if known in self._named else known.lower()
        may_judge = (model for model in self._models if allowed is None or model.name in allowed)
        return next((model for model in may_judge if not actor or family_of(model) != actor), None)


def family_of(model: Model) -> str:
    """Whose kind of model it is: by the name that the provider gives it, else the host that serves it."""
    name = model.provider_name.lower().rpartition("/")[2]
    for family, beginnings in _FAMILIES.items():
        if name.startswith(beginnings):
            return family
    return urlsplit(model.url).hostname or name
