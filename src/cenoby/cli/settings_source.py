"""The settings in force for a command: file, environment and command line."""

from __future__ import annotations

from pathlib import Path

from cenoby.kernel.settings import Settings
from cenoby.kernel.settings_file import load_settings


def settings_for(data: Path | None, config: Path | None = None, **overrides: object) -> Settings:
    """As `load_settings`, with what the command line says on top.

    Raises:
        SettingsError: a file or variable is wrong.
    """
    return load_settings(config, overrides={"data": str(data) if data else None, **overrides})
