"""Fiedler: asks language models, under a budget."""

from __future__ import annotations

import asyncio
import calendar
import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from cenoby.access.budgets.accounts import Cost
from cenoby.access.budgets.ledger import Ledger
from cenoby.access.flows.labels import FlowMarks
from cenoby.colony.invocation import Call
from cenoby.colony.mad import Mad
from cenoby.colony.tool import tool
from cenoby.kernel.events import by_name
from cenoby.models.catalogue import Catalogue, Model, ModelRequest
from cenoby.models.client import Completion, Delta, ModelClient
from cenoby.models.price import NOTHING, Meter
from cenoby.models.usage import UsageBook
from cenoby.protection.content.answers import AnswerCheck, AnswerPolicy
from cenoby.protection.content.errors import ContentDenied
from cenoby.protection.content.events import ContentFlagged, ContentRefused, refused_like

_LONGEST_CALL = 900.0
"""Seconds; a model's own `timeout` in the settings is usually shorter."""
_MARGIN_NS = 2_000_000_000
"""So much earlier than the tool's own limit the model is given up, so that the caller hears of it in words."""

_QUICK = 8192
"""Characters of an answer that are looked at on the loop; longer ones in a thread."""
_EPOCH = datetime.date(1970, 1, 1).toordinal()

OutputTokens = Annotated[int, Field(ge=1, description="Most tokens of the answer; the model's own limit if left out.")]
Temperature = Annotated[float, Field(ge=0, le=2, description="Left to the provider if left out.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model that can be asked; prices in US dollars per million tokens."""

    name: str
    provider_name: str
    context_tokens: int
    max_output_tokens: int
    input_usd_per_million: float
    output_usd_per_million: float
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelList:
    """The models of this colony; `default` answers when none is named."""

    models: list[ModelCard]
    default: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A model's answer and what it cost.

    `estimated` means that the provider reported no tokens and the upper bound was charged; `finish_reason` is the
    provider's word, `length` where the answer was cut at its limit.
    """

    model: str
    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    cost_usd: float
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What one agent used of one model; `estimated_calls` were charged at their upper bounds."""

    model: str
    agent: str
    calls: int
    estimated_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Costs from `first_day` to `last_day` (UTC, both included), the dearest first, and the caller's budget today."""

    first_day: str
    last_day: str
    rows: list[UsageRow]
    total_usd: float
    budget_usd: float
    budget_left_usd: float


class Fiedler(Mad):
    """The orchestra of models.

    Args:
        catalogue: the models there are.
        client: the way to their providers.
        usage: where costs are added up.
        ledger: today's budgets.
        answers: what becomes of answers that hold what they should not.
    """

    name = "fiedler"
    summary = "Asks language models, counts what they cost, and stays within the budget."
    events = by_name(ContentRefused, ContentFlagged)

    def __init__(
        self, *, catalogue: Catalogue, client: ModelClient, usage: UsageBook, ledger: Ledger, answers: AnswerPolicy
    ) -> None:
        self._catalogue = catalogue
        self._client = client
        self._usage = usage
        self._ledger = ledger
        self._answers = answers

    @tool("colony:read", effect="reads", title="List models")
    async def list_models(self, call: Call) -> ModelList:
        """List the language models that can be asked, with their limits and prices."""
        del call
        models = self._catalogue.all()
        return ModelList(models=[_card(model) for model in models], default=models[0].name if models else None)

    @tool(
        "model:call",
        effect="outside",
        timeout=_LONGEST_CALL,
        cost="estimate_cost",
        title="Ask a model",
        flow=FlowMarks(labels=("posts:model",)),
    )
    async def complete(
        self,
        call: Call,
        prompt: Annotated[str, Field(min_length=1, description="What to ask.")],
        model: Annotated[str | None, Field(description="Name from list_models; the default model if left out.")] = None,
        system: Annotated[str | None, Field(description="Directive that goes before the prompt.")] = None,
        max_output_tokens: OutputTokens | None = None,
        temperature: Temperature | None = None,
        stream: Annotated[bool, Field(description="Send the answer in pieces as progress messages, too.")] = False,
        data_class: Annotated[
            str | None, Field(description="How the prompt's data is to be protected, if higher than it seems.")
        ] = None,
    ) -> Answer:
        """Send a prompt to a language model and return its answer with tokens and cost.

        The most that it can cost is reserved from the caller's daily budget first. Which models may see the prompt
        follows from its data; without `model`, the first of those answers.
        """
        del data_class  # the pipeline's content policy went by it
        request = self._catalogue.request(
            prompt, model=model, system=system, max_output_tokens=max_output_tokens, temperature=temperature
        )
        check = self._answers.begin(system or "", prompt)
        heard = _Heard(call, check) if stream else None
        completion = await self._ask(call, request, heard.add if heard else None)
        text = await _checked(call, check, completion)
        if heard:
            await heard.end()
        charge = completion.charge
        return Answer(
            model=completion.model,
            text=text,
            finish_reason=completion.finish_reason,
            input_tokens=charge.input_tokens,
            output_tokens=charge.output_tokens,
            cost_usd=charge.micro_usd / 1e6,
            estimated=charge.estimated,
        )

    @tool("colony:read", effect="reads", title="Show what models cost")
    async def usage(
        self,
        call: Call,
        month: Annotated[
            str | None, Field(pattern=r"^[12][0-9]{3}-(0[1-9]|1[0-2])$", description="A month, e.g. 2026-01.")
        ] = None,
        days: Annotated[int, Field(ge=1, le=3660, description="Days up to today, if no month is given.")] = 30,
        agent: Annotated[str | None, Field(description="Only this agent; all agents if left out.")] = None,
    ) -> UsageReport:
        """Show what models cost, by model and agent, over a month or the last days, and the budget left today."""
        last = self._usage.today
        first, last = _month(month) if month else (last - days + 1, last)
        tenant, caller = call.principal.tenant, call.principal.agent
        lines = await self._usage.lines(tenant, first, last, agent)
        held = await self._ledger.usage(tenant, agent=caller, days=1)
        limit = self._ledger.limit(caller)
        rows = [
            UsageRow(
                model=line.model,
                agent=line.agent,
                calls=line.calls,
                estimated_calls=line.estimated_calls,
                input_tokens=line.input_tokens,
                output_tokens=line.output_tokens,
                cost_usd=line.micro_usd / 1e6,
            )
            for line in lines
        ]
        return UsageReport(
            first_day=_iso(first),
            last_day=_iso(last),
            rows=rows,
            total_usd=sum(line.micro_usd for line in lines) / 1e6,
            budget_usd=limit / 1e6,
            budget_left_usd=max(0, limit - sum(one.held + one.spent for one in held)) / 1e6,
        )

    def estimate_cost(self, arguments: Mapping[str, Any]) -> Cost:
        """The most that a call of `complete` with these arguments can cost, in money and tokens.

        Raises:
            ModelInputError: no such model, or the prompt cannot fit its context.
        """
        wanted = {name: value for name, value in arguments.items() if name not in ("stream", "data_class")}
        bound = self._catalogue.request(**wanted).bound
        return Cost(bound.micro_usd, bound.input_tokens + bound.output_tokens)

    async def _ask(self, call: Call, request: ModelRequest, on_delta: Delta | None) -> Completion:
        meter = Meter(NOTHING)
        deadline_ns = call.deadline_ns - _MARGIN_NS
        try:
            return await self._client.complete(
                request, meter, deadline_ns=deadline_ns, on_delta=on_delta, by=call.sender
            )
        finally:
            # However the call ends: what it cost, or may have cost, is spent.
            charge = meter.charge
            call.spend(charge.micro_usd, charge.input_tokens + charge.output_tokens)
            if charge is not NOTHING:
                await self._usage.add(call.principal.tenant, call.principal.agent, request.model.name, charge)


async def _checked(call: Call, check: AnswerCheck, completion: Completion) -> str:
    """What of an answer may go on; that something stood out is journalled first.

    Raises:
        ContentDenied: content_answer_withheld.
        StoreUnavailable: it could not be journalled.
    """
    answer = completion.text
    checked = check.finish(answer) if len(answer) <= _QUICK else await asyncio.to_thread(check.finish, answer)
    if not checked.categories:
        return checked.text
    flagged = ContentFlagged(
        part="answer",
        tool="mads.fiedler.complete",
        invocation=call.invocation,
        model=completion.model,
        digest=hashlib.sha256(answer.encode("utf-8", "surrogatepass")).hexdigest(),
        action=checked.action,
        categories=checked.categories,
    )
    if checked.action == "block":
        await call.note(refused_like(flagged))
        raise ContentDenied(
            "content_answer_withheld",
            f"The answer of {completion.model} holds {', '.join(checked.categories)}, which `content.answers` keeps "
            "back. It was paid for; ask in another way.",
            details={"categories": list(checked.categories), "model": completion.model},
        )
    await call.note(flagged)
    return checked.text


def _card(model: Model) -> ModelCard:
    return ModelCard(
        name=model.name,
        provider_name=model.provider_name,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        input_usd_per_million=float(model.price.input),
        output_usd_per_million=float(model.price.output),
        timeout_seconds=model.timeout,
    )


class _Heard:
    """The answer as the caller hears it while it grows: some lines behind, so that what it must not hold stays in."""

    def __init__(self, call: Call, check: AnswerCheck) -> None:
        self._call = call
        self._stream = call.stream(check, reach=check.reach)
        self._done = 0

    async def add(self, piece: str) -> None:
        await self._say(self._stream.add(piece))

    async def end(self) -> None:
        await self._say(self._stream.end())

    async def _say(self, text: str) -> None:
        if text:
            self._done += len(text)
            await self._call.progress(self._done, None, text)


def _month(month: str) -> tuple[int, int]:
    year, number = int(month[:4]), int(month[5:])
    first = datetime.date(year, number, 1).toordinal() - _EPOCH
    return first, first + calendar.monthrange(year, number)[1] - 1


def _iso(day: int) -> str:
    return datetime.date.fromordinal(_EPOCH + day).isoformat()
