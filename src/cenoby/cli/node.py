"""`cenoby node enroll|revoke|list`, `split`, `merge`, `drain`: one colony of several processes."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from cenoby.cli.colony_client import connect
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

NodeName = Annotated[str, Parameter(help="Name of the node.")]
MadName = Annotated[str, Parameter(help="Name of the MAD.")]


def enroll(
    name: NodeName,
    public_key: Annotated[str, Parameter(help="Its public key, `ed25519:...`.")],
    *,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Believe what a node signs from now on; its first start prints its key."""
    found = _grace("enroll_node", {"node": name, "public_key": public_key}, data, config, token)
    _say(found, f"{name} is enrolled", as_json=json)


def revoke(
    name: NodeName, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False
) -> None:
    """Believe a node no more; every other node refuses it within a second."""
    _say(_grace("revoke_node", {"node": name}, data, config, token), f"{name} is revoked", as_json=json)


def list_(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """List nodes: enrolled or not, there or not, what they host."""
    found = _grace("list_nodes", {}, data, config, token)
    if json:
        print_json(found)
        return
    rows = [
        [one["name"], one["state"], ", ".join(one["mads"]) or "-", one["version"], one["enrolled_by"] or "-"]
        for one in found["nodes"]
    ]
    print_table(["node", "state", "MADs", "version", "enrolled by"], rows)


def split(mad: MadName, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Move a MAD of the running colony into a process of its own on this machine; no call is lost."""
    found = _grace("split_mad", {"mad": mad}, data, config, token)
    _say(found, f"{mad} runs on {found['node']}", as_json=json)


def merge(mad: MadName, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Take a MAD back from other nodes into the colony's own process."""
    found = _grace("merge_mad", {"mad": mad}, data, config, token)
    _say(found, f"{mad} runs on {found['node']} again", as_json=json)


def drain(node: NodeName, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Have a node leave its MADs to others and end, once what it has under way is done."""
    found = _grace("drain_node", {"node": node}, data, config, token)
    _say(found, f"{node} left {', '.join(found['mads']) or 'nothing'}", as_json=json)


def _grace(verb: str, arguments: dict[str, str], data: Data, config: Config, token: Token) -> Any:
    return connect(settings_for(data, config).data, token).call(f"mads.grace.{verb}", arguments, timeout=150)


def _say(found: Any, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_line(text)
