"""`cenoby approvals`: calls that wait for a person, and what became of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

ApprovalId = Annotated[str, Parameter(help="Id of the request, from `cenoby approvals list`.")]
ParkedId = Annotated[str, Parameter(help="Id that the call was parked under; the refusal named it.")]
Reason = Annotated[str, Parameter(help="Why; the asking agent and the journal get it.")]
_COLUMNS = ("id", "created", "agent", "tool", "risk", "status", "expires")


def list_(
    *,
    everything: Annotated[bool, Parameter(name="--all", help="Decided and lapsed ones, too.", negative="")] = False,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show calls that wait for a person's decision, newest first."""
    client = connect(settings_for(data, config).data, token)
    found = client.call("mads.grace.list_approvals", {"pending": not everything, "limit": 1000})["approvals"]
    if json:
        print_json(found)
    elif found:
        print_table(list(_COLUMNS), [[str(one[name] or "") for name in _COLUMNS] for one in found])


def show(
    approval: ApprovalId, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False
) -> None:
    """Show one request with its whole context: why a person must decide, and the conversation word for word."""
    found = connect(settings_for(data, config).data, token).call("mads.grace.show_approval", {"approval_id": approval})
    if json:
        print_json(found)
        return
    for name, value in found["approval"].items():
        print_line(f"{name}: {value}")
    print_line(f"outcome: {found['outcome']}")
    if found["conversation"] is not None:
        print_json(found["conversation"])


def approve(
    approval: ApprovalId,
    *,
    reason: Reason = "",
    scope: Annotated[
        Literal["once", "conversation", "time"],
        Parameter(help="This call; calls of this tool in its conversation; or such calls for a time."),
    ] = "once",
    minutes: Annotated[int, Parameter(help="For how long, where it is for more calls.")] = 0,
    any_arguments: Annotated[bool, Parameter(help="Such calls with other arguments, too.", negative="")] = False,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Say yes: the parked call runs at once. What is critical needs a second person, who says the same."""
    arguments = {
        "approval_id": approval,
        "reason": reason,
        "scope": scope,
        "minutes": minutes,
        "any_arguments": any_arguments,
    }
    _decided(connect(settings_for(data, config).data, token).call("mads.grace.approve", arguments), as_json=json)


def deny(
    approval: ApprovalId,
    *,
    reason: Reason = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Say no, and why."""
    client = connect(settings_for(data, config).data, token)
    _decided(client.call("mads.grace.deny", {"approval_id": approval, "reason": reason}), as_json=json)


def revoke(
    approval: ApprovalId, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False
) -> None:
    """End what a yes approved beyond its one call; calls are asked for again."""
    client = connect(settings_for(data, config).data, token)
    ended = client.call("mads.grace.revoke_approval", {"approval_id": approval})
    if json:
        print_json(ended)
    else:
        print_line(f"ended {ended['grants']} grant(s)")


def result(
    approval: ParkedId, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False
) -> None:
    """Show what became of a call of one's own that was parked, and its result once it is there."""
    found = connect(settings_for(data, config).data, token).call("mads.grace.get_parked", {"approval_id": approval})
    if json:
        print_json(found)
        return
    print_line(f"{found['state']}: {found['tool']}")
    for part in ("error", "result", "blocks"):
        if found[part] is not None:
            print_json(found[part])


def _decided(request: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(request)
    elif request["status"] == "pending":
        print_line(f"{request['id']}: {request['seconded_by']} agreed; another person must agree, too")
    else:
        print_line(f"{request['id']}: {request['status']}")
