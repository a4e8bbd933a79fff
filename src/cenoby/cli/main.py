"""`cenoby`: the table of commands, and how an error becomes a message and an exit code.

Exit codes: 0 done; 1 a fault of ours or of a tool; 2 bad input or usage; 3 unknown caller; 4 refused, also where there
is no such approval or token for this caller; 5 not found; 6 not available now; 130 interrupted. Each command's module
is imported when it is called, so that `cenoby --help` is quick.
"""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from cenoby import __version__
from cenoby.cli.failures import CommandFailed
from cenoby.kernel.errors import CenobyError

app = App(name="cenoby", version=__version__, help="A community of LLM agents in one process, under one rule.")
# The texts of `--help` are the functions' own docstrings, repeated because reading them there would import the modules.
app.command(
    "cenoby.cli.up:up",
    help="Start the colony on this data directory; prints `ready URL token FILE` when it answers.",
)
app.command(
    "cenoby.cli.stdio:stdio",
    help="""Speak MCP on standard input and output to the running colony.

Acts with --token or CENOBY_TOKEN; without either, as the agent `stdio` with the role developer, whose token is made
at first use and kept in DATA/stdio.token.""",
)
app.command(
    "cenoby.cli.status:status",
    help="Show the colony: its MADs, their mailboxes, the journal's head and the protections that hold.",
)
app.command("cenoby.cli.tools:tools", help="List the tools that the caller's roles allow.")
app.command(
    "cenoby.cli.tools:call",
    help="Call one tool and print its result as JSON; a value in `key=value` is JSON unless the tool wants text.",
)
app.command(
    "cenoby.cli.demo:demo",
    help="Play conversations, secrets, the web, a (scripted) model and the journal against a colony of its own.",
)
app.command(
    "cenoby.cli.doctor:doctor",
    help="Look at the machine, the settings and the data directory; exit code 1 where something must be mended.",
)

token = App(name="token", help="Tokens of agents: create, list, revoke.")
token.command("cenoby.cli.token:create", help="Make a token for an agent; printed this once and kept only as a hash.")
token.command("cenoby.cli.token:list_", name="list", help="List tokens: whose, since when, until when, revoked or not.")
token.command("cenoby.cli.token:revoke", help="Revoke a token; it stops working at once.")
app.command(token)

journal = App(name="journal", help="What happened, who allowed it, and the proof.")
journal.command("cenoby.cli.journal:tail", help="Show the newest records, the newest last.")
journal.command("cenoby.cli.journal:show", help="Show one record with its payload and its place in the chain.")
journal.command(
    "cenoby.cli.journal:verify",
    help="""Check the whole chain: in the running colony, or in the database where none runs.

It prints each chain's head. Keep them where who writes the journal cannot reach, and give them to the next check:
a journal that was cut short behind one of them does not hold.""",
)
app.command(journal)

mad = App(name="mad", help="The life of one MAD while the rest serves: pause, resume, restart, kill.")
mad.command("cenoby.cli.mad:pause", help="Let the calls of a MAD wait until it is resumed; those under way go on.")
mad.command("cenoby.cli.mad:resume", help="Serve the calls of a paused MAD again.")
mad.command(
    "cenoby.cli.mad:restart", help="Make a MAD anew, also one that was killed or failed; its calls wait meanwhile."
)
mad.command("cenoby.cli.mad:kill", help="Stop a MAD at once; its tools refuse with the reason until it is restarted.")
app.command(mad)

deadletters = App(name="deadletters", help="Work that was tried and given up: list, retry, drop.")
deadletters.command(
    "cenoby.cli.deadletters:list_",
    name="list",
    help="Show work that was given up, newest first; --json has the payload and the traceback of the last try.",
)
deadletters.command("cenoby.cli.deadletters:retry", help="Put a dead letter back into its queue with all its tries.")
deadletters.command("cenoby.cli.deadletters:drop", help="Forget a dead letter; its work is never done.")
app.command(deadletters)

config = App(name="config", help="The settings: what is allowed, what is in force, whether a file is right.")
config.command("cenoby.cli.config:schema", help="Print the JSON Schema of the settings file.")
config.command("cenoby.cli.config:show", help="Print the settings in force, defaults included.")
config.command(
    "cenoby.cli.config:check",
    help="Check a settings file together with the CENOBY_* variables; exit code 2 where something is wrong.",
)
app.command(config)

app.register_install_completion_command()  # pyright: ignore[reportUnknownMemberType]


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code and prints errors to stderr, never a traceback."""
    try:
        result = app(arguments, exit_on_error=False, print_error=True)
    except CycloptsError:
        return 2
    except CenobyError as error:
        _complain(error, as_json="--json" in arguments)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough, as in `cenoby journal tail | head`.
        sys.stderr.close()
        return 0
    except Exception as error:
        if os.environ.get("CENOBY_TRACEBACK"):
            raise
        _complain(_unforeseen(error), as_json="--json" in arguments)
        return 1
    return result if isinstance(result, int) else 0


def _unforeseen(error: Exception) -> CommandFailed:
    return CommandFailed(
        "command_failed",
        f"Something failed that should not ({type(error).__name__}: {error}). Set CENOBY_TRACEBACK=1, run it again "
        "to see where, and please report it.",
    )


def _complain(error: CenobyError, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"error": error.to_wire()}))  # noqa: T201 - the command's output
        return
    wait = f" Try again after {error.retry_after:g} s." if error.retry_after is not None else ""
    print(f"cenoby: {error.message}{wait} [{error.code}]", file=sys.stderr)  # noqa: T201 - the command's output


if __name__ == "__main__":
    main()
