"""`cenoby node --mads ...`; imported with every command, so it imports what it needs when it is called."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.options import Config, Data


def run(
    *,
    mads: Annotated[str | None, Parameter(help="MADs to host, joined by commas.")] = None,
    bus: Annotated[str | None, Parameter(help="URL of the colony's bus.")] = None,
    store: Annotated[str | None, Parameter(help="URL of the colony's database.")] = None,
    name: Annotated[str | None, Parameter(help="Name of this node, for good.")] = None,
    data: Data = None,
    config: Config = None,
) -> int:
    """Host some MADs of a colony in this process, here or on another machine; prints `ready NODE` when it does.

    Bus and store are those of the colony. An operator enrols the node once: the first start says with which command.
    """
    from cenoby.app.node import serve_node
    from cenoby.cli.output import print_line
    from cenoby.cli.settings_source import settings_for

    hosted = [one.strip() for one in mads.split(",") if one.strip()] if mads is not None else None
    settings = settings_for(data, config, mads=hosted, bus=bus, store=store, node=name)
    return serve_node(settings, print_ready=print_line)
