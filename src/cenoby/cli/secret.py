"""`cenoby secret`: keep secrets, say who may use which for what, and see who holds one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.failures import ArgumentsInvalid
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_fields, print_json, print_line, print_table
from cenoby.cli.settings_source import settings_for

Name = Annotated[str, Parameter(help="Name of the secret.")]
Version = Annotated[int | None, Parameter(help="Which version; left out: the newest.")]
_LEASE = ("lease_id", "name", "version", "holder", "expires_at", "renewable_until")


def list_(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """List secrets: whose, who reads them, how many versions; never values."""
    client = connect(settings_for(data, config).data, token)
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = client.call("mads.turing.list_secrets", {"limit": 500, "cursor": cursor})
        found += page["secrets"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if json:
        print_json(found)
    elif found:
        print_table(("name", "owner", "versions", "for", "revoked"), [_row(one) for one in found])


def set_(
    name: Name,
    *,
    reader: Annotated[
        list[str] | None, Parameter(help="`agent:<name>` or `role:<name>`; may be given again.", negative="")
    ] = None,
    colony_only: Annotated[bool, Parameter(help="For the colony's own use; told to nobody.", negative="")] = False,
    policy: Annotated[Path | None, Parameter(help="YAML with the permits of a new secret.")] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Store a secret, or its next version; the value is read from standard input, on a terminal without echo."""
    arguments: dict[str, Any] = {"name": name}
    if reader is not None:
        arguments["readers"] = reader
    if colony_only:
        arguments["colony_only"] = True
    if policy is not None:
        arguments["permits"] = _permits(policy)
    client = _client(data, config, token)
    _print_version(client.call("mads.turing.set_secret", arguments | {"value": _value()}), as_json=json)


