"""`cenoby tools pins` and `cenoby tools accept`: foreign tools, and a person's yes to one that changed."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for


def pins(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Show the tools of other colonies: pinned, or in quarantine, and then what changed."""
    found = connect(settings_for(data, config).data, token).call("mads.grace.list_pins", {})["pins"]
    if json:
        print_json(found)
        return
    print_table(
        ("tool", "state", "from", "digest", "rules"),
        [(one["tool"], one["state"], one["server"], one["digest"], " ".join(one["rules"])) for one in found],
    )
    for one in found:
        if one["state"] in ("changed", "poisoned"):
            print_line(f"\n{one['tool']}:")
            for line in one["diff"]:
                print_line(f"  {line}")


def accept(
    name: Annotated[str, Parameter(help="Canonical name of the tool.")],
    *,
    digest: Annotated[
        str | None, Parameter(help="Digest of what you looked at; what it is now, where left out.")
    ] = None,
    reason: Annotated[str, Parameter(help="Why; the journal gets it.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Accept a tool of another colony as it is now; it is out of quarantine at once."""
    client = connect(settings_for(data, config).data, token)
    if digest is None:
        known = {one["tool"]: one["digest"] for one in client.call("mads.grace.list_pins", {})["pins"]}
        digest = known.get(name, "")
    accepted = client.call("mads.grace.accept_tool", {"name": name, "digest": digest, "reason": reason})
    if json:
        print_json(accepted)
    else:
        print_line(f"{accepted['tool']} is {accepted['state']} as {accepted['digest']}")
