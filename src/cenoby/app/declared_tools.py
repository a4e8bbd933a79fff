"""The tools that MADs declare, read from their classes: what commands know of a colony that does not run."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cenoby.access.policy.vocabulary import ToolFact
from cenoby.app.mad_loading import load_mad_class
from cenoby.colony.mad import Mad
from cenoby.colony.tool import declaration_of, declared_methods

_SHIPPED: Mapping[str, str] = {
    "rogers": "cenoby.mads.rogers.mad:Rogers",
    "fiedler": "cenoby.mads.fiedler:Fiedler",
    "turing": "cenoby.mads.turing:Turing",
    "grace": "cenoby.mads.grace:Grace",
    "marco": "cenoby.mads.marco.mad:Marco",
}


def declared_tools(mads: Iterable[str]) -> list[ToolFact]:
    """The tools of these MADs, by name; what a MAD adds while it runs is not among them.

    Args:
        mads: as the setting `mads` has them.

    Raises:
        MadUnknown: one cannot be imported.
    """
    return sorted((fact for name in mads for fact in _declared(_class(name))), key=lambda one: one.name)


def _class(name: str) -> type[Mad]:
    if name not in _SHIPPED:
        return load_mad_class(name)
    module, _, attribute = _SHIPPED[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def _declared(mad: type[Mad]) -> list[ToolFact]:
    return [_fact(mad, attribute, function) for attribute, function in declared_methods(mad)]


def _fact(mad: type[Mad], attribute: str, function: Callable[..., Any]) -> ToolFact:
    says = declaration_of(function)
    # The first two are the MAD and the call.
    names = tuple(sorted(list(inspect.signature(function).parameters)[2:]))
    return ToolFact(f"mads.{mad.name}.{attribute}", mad.name, says.action, says.effect, says.risk, names)
