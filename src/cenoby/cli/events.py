"""`cenoby events`: what a colony says of itself."""

from __future__ import annotations

from cenoby.app.event_schema import document
from cenoby.cli.options import Json
from cenoby.cli.output import print_json


def schema(*, json: Json = False) -> None:
    """Print the JSON Schema of all events, of every version."""
    del json
    print_json(document())
