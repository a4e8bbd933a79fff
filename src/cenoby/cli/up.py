"""`cenoby up`: start a colony and serve until told to stop."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.options import Config, Data
from cenoby.cli.output import print_line
from cenoby.cli.settings_source import settings_for


def up(
    *,
    data: Data = None,
    listen: Annotated[str | None, Parameter(help="HOST:PORT of the gateway; port 0 takes a free one.")] = None,
    config: Config = None,
) -> int:
    """Start the colony on this data directory; prints `ready URL token FILE` when it answers."""
    settings = settings_for(data, config, listen=listen)
    from cenoby.app.up import serve_colony

    return serve_colony(settings, print_ready=print_line)
