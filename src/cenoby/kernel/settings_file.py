"""Reading the settings: defaults, then one YAML file, then `CENOBY_*`, then what the command line says."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from cenoby.kernel.errors import InvalidInput
from cenoby.kernel.settings import Settings

PREFIX = "CENOBY_"
# Read elsewhere, each by the one part it is for; not settings.
OTHER_VARIABLES = frozenset({"CENOBY_TOKEN", "CENOBY_CONFIG", "CENOBY_MASTER_KEY", "CENOBY_TRACEBACK"})


class SettingsError(InvalidInput):
    """The settings cannot be used; the message names the place and, for a misspelt key, the likely one."""

    codes = {"settings_invalid": "The settings file or a CENOBY_* variable is wrong; the message names the place."}


def load_settings(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings in force.

    Args:
        file: a YAML file; `CENOBY_CONFIG` names one where this is None; none at all is fine. The files of MADs that
            it names are relative to its own directory.
        environment: variables; `CENOBY_GATEWAY__MAX_INFLIGHT=64` sets `gateway.max_inflight`. Values are
            YAML, lists and objects too.
        overrides: top-level values that win over both, as from the command line; None values are ignored.

    Raises:
        SettingsError: the file cannot be read, a key is unknown, or a value does not fit.
    """
    variables = os.environ if environment is None else environment
    named = file or (Path(variables["CENOBY_CONFIG"]) if variables.get("CENOBY_CONFIG") else None)
    tree = _from_file(named) if named else {}
    for path, value in _variables(variables):
        _set(tree, path, value)
    for key, value in (overrides or {}).items():
        if value is not None:
            tree[key] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        where = f"{named}: " if named else ""
        raise SettingsError(
            "settings_invalid", f"{where}{explained(error, Settings)}. `cenoby config schema` prints what is allowed."
        ) from None


def is_setting(variable: str) -> bool:
    """Whether an environment variable of that name is read as a setting."""
    return variable.startswith(PREFIX) and variable not in OTHER_VARIABLES


def private_tree(settings: Settings) -> dict[str, Any]:
    """The settings as a file of theirs would hold them, passwords in clear: for a file that nobody else may read."""
    tree = settings.model_dump(mode="json")
    tree["store"] = settings.store
    tree["bus_security"]["password"] = settings.bus_security.password.get_secret_value()
    return tree


def settings_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the settings file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema()


def _from_file(file: Path) -> dict[str, Any]:
    tree = _read_yaml(file)
    mads = tree.get("mads")
    if isinstance(mads, list):
        # Beside the file that names it, wherever the command is started.
        tree["mads"] = [_beside(file, entry) for entry in cast(list[Any], mads)]
    _policy_beside(file, tree.get("policy"))
    _named_beside(file, tree.get("egress"), "rules")
    _named_beside(file, tree.get("content"), "file")
    for contract in _contracts(tree):
        if isinstance(contract.get("document"), str):
            contract["document"] = str(file.absolute().parent / contract["document"])
    return tree


def _policy_beside(file: Path, policy: Any) -> None:
    if not isinstance(policy, dict):
        return
    section, folder = cast(dict[str, Any], policy), file.absolute().parent
    if isinstance(section.get("files"), list):
        section["files"] = [str(folder / str(entry)) for entry in cast(list[Any], section["files"])]
    if isinstance(section.get("tiers"), str):
        section["tiers"] = str(folder / section["tiers"])


def _named_beside(file: Path, section: Any, key: str) -> None:
    """Where a section names a file, it lies beside the settings file."""
    if isinstance(section, dict) and isinstance(name := cast(dict[str, Any], section).get(key), str):
        cast(dict[str, Any], section)[key] = str(file.absolute().parent / name)


def _contracts(tree: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    colonies = tree.get("colonies")
    for colony in cast(dict[str, Any], colonies).values() if isinstance(colonies, dict) else ():
        uses = cast(dict[str, Any], colony).get("uses") if isinstance(colony, dict) else None
        for contract in cast(list[Any], uses) if isinstance(uses, list) else ():
            if isinstance(contract, dict):
                yield cast(dict[str, Any], contract)


def _beside(file: Path, entry: Any) -> Any:
    target, colon, name = str(entry).rpartition(":")
    return f"{file.absolute().parent / target}{colon}{name}" if target.endswith(".py") else entry


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError("settings_invalid", f"{file}: cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError("settings_invalid", f"{file}: not valid YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError("settings_invalid", f"{file}: the top level must be keys and values.")
    return cast(dict[str, Any], tree)


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[list[str], Any]]:
    for name, text in sorted(environment.items()):
        if is_setting(name):
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError:
                value = text
            yield name[len(PREFIX) :].lower().split("__"), value


def _set(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = tree.setdefault(key, {})
        if not isinstance(inner, dict):
            raise SettingsError("settings_invalid", f"{PREFIX}{'__'.join(path).upper()}: {key} is not a section.")
        tree = cast(dict[str, Any], inner)
    tree[path[-1]] = value


def explained(error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong, in one line for a person: each place, and for an unknown key of `model` the likely one."""
    return "; ".join(_explain_one(cast(Mapping[str, Any], item), model) for item in error.errors(include_url=False))


def _explain_one(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    location = [str(part) for part in item["loc"]]
    place = ".".join(location)
    if item["type"] != "extra_forbidden":
        return f"{place}: {item['msg']} (got {json.dumps(item['input'], default=str)[:80]})"
    near = difflib.get_close_matches(location[-1], _keys_at(location[:-1], model), n=1)
    return f"unknown key {place}" + (f", did you mean {near[0]}?" if near else "")


def _keys_at(path: list[str], model: type[BaseModel]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        # Itself, or what a list or a mapping of them holds.
        for inner in (field.annotation, *get_args(field.annotation)) if field else ():
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return list(model.model_fields)
