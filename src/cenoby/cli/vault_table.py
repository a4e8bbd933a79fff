"""The table of `cenoby vault`; imported with every command, so it imports none of what they need."""

from __future__ import annotations

from cyclopts import App

vault = App(name="vault", help="The vault's seal: whether secrets are within reach, and who opens them.")
vault.command(
    "cenoby.cli.vault:status", help="Show whether the vault is sealed, and how many shares of an attempt were given."
)
vault.command(
    "cenoby.cli.vault:init",
    help="""Make the vault's seal: asks for a passphrase twice, or prints new shares, each for another person.

Shares hold once enough of them were given back with `cenoby vault unseal`; until then nothing is changed. A key
that secrets were encrypted with before is replaced and destroyed; older backups of the database still need it.""",
)
vault.command(
    "cenoby.cli.vault:unseal",
    help="""Give the passphrase, or one share; the last share that is needed opens the vault.

Shares are also given here to confirm new ones, and to make new ones after `cenoby vault rekey`. From standard
input it takes one share a line until there are enough.""",
)
vault.command(
    "cenoby.cli.vault:seal", help="Forget the master key until the vault is unsealed, and every share that was given."
)
vault.command(
    "cenoby.cli.vault:rekey",
    help="""Change what opens the vault, and the master key: asks for the present passphrase and twice for the next.

Where the seal is shares, it begins an attempt: give present shares with `cenoby vault unseal`, which then prints
new ones, and give enough of the new ones back. The former hold until that is done.""",
)
