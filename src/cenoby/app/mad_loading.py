"""Finding the class of a MAD by what the settings call it, and saying where it is wrong."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from cenoby.colony.mad import Mad
from cenoby.kernel.errors import InvalidInput

_CENOBY = f"{Path(__file__).parent.parent}{os.sep}"
_PYTHON = f"{Path(os.__file__).parent}{os.sep}"


class MadUnknown(InvalidInput):
    """The settings name a MAD that cannot be found, loaded or hosted."""

    codes = {
        "mad_unknown": "A name in `mads` is neither shipped, nor an entry point, nor an importable class.",
        "mad_invalid": "A MAD in `mads` raises when its file is imported or when it is hosted, or has no `name`; the "
        "message says what is wrong, with file and line.",
    }


def load_mad_class(name: str) -> type[Mad]:
    """The MAD class for an entry of `mads`: an entry point of `cenoby.mads`, `module:Class` or `path/file.py:Class`.

    Raises:
        MadUnknown: `mad_unknown`, nothing of that name is there, or it is no MAD; `mad_invalid`, its code raises, or
            it has no `name`.
    """
    target, _, attribute = name.rpartition(":")
    load = (
        _entry_point(name) if not target else _file(name, target) if target.endswith(".py") else _module(name, target)
    )
    try:
        found = load()
    except (Exception, SystemExit) as error:
        if _is_missing(error, target):
            raise _unknown(name, f"there is no module {target!r}") from None
        raise mad_invalid(name, "cannot be imported", error) from error
    if isinstance(found, ModuleType):
        if not hasattr(found, attribute):
            raise _unknown(name, f"{target} has no class {attribute!r}")
        found = getattr(found, attribute)
    if not (isinstance(found, type) and issubclass(found, Mad)):
        raise _unknown(name, "it is not a class derived from cenoby.colony.mad.Mad")
    if not isinstance(getattr(found, "name", None), str):
        raise MadUnknown("mad_invalid", f'mads: {name!r} needs a name, as in `name = "keeper"` ({_place_of(found)}).')
    return found


def mad_invalid(name: str, problem: str, error: BaseException, cls: type | None = None) -> MadUnknown:
    """The error that tells a MAD's author what went wrong, and where.

    Args:
        name: the entry of `mads`.
        problem: what could not be done with it.
        error: what its code, or the check of it, raised.
        cls: its class, where there is one; named where the error says nothing of its own lines.
    """
    if isinstance(error, SyntaxError):
        what, place = error.msg, f"{error.filename}:{error.lineno}"
    else:
        what = str(error)
        place = _place_in(error) or (_place_of(cls) if cls is not None else _innermost(error))
    what = f"{type(error).__name__}: {what}".rstrip(".: ")
    return MadUnknown("mad_invalid", f"mads: {name!r} {problem}: {what} ({place}).")


def _unknown(name: str, why: str) -> MadUnknown:
    return MadUnknown("mad_unknown", f"mads: {name!r} cannot be loaded: {why}.")


def _entry_point(name: str) -> Callable[[], object]:
    for candidate in entry_points(group="cenoby.mads", name=name):
        return candidate.load
    raise _unknown(name, f"there is no shipped MAD and no entry point {name!r}")


def _module(name: str, target: str) -> Callable[[], object]:
    if not all(part.isidentifier() for part in target.split(".")):
        raise _unknown(name, f"{target!r} is no name of a module")
    return lambda: importlib.import_module(target)


def _file(name: str, target: str) -> Callable[[], object]:
    path = Path(target)
    if not path.is_file():
        raise _unknown(name, f"there is no file {path.absolute()}")
    module_name = f"cenoby_mad_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None, "a name that ends in .py is a Python file's"
    module, execute = importlib.util.module_from_spec(spec), spec.loader.exec_module

    def load() -> ModuleType:
        # Dataclasses and type hints look their module up by its name.
        sys.modules[module_name] = module
        execute(module)
        return module

    return load


def _is_missing(error: BaseException, target: str) -> bool:
    """Whether it is the named module itself that is not there, rather than one that it imports."""
    return isinstance(error, ModuleNotFoundError) and f"{target}.".startswith(f"{error.name}.")


def _place_in(error: BaseException) -> str:
    """The line of the MAD's that led to it: the innermost in the first file that is not Cenoby's or Python's own."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_foreign(frame.filename)]
    own = [frame for frame in lines if frame.filename == lines[0].filename]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _innermost(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}"


def _is_foreign(file: str) -> bool:
    if file.startswith((_PYTHON, "<")):
        return "site-packages" in file and not file.startswith(_CENOBY)
    return not file.startswith(_CENOBY)


def _place_of(cls: type) -> str:
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"
