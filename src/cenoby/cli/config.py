"""`cenoby config`: the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cenoby.cli.options import Config, Data, Json
from cenoby.cli.output import print_json, print_line
from cenoby.cli.settings_source import settings_for
from cenoby.kernel.settings_file import load_settings, settings_schema


def schema(*, json: Json = False) -> None:
    """Print the JSON Schema of the settings file."""
    del json
    print_json(settings_schema())


def show(*, data: Data = None, config: Config = None, json: Json = False) -> None:
    """Print the settings in force, defaults included."""
    values: dict[str, Any] = settings_for(data, config).model_dump(mode="json")
    if json:
        print_json(values)
        return
    import yaml

    print_line(yaml.safe_dump(values, sort_keys=False).rstrip())


def check(
    file: Annotated[Path | None, Parameter(help="Settings file; CENOBY_CONFIG where none is given.")] = None,
    *,
    json: Json = False,
) -> None:
    """Check a settings file together with the CENOBY_* variables; exit code 2 where something is wrong."""
    load_settings(file)
    if json:
        print_json({"ok": True, "file": str(file) if file else None})
    else:
        print_line(f"ok {file or 'no file, defaults and environment only'}")
