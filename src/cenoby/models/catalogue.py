"""The models that the settings name, and the requests that fit them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cenoby.kernel.errors import InvalidInput
from cenoby.kernel.settings import ModelSettings
from cenoby.kernel.settings_file import SettingsError
from cenoby.models.price import Charge, Price
from cenoby.models.token_counts import TokenCounter

_BASE_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


class ModelInputError(InvalidInput):
    """A request that no retry will make acceptable."""

    codes = {
        "model_unknown": "The settings name no such model; `list_models` shows those there are.",
        "prompt_too_long": "Prompt and answer do not fit the model's context.",
        "model_request_refused": "The provider understood the request and turned it down.",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One callable model.

    Attributes:
        name: what callers ask for.
        provider_name: what the provider calls it.
        url: base URL, without a slash at the end.
        key: name of the secret with the API key; empty where none is needed.
        price: of its tokens.
        max_output_tokens: most tokens of one answer.
        context_tokens: most tokens of prompt and answer together.
        timeout: seconds for one whole answer.
    """

    name: str
    provider_name: str
    url: str
    key: str
    price: Price
    max_output_tokens: int
    context_tokens: int
    timeout: float

    @classmethod
    def of(cls, settings: ModelSettings) -> Model:
        """The model that one entry of the settings describes."""
        return cls(
            name=settings.name,
            provider_name=settings.model or settings.name,
            url=settings.url.rstrip("/"),
            key=settings.key or "",
            price=Price.per_million(settings.input_usd_per_million, settings.output_usd_per_million),
            max_output_tokens=settings.max_output_tokens,
            context_tokens=settings.context_tokens,
            timeout=settings.timeout,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One prompt for one model, within its limits and with its highest possible price.

    Attributes:
        model: who answers.
        messages: (role, text) in order.
        max_output_tokens: the cap that is sent.
        temperature: as the provider understands it; None leaves it to the provider.
        bound: the most that the call can cost.
    """

    model: Model
    messages: tuple[tuple[str, str], ...]
    max_output_tokens: int
    temperature: float | None
    bound: Charge

    @property
    def texts(self) -> list[str]:
        """The texts of all messages."""
        return [text for _, text in self.messages]


class Catalogue:
    """The models of a colony, in the order of the settings; the first is the default.

    Raises:
        SettingsError: two entries have the same name, or an address is not one.
    """

    def __init__(self, models: Sequence[ModelSettings], counter: TokenCounter) -> None:
        self._models: dict[str, Model] = {}
        self._counter = counter
        for position, entry in enumerate(models):
            if entry.name in self._models:
                raise SettingsError("settings_invalid", f"models.{position}: {entry.name!r} is named twice.")
            if not _BASE_URL.fullmatch(entry.url):
                raise SettingsError(
                    "settings_invalid", f"models.{position}.url: {entry.url!r} is no base URL like https://host/v1."
                )
            self._models[entry.name] = Model.of(entry)

    def all(self) -> list[Model]:
        """Every model, the default first."""
        return list(self._models.values())

    def get(self, name: str | None = None) -> Model:
        """The model called `name`, or the default.

        Raises:
            ModelInputError: there is none.
        """
        if not self._models:
            raise ModelInputError(
                "model_unknown",
                "No model is configured; add one under `models` to a settings file and start with `--config FILE`.",
            )
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            known = ", ".join(self._models)
            raise ModelInputError("model_unknown", f"There is no model {name[:80]!r}; choose one of: {known}.")
        return self._models[name]

    def request(
        self,
        prompt: str,
        *,
        model: str | None = None,
        system: str | None = None,
        max_output_tokens: int | None = None,
        temperature: float | None = None,
    ) -> ModelRequest:
        """A request within the limits of its model.

        Args:
            prompt: what the user says.
            model: name of the model; the default one if None.
            system: directive before the prompt.
            max_output_tokens: cap of the answer; never above the model's own.
            temperature: as the provider understands it.

        Raises:
            ModelInputError: no such model, or the prompt cannot fit its context.
        """
        chosen = self.get(model)
        messages = (("system", system), ("user", prompt)) if system else (("user", prompt),)
        texts = [text for _, text in messages]
        room = chosen.context_tokens - self._counter.at_least(texts)
        if room < 1:
            raise ModelInputError(
                "prompt_too_long",
                f"The prompt has at least {chosen.context_tokens - room} tokens and {chosen.name} takes "
                f"{chosen.context_tokens} with the answer; shorten it or choose a model with a longer context.",
            )
        cap = min(max_output_tokens or chosen.max_output_tokens, chosen.max_output_tokens, room)
        input_tokens = self._counter.at_most(chosen.name, texts)
        return ModelRequest(
            model=chosen,
            messages=messages,
            max_output_tokens=cap,
            temperature=temperature,
            bound=Charge(
                input_tokens=input_tokens,
                output_tokens=cap,
                micro_usd=chosen.price.of(input_tokens, cap),
                estimated=True,
            ),
        )