def get(
    name: Name,
    *,
    version: Version = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Print the value of a secret; that it was read is on record before."""
    told = _client(data, config, token).call("mads.turing.get_secret", {"name": name, "version": version})
    if json:
        print_json(told)
    else:
        print_line(told["value"])


def rotate(name: Name, *, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Give a secret its next value now: as its settings say, else by chance. The value is not printed."""
    _print_version(_client(data, config, token).call("mads.turing.rotate_secret", {"name": name}), as_json=json)


def revoke(
    name: Name,
    *,
    version: Annotated[int | None, Parameter(help="Which version; left out: all of them.")] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Destroy the value of a version, or of all; leases for it end."""
    done = _client(data, config, token).call("mads.turing.revoke_secret", {"name": name, "version": version})
    if json:
        print_json(done)
    else:
        print_line(f"destroyed version(s) {', '.join(map(str, done['versions'])) or 'none'} of {name}")


def policy(
    name: Name,
    *,
    set_: Annotated[Path | None, Parameter(name="--set", help="YAML with the permits to put in force.")] = None,
    remove: Annotated[bool, Parameter(help="Leave it without the policy that was set.", negative="")] = False,
    reason: Annotated[str, Parameter(help="Why; the journal gets it.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show who may use a secret for what, or give it another policy; only a person may change it."""
    client = _client(data, config, token)
    if set_ is None and not remove:
        found = client.call("mads.turing.show_secret_policy", {"name": name})
    else:
        if not reason or (set_ is not None and remove):
            raise ArgumentsInvalid(
                "arguments_unreadable", "give --reason, and one of --set FILE and --remove, to change a policy"
            )
        permits = None if set_ is None else _permits(set_)
        arguments = {"name": name, "permits": permits, "reason": reason}
        found = client.call("mads.turing.set_secret_policy", arguments)
    if json:
        print_json(found)
        return
    if not found["policies"]:
        print_line("no policy: its readers may read it")
    for one in found["policies"]:
        print_line(f"{one['source']}: {one['set_by']} {one['set_at'] or ''}".rstrip(": "))
        for permit in one["permits"]:
            print_line(f"  {_permit_text(permit)}")


def explain(
    name: Name,
    *,
    agent: Annotated[str, Parameter(help="Who would be told it; left out: the caller.")] = "",
    mad: Annotated[str, Parameter(help="The MAD that would use it itself, instead of an agent.")] = "",
    tool: Annotated[str, Parameter(help="By which tool.")] = "mads.turing.get_secret",
    to: Annotated[str, Parameter(help="In a header to which host:port; left out: told.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Say what the policy of a secret decides on a use, and how each permit fits. Exit code 0, whatever it is."""
    arguments = {"name": name, "agent": agent, "mad": mad, "tool": tool, "to": to}
    found = _client(data, config, token).call("mads.turing.explain_secret", arguments)
    if json:
        print_json(found)
        return
    print_fields({"decision": found["decision"], "because": found["because"]})
    for one in found["permits"]:
        fits = ", ".join(f"{part}: {'fits' if one[part] else 'does not fit'}" for part in ("who", "tools", "to"))
        print_line(f"{one['source']}  {_permit_text(one['permit'])}")
        print_line(f"  {fits}")


def break_glass(
    name: Name,
    *,
    reason: Annotated[str, Parameter(help="Why; those who decide and the journal get it.")],
    version: Version = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Ask to read a secret that its policy does not give the caller: two other people must agree.

    The first time it is refused with the id under which it waits; once they have approved it, the same command, or
    `cenoby approvals result ID`, prints it.
    """
    arguments = {"name": name, "reason": reason, "version": version}
    told = _client(data, config, token).call("mads.turing.break_glass", arguments)
    if json:
        print_json(told)
    else:
        print_line(told["value"])


def leases(
    *,
    holder: Annotated[str, Parameter(help="Only of this agent, or of `mad:<name>`.")] = "",
    name: Annotated[str, Parameter(help="Only of this secret.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """List leases: who holds which value, and until when."""
    arguments = {"holder": holder, "name": name, "limit": 500}
    found = _client(data, config, token).call("mads.turing.list_leases", arguments)["leases"]
    if json:
        print_json(found)
    elif found:
        print_table(_LEASE, [[one[column] for column in _LEASE] for one in found])


def revoke_lease(
    lease: Annotated[str, Parameter(help="Id of one lease, from `cenoby secret leases`.")] = "",
    *,
    holder: Annotated[str, Parameter(help="All leases of this agent, or of `mad:<name>`.")] = "",
    name: Annotated[str, Parameter(help="All leases of this secret.")] = "",
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """End one lease, or all of a holder or of a secret."""
    arguments = {"lease_id": lease or None, "holder": holder, "name": name}
    found = _client(data, config, token).call("mads.turing.revoke_lease", arguments)["leases"]
    if json:
        print_json(found)
    else:
        print_line(f"ended {len(found)} lease(s)")


def _client(data: Path | None, config: Path | None, token: str | None) -> ColonyClient:
    return connect(settings_for(data, config).data, token)


def _value() -> str:
    import sys

    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("value: ")
    return sys.stdin.read().removesuffix("\n")


def _permits(file: Path) -> list[Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ArgumentsInvalid("arguments_unreadable", f"{file} cannot be read as YAML: {error}") from None
    if not isinstance(found, list):
        raise ArgumentsInvalid("arguments_unreadable", f"{file} must hold a list of permits, each with `who`")
    return found  # pyright: ignore[reportUnknownVariableType] - the colony checks what is in it


def _permit_text(permit: dict[str, Any]) -> str:
    text = ", ".join(permit["who"])
    text += f" by {', '.join(permit['tools'])}" if "tools" in permit else ""
    text += f" in a header to {', '.join(permit['to'])}" if "to" in permit else ""
    return text + (f", {permit['times']} times a {permit.get('per', 'day')}" if "times" in permit else "")


def _row(secret: dict[str, Any]) -> list[Any]:
    newest = secret["newest"]
    readers = ", ".join(newest["readers"]) or "whoever may read secrets"
    shown = f"the colony{': ' + readers if newest['readers'] else ''}" if newest["colony_only"] else readers
    return [newest["name"], secret["owner"], secret["versions"], shown, newest["revoked_at"]]


def _print_version(version: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(version)
    else:
        print_line(f"{version['name']}: version {version['version']}")
