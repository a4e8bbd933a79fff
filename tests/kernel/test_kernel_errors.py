"""The error hierarchy."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cenoby
from cenoby.kernel.errors import FAMILIES, CenobyError, Refused, error_codes, error_from_wire


class Sample(Refused):
    """For this test."""

    codes = {"sample_code": "For this test."}


def test_an_undeclared_code_cannot_be_raised() -> None:
    """A code that the class does not list is a programming error, seen at once."""
    with pytest.raises(ValueError, match="declares no error code"):
        Sample("other", "message")


@given(st.text(max_size=50), st.one_of(st.none(), st.floats(min_value=0, max_value=1e6)))
def test_an_error_comes_back_from_the_wire_as_itself(message: str, retry_after: float | None) -> None:
    """Class, code, message and waiting time survive `to_wire` and `error_from_wire`."""
    error = error_from_wire(Sample("sample_code", message, retry_after=retry_after).to_wire())
    assert type(error) is Sample
    assert (error.code, error.message) == ("sample_code", message)
    assert error.retry_after == (None if retry_after is None else round(retry_after, 3))


def test_a_code_from_a_newer_node_keeps_its_family() -> None:
    """An unknown code becomes the class of its family, with code and message unchanged."""
    error = error_from_wire({"code": "from_tomorrow", "message": "m", "family": "not_found"})
    assert type(error) is FAMILIES["not_found"]
    assert (error.code, error.exit_code) == ("from_tomorrow", 5)


def test_every_code_is_declared_once_and_says_what_to_do() -> None:
    """Over all modules: codes are snake_case, unique, and have a meaning; at most three classes a package."""
    for one in pkgutil.walk_packages(cenoby.__path__, "cenoby."):
        if ".migrations." not in one.name and not one.name.endswith("__main__"):
            importlib.import_module(one.name)
    per_package: dict[str, set[type[CenobyError]]] = {}
    for code, (cls, meaning) in error_codes().items():
        if not cls.__module__.startswith("cenoby."):
            continue
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", code), code
        assert meaning.endswith("."), code
        # A package inside a package counts for itself.
        _, package, *inner = cls.__module__.split(".")
        own = max(len(inner) - 1, 1 if package in {"mads", "protection"} else 0)
        package = ".".join([package, *inner[:own]])
        per_package.setdefault(package, set()).add(cls)
    assert {package: classes for package, classes in per_package.items() if len(classes) > 3} == {}
