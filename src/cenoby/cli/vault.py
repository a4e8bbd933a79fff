"""`cenoby vault`: whether secrets are within reach, and how people open, close and change that.

What is secret is asked for without showing it, or read from standard input, one line each; it is never an argument.
"""

from __future__ import annotations

import getpass
import sys
from typing import Annotated, Any

from cyclopts import Parameter

from cenoby.cli.colony_client import ColonyClient, connect
from cenoby.cli.failures import ArgumentsInvalid
from cenoby.cli.options import Config, Data, Json, Token
from cenoby.cli.output import print_fields, print_json, print_line
from cenoby.cli.settings_source import settings_for

Shares = Annotated[int, Parameter(help="How many shares are made, where the seal is shares.")]
Threshold = Annotated[int, Parameter(help="How many of them open the vault.")]


def status(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Show whether the vault is sealed, and how many shares of an attempt were given."""
    found = connect(settings_for(data, config).data, token).call("mads.grace.vault_status")
    if json:
        print_json(found)
    else:
        print_fields({name: _word(value) for name, value in found.items()})


def init(
    *,
    shares: Shares = 5,
    threshold: Threshold = 3,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Make the vault's seal: asks for a passphrase twice, or prints new shares, each for another person.

    Shares hold once enough of them were given back with `cenoby vault unseal`; until then nothing is changed. A key
    that secrets were encrypted with before is replaced and destroyed; older backups of the database still need it.
    """
    client = connect(settings_for(data, config).data, token)
    if client.call("mads.grace.vault_status")["seal"] == "passphrase":
        arguments: dict[str, Any] = {"passphrase": _new_passphrase()}
    else:
        arguments = {"shares": shares, "threshold": threshold}
    _show(client.call("mads.grace.init_vault", arguments), json)


def unseal(
    *,
    attempt: Annotated[str | None, Parameter(help="Which attempt a share is for; the one under way if none.")] = None,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Give the passphrase, or one share; the last share that is needed opens the vault.

    Shares are also given here to confirm new ones, and to make new ones after `cenoby vault rekey`. From standard
    input it takes one share a line until there are enough.
    """
    client = connect(settings_for(data, config).data, token)
    found = client.call("mads.grace.vault_status")
    if found["seal"] == "passphrase":
        _show(_give(client, _asked("Passphrase: "), ""), json)
        return
    answer = _give(client, _asked(_prompt(found)), attempt or found["attempt"])
    if not sys.stdin.isatty():
        # The name is kept from share to share, so that these and those of another attempt never mix.
        name = answer["status"]["attempt"]
        while name and answer["status"]["attempt"] == name and (line := sys.stdin.readline().strip()):
            answer = _give(client, line, name)
    _show(answer, json)


def seal(*, data: Data = None, config: Config = None, token: Token = None, json: Json = False) -> None:
    """Forget the master key until the vault is unsealed, and every share that was given."""
    found = connect(settings_for(data, config).data, token).call("mads.grace.seal_vault")
    if json:
        print_json(found)
    else:
        print_line("sealed")


def rekey(
    *,
    shares: Shares = 5,
    threshold: Threshold = 3,
    data: Data = None,
    config: Config = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Change what opens the vault, and the master key: asks for the present passphrase and twice for the next.

    Where the seal is shares, it begins an attempt: give present shares with `cenoby vault unseal`, which then prints
    new ones, and give enough of the new ones back. The former hold until that is done.
    """
    client = connect(settings_for(data, config).data, token)
    if client.call("mads.grace.vault_status")["seal"] == "passphrase":
        arguments: dict[str, Any] = {"passphrase": _asked("Present passphrase: ")}
        arguments["new_passphrase"] = _new_passphrase()
    else:
        arguments = {"shares": shares, "threshold": threshold}
    _show(client.call("mads.grace.rekey_vault", arguments), json)


def _give(client: ColonyClient, given: str, attempt: str) -> dict[str, Any]:
    return client.call("mads.grace.unseal_vault", {"given": given, "attempt": attempt})


def _asked(prompt: str) -> str:
    text = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not text:
        raise ArgumentsInvalid("vault_nothing_given", "Nothing was given; type it, or send it by standard input.")
    return text


def _new_passphrase() -> str:
    given = _asked("New passphrase: ")
    if sys.stdin.isatty() and getpass.getpass("Once more: ") != given:
        raise ArgumentsInvalid("vault_nothing_given", "The two are not the same; nothing was changed.")
    return given


def _prompt(found: dict[str, Any]) -> str:
    which = {"confirm": "New share", "rekey": "Present share"}.get(found["purpose"], "Share")
    return f"{which} ({found['given']} of {found['needed'] or found['threshold']} given): "


def _show(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    found = answer["status"]
    for share in answer["shares"]:
        print_line(share)
    if found["attempt"]:
        what = {"confirm": "new shares hold", "rekey": "new shares are made", "unseal": "the vault opens"}
        print_line(f"{found['given']} of {found['needed']} shares given; then {what[found['purpose']]}")
        print_line(f"attempt {found['attempt']}, until {found['expires_at']}; go on with `cenoby vault unseal`")
    else:
        print_line("sealed" if found["sealed"] else "open")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str("" if value is None else value)
