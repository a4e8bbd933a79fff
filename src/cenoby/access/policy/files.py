"""Reading policy files and the tiers file, and telling whether they have changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from cenoby.access.actions import RiskTier
from cenoby.access.policy.errors import PolicyInvalid, Problem
from cenoby.access.policy.policy_set import Ingredients
from cenoby.access.policy.source import Source
from cenoby.kernel.settings import Settings

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, time of change, inode and size of every file; nothing of it changes unless a file does."""

_LARGEST = 16 * 1024 * 1024


def files_of(settings: Settings) -> list[Path]:
    """Every file that the set is read from, as they are now; a file that is named and not there is among them."""
    named = [file for place in settings.policy.files for file in expand(place)]
    return named + ([settings.policy.tiers] if settings.policy.tiers else [])


def expand(place: Path) -> list[Path]:
    """The `*.cedar` in a directory, by name; of a file, itself."""
    return sorted(place.glob("*.cedar")) if place.is_dir() else [place]


def stamp(settings: Settings) -> Stamp:
    """What tells one state of the files from another."""
    found: list[tuple[str, int, int, int]] = []
    for file in files_of(settings):
        try:
            state = file.stat()
        except OSError:
            found.append((str(file), 0, 0, -1))
            continue
        found.append((str(file), state.st_mtime_ns, state.st_ino, state.st_size))
    return tuple(found)


def read_ingredients(settings: Settings) -> Ingredients:
    """What the settings name, read now.

    Raises:
        PolicyInvalid: a file cannot be read, or the tiers file is none.
    """
    policy = settings.policy
    return Ingredients(
        sources=read_sources(policy.files),
        roles=settings.roles,
        tiers=read_tiers(policy.tiers) if policy.tiers else {},
        shipped=policy.shipped,
    )


def read_sources(places: Iterable[Path]) -> tuple[Source, ...]:
    """The policy files at these places, which are files or directories.

    Raises:
        PolicyInvalid: one cannot be read.
    """
    return tuple(Source(str(file), _read(file)) for place in places for file in expand(place))


def read_tiers(file: Path) -> dict[str, RiskTier]:
    """The risk tiers in a YAML file, `category:action: tier`.

    Raises:
        PolicyInvalid: it cannot be read, or is not of that form.
    """
    try:
        tree = yaml.safe_load(_read(file))
    except yaml.YAMLError as error:
        raise PolicyInvalid.of([Problem(str(file), 0, "", f"not valid YAML: {error}")]) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise PolicyInvalid.of([Problem(str(file), 0, "", "it must be action types and their tiers")])
    tiers: dict[str, RiskTier] = {}
    problems: list[Problem] = []
    names = {str(tier): tier for tier in RiskTier}
    for action, tier in cast(dict[Any, Any], tree).items():
        if isinstance(action, str) and isinstance(tier, str) and tier in names:
            tiers[action] = names[tier]
        else:
            problems.append(Problem(str(file), 0, "", f"{action}: {tier!r} is no tier; they are {', '.join(names)}"))
    if problems:
        raise PolicyInvalid.of(problems)
    return tiers


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise PolicyInvalid.of([Problem(str(file), 0, "", "it is larger than 16 MiB")])
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyInvalid.of([Problem(str(file), 0, "", f"cannot be read ({error.strerror})")]) from None
    except UnicodeDecodeError as error:
        raise PolicyInvalid.of([Problem(str(file), 0, "", f"is not text in UTF-8 ({error})")]) from None
