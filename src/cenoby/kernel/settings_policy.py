"""The settings of policy: which files hold it."""

from __future__ import annotations

from pathlib import Path

from cenoby.kernel.settings_section import Seconds, Section


class PolicySettings(Section):
    """Where the rules on who may do what are read from, beside the shipped ones and `roles`."""

    files: list[Path] = []
    """Files in Cedar's language, or directories of `*.cedar`; relative to the settings file; followed while it runs."""
    shipped: bool = True
    """Whether the shipped policies, for the roles operator, developer, observer and auditor, hold as well."""
    tiers: Path | None = None
    """A YAML file with risk tiers, such as `vcs:push: medium`, that differ from the registered ones."""
    look_every: Seconds = 0.2
    """Seconds between looks at these files; a change holds after two looks that see the same."""
