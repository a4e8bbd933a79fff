"""Finding the class of a MAD by what the settings call it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path

from cenoby.colony.mad import Mad
from cenoby.kernel.errors import InvalidInput


class MadUnknown(InvalidInput):
    """The settings name a MAD that cannot be found or loaded."""

    codes = {
        "mad_unknown": "A name in `mads` is neither shipped, nor an entry point, nor an importable class.",
        "mad_invalid": "A MAD in `mads` declares a tool that cannot be published; the message says which and why.",
    }


def load_mad_class(name: str) -> type[Mad]:
    """The MAD class for an entry of `mads`: an entry point of `cenoby.mads`, `module:Class` or `path/file.py:Class`.

    Raises:
        MadUnknown: nothing of that name can be loaded, or it is no MAD.
    """
    target, _, attribute = name.rpartition(":")
    try:
        if not target:
            found = _entry_point(name)
        elif target.endswith(".py"):
            found = getattr(_module_of_file(Path(target)), attribute)
        else:
            found = getattr(importlib.import_module(target), attribute)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        raise MadUnknown("mad_unknown", f"mads: {name!r} cannot be loaded: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Mad)):
        raise MadUnknown("mad_unknown", f"mads: {name!r} is not a class derived from cenoby.colony.mad.Mad.")
    return found


def _entry_point(name: str) -> object:
    for candidate in entry_points(group="cenoby.mads", name=name):
        return candidate.load()
    raise ImportError(f"there is no shipped MAD and no entry point {name!r}")


def _module_of_file(path: Path) -> object:
    module_name = f"cenoby_mad_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
