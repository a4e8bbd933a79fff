"""Asking a model: one request, as many attempts as cost nothing, one charge."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import httpcore2

from cenoby.kernel.clock import Clock
from cenoby.kernel.codec import CodecError, from_json
from cenoby.kernel.errors import CenobyError
from cenoby.models.backoff import delay, retry_after
from cenoby.models.catalogue import Model, ModelRequest
from cenoby.models.offers import near_offers
from cenoby.models.price import NOTHING, Charge, Meter
from cenoby.models.refusal import MAY_BE_BILLED, ModelFault, ModelUnavailable, Refusal, refusal_of, without_key
from cenoby.models.sse import EventTooLong, event_data
from cenoby.models.token_counts import TokenCounter
from cenoby.models.wire import Dialect, Reading, error_of, other_dialect, request_body
from cenoby.protection.circuits import Circuits, unbroken
from cenoby.protection.egress import EgressGuard
from cenoby.protection.egress_answer import Answer, EgressFailed
from cenoby.protection.egress_policy import EgressRefused
from cenoby.protection.egress_rules.errors import EgressSpent
from cenoby.protection.egress_rules.sender import COLONY, Sender

SecretReader = Callable[[str, str], Awaitable[str]]
"""The value of a secret by its name, for a header of a request to that URL; read when it is used and kept nowhere."""

Delta = Callable[[str], Awaitable[None]]
"""Takes the next piece of a streamed answer."""

_ATTEMPTS = 4
_LONGEST_EVENT = 4 * 1024 * 1024
_BYTES_PER_ANSWER = 256 * 1024
_BYTES_PER_TOKEN = 4096
_FAIR_SHARE = 0.5
"""Of its model's timeout; a provider that had as much and gave no answer is at fault, not a caller in a hurry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model answered.

    Attributes:
        model: name of the model, as callers know it.
        text: the whole answer.
        finish_reason: the provider's word for why it ended (`stop`, `length`, ...); empty if it gave none.
        charge: what it cost.
    """

    model: str
    text: str
    finish_reason: str
    charge: Charge


@dataclass(frozen=True, slots=True)
class _Attempt:
    request: ModelRequest
    key: str
    dialect: Dialect
    on_delta: Delta | None
    seconds: float
    by: Sender


class ModelClient:
    """Sends requests to providers.

    Only an attempt that certainly was not billed is repeated: one that never reached the provider, or that it turned
    down. One that was lost on the way may have been billed; it ends the call and stays charged at its upper bound, so
    that no sum of retries exceeds what was reserved for the call.

    Args:
        egress: the way out.
        secrets: reads API keys, once per attempt.
        counter: learns from the usage that providers report.
        clock: the time.
        circuits: the circuit `model:<url>` of every provider's endpoint.
        sleep: waits some seconds.
        chance: jitter of the waits.
    """

    def __init__(
        self,
        egress: EgressGuard,
        secrets: SecretReader,
        counter: TokenCounter,
        clock: Clock,
        *,
        circuits: Circuits = unbroken,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: random.Random | None = None,
    ) -> None:
        self._egress = egress
        self._secrets = secrets
        self._counter = counter
        self._clock = clock
        self._circuits = circuits
        self._sleep = sleep
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._dialects: dict[str, Dialect] = {}

    async def complete(
        self,
        request: ModelRequest,
        meter: Meter,
        *,
        deadline_ns: int,
        on_delta: Delta | None = None,
        by: Sender = COLONY,
    ) -> Completion:
        """The model's answer.

        Args:
            request: from the catalogue.
            meter: holds at every moment what the call has cost so far, at most; read it however the call ends.
            deadline_ns: Unix nanoseconds after which nobody waits; the model's own timeout may come first.
            on_delta: asks for a streamed answer and takes its pieces.
            by: on whose behalf.

        Raises:
            ModelInputError: the provider does not accept the request.
            ModelUnavailable: no answer now.
            ModelFault: the provider's address, key or answers are not what they should be.
            EgressRefused, EgressSpent: the provider may not be reached, or not now.
            Unavailable: circuit_open, circuit_held_open: the endpoint is left alone.
            CenobyError: what the secret reader raises.
        """
        model = request.model
        ends_ns = min(deadline_ns, self._clock.now_ns() + round(model.timeout * 1e9))
        attempts = 0
        while True:
            dialect = self._dialects.get(model.name, Dialect())
            attempt = _Attempt(request, await self._key(model), dialect, on_delta, self._left(ends_ns, model), by)
            result = await self._send(attempt, meter)
            if isinstance(result, Reading):
                return self._completion(request, result, meter)
            if self._learn_dialect(model, dialect, result):
                continue
            attempts += 1
            await self._wait(result, attempts, ends_ns)

    async def _key(self, model: Model) -> str:
        key = (await self._secrets(model.key, model.url)).strip() if model.key else ""
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ModelFault(
                "model_key_refused", f"Secret {model.key!r} is not an API key: it holds blanks or control characters."
            )
        return key

    def _left(self, ends_ns: int, model: Model) -> float:
        left = (ends_ns - self._clock.now_ns()) / 1e9
        if left <= 0:
            raise ModelUnavailable("model_timeout", f"{model.name} gave no answer in time; try again.", retry_after=1.0)
        return left

    async def _wait(self, refusal: Refusal, attempts: int, ends_ns: int) -> None:
        seconds = delay(attempts, refusal.asked, self._chance)
        late = self._clock.now_ns() + seconds * 1e9 >= ends_ns
        if not refusal.passing or attempts >= _ATTEMPTS or late:
            if refusal.passing:
                refusal.error.retry_after = seconds
            raise refusal.error
        await self._sleep(seconds)

    def _learn_dialect(self, model: Model, dialect: Dialect, refusal: Refusal) -> bool:
        other = other_dialect(dialect, refusal.complaint)
        if other is not None:
            self._dialects[model.name] = other
        return other is not None

    async def _send(self, attempt: _Attempt, meter: Meter) -> Reading | Refusal:
        """One attempt: an answer, or a refusal that cost nothing. Raises where it may have cost something."""
        request = attempt.request
        reading = Reading()
        body = request_body(request, attempt.dialect, stream=attempt.on_delta is not None)
        circuit = self._circuits(f"model:{request.model.url}")
        circuit.enter()
        meter.charge = request.bound
        try:
            async with self._egress.stream(
                "POST",
                f"{request.model.url}/chat/completions",
                _headers(attempt),
                body,
                by=attempt.by,
                circuit=circuit,
                patience=_FAIR_SHARE * request.model.timeout,
                timeout=attempt.seconds,
                max_bytes=_BYTES_PER_ANSWER + _BYTES_PER_TOKEN * request.max_output_tokens,
            ) as answer:
                if answer.status != 200:
                    return await self._refused(attempt, answer, meter)
                await _read(attempt, answer, reading)
        except EgressRefused as error:
            if error.code != "egress_too_large":
                meter.charge = NOTHING
            raise
        except EgressSpent:
            meter.charge = NOTHING
            raise
        except EgressFailed as error:
            if _never_sent(error):
                meter.charge = NOTHING
                return Refusal(ModelUnavailable("model_unreachable", f"{request.model.name}: {error.message}"))
            if not reading.finish_reason:
                raise _lost(request.model, error, meter) from None
            # The model had said its last word; only the farewell was lost.
        return reading

    async def _refused(self, attempt: _Attempt, answer: Answer, meter: Meter) -> Refusal:
        if answer.status not in MAY_BE_BILLED:
            meter.charge = NOTHING
        words = without_key(error_of(await answer.read()), attempt.key)
        asked = retry_after(answer.headers, now_ns=self._clock.now_ns())
        refusal = refusal_of(attempt.request.model, answer.status, words, asked)
        if answer.status in MAY_BE_BILLED:
            refusal.error.details["charged_micro_usd"] = meter.charge.micro_usd
            raise refusal.error
        if answer.status == 404 and refusal.error.code == "model_gone":
            await self._name_offers(attempt, refusal)
        return refusal

    async def _name_offers(self, attempt: _Attempt, refusal: Refusal) -> None:
        offers = await near_offers(self._egress, attempt.request.model, _headers(attempt), attempt.seconds, attempt.by)
        if offers:
            message = f"{refusal.error.message} The provider offers: {', '.join(offers)}."
            refusal.error = ModelFault("model_gone", message, details={"offered": offers})

    def _completion(self, request: ModelRequest, reading: Reading, meter: Meter) -> Completion:
        text = "".join(reading.parts)
        usage = reading.usage
        # Hidden reasoning is billed, too, so an answer without a believable count costs all that was reserved.
        if usage is not None and (usage.output_tokens > 0 or not text):
            self._counter.correct(request.model.name, request.texts, usage.input_tokens)
            micro_usd = request.model.price.of(usage.input_tokens, usage.output_tokens)
            meter.charge = Charge(
                input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, micro_usd=micro_usd
            )
        if reading.error:
            raise ModelUnavailable("model_failed", f"{request.model.name} broke off: {reading.error}")
        return Completion(model=request.model.name, text=text, finish_reason=reading.finish_reason, charge=meter.charge)


def _headers(attempt: _Attempt) -> dict[str, str]:
    accept = "application/json" if attempt.on_delta is None else "text/event-stream"
    headers = {"content-type": "application/json", "accept": accept}
    if attempt.key:
        headers["authorization"] = f"Bearer {attempt.key}"
    return headers


async def _read(attempt: _Attempt, answer: Answer, reading: Reading) -> None:
    """Fill `reading`; what the server says it sends counts, not what it was asked for."""
    name = attempt.request.model.name
    try:
        if "event-stream" in answer.headers.get("content-type", ""):
            await _read_events(answer.chunks(), attempt.on_delta, reading)
        else:
            await _deliver(reading.take(from_json(await answer.read())), attempt.on_delta)
    except (CodecError, EventTooLong) as error:
        raise ModelFault(
            "model_answer_invalid",
            f"{name} answered with something else than a chat completion ({without_key(str(error), attempt.key)}); "
            "check its `url` in the settings.",
        ) from None
    reading.error = without_key(reading.error, attempt.key)
    if not (reading.parts or reading.finish_reason or reading.error or reading.usage):
        raise ModelFault(
            "model_answer_invalid", f"{name} sent an answer without choices; check its `url` in the settings."
        )


async def _read_events(chunks: AsyncIterator[bytes], on_delta: Delta | None, reading: Reading) -> None:
    async with aclosing(event_data(chunks, max_bytes=_LONGEST_EVENT)) as events:
        async for data in events:
            if data.strip() == b"[DONE]":
                reading.finish_reason = reading.finish_reason or "stop"
                return
            await _deliver(reading.take(from_json(data)), on_delta)
    if not reading.finish_reason and not reading.error:
        raise EgressFailed("egress_answer", "the stream ended before the answer did")


async def _deliver(text: str, on_delta: Delta | None) -> None:
    if text and on_delta is not None:
        await on_delta(text)


def _never_sent(error: CenobyError) -> bool:
    return isinstance(error.__context__, httpcore2.ConnectError | httpcore2.ConnectTimeout)


def _lost(model: Model, error: EgressFailed, meter: Meter) -> ModelUnavailable:
    code, what = (
        "model_cut_off",
        f"The connection to {model.name} broke before the answer was complete: {error.message}",
    )
    if error.code == "egress_timeout":
        code, what = (
            "model_timeout",
            f"{model.name} gave no complete answer in time; ask for less or raise its `timeout`.",
        )
    # Shown, because a call that may have been billed is charged in full.
    return ModelUnavailable(code, what, retry_after=1.0, details={"charged_micro_usd": meter.charge.micro_usd})
