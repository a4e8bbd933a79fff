"""The table of `cenoby evidence`; imported with every command, so it imports none of what they need."""

from __future__ import annotations

from cyclopts import App

evidence = App(name="evidence", help="The journal, proved to outsiders: signed checkpoints, proofs, exports.")
evidence.command(
    "cenoby.cli.evidence:status",
    help="Show the log: its size, the newest checkpoint, the keys that sign it, and how each destination stands.",
)
evidence.command(
    "cenoby.cli.evidence:checkpoint",
    help="Sign the log with all records of by now, and print the checkpoint; keep it where nobody here can reach.",
)
evidence.command(
    "cenoby.cli.evidence:publish",
    help="Sign the log, send that to every destination of the settings now, and show which took it.",
)
evidence.command(
    "cenoby.cli.evidence:prove",
    help="Write the proof that one record is under the newest checkpoint, for the stand-alone verifier.",
)
evidence.command(
    "cenoby.cli.evidence:consistency",
    help="Write the proof that the log continues earlier checkpoints, for the stand-alone verifier; without records.",
)
evidence.command(
    "cenoby.cli.evidence:export",
    help="""Write a slice of the journal with its proofs, for the stand-alone verifier.

A part without gaps proves that nothing in it was left out; with --agent and the like it is a selection, which
proves what is in it. Records behind the newest checkpoint are not in it.""",
)
evidence.command(
    "cenoby.cli.evidence:key",
    help="""Print the public keys that sign checkpoints, the newest first, as reviewers need them; or change the keys.

To replace the key: --new, give the new public key to everybody who checks, then --retire. A running colony takes
the change over with its next checkpoint.""",
)
