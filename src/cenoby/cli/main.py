"""`cenoby`: the table of commands, and how an error becomes a message and an exit code.

Exit codes: 0 done; 1 a fault of ours or of a tool; 2 bad input or usage; 3 unknown caller; 4 refused; 5 not found;
6 not available now; 130 interrupted. Each command's module is imported when it is called, so that `cenoby --help` is
quick.
"""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError

from cenoby import __version__
from cenoby.kernel.errors import CenobyError, Fault


class CommandFailed(Fault):
    """A command met something that nobody foresaw."""

    codes = {
        "command_failed": "A bug of ours: run the command again with CENOBY_TRACEBACK=1 and report what it prints."
    }


app = App(name="cenoby", version=__version__, help="A community of LLM agents in one process, under one rule.")
app.command("cenoby.cli.up:up")
app.command("cenoby.cli.stdio:stdio")
app.command("cenoby.cli.status:status")
app.command("cenoby.cli.tools:tools")
app.command("cenoby.cli.tools:call")
app.command("cenoby.cli.demo:demo")
app.command("cenoby.cli.doctor:doctor")

token = App(name="token", help="Tokens of agents: create, list, revoke.")
token.command("cenoby.cli.token:create")
token.command("cenoby.cli.token:list_", name="list")
token.command("cenoby.cli.token:revoke")
app.command(token)

journal = App(name="journal", help="What happened, who allowed it, and the proof.")
journal.command("cenoby.cli.journal:tail")
journal.command("cenoby.cli.journal:show")
journal.command("cenoby.cli.journal:verify")
app.command(journal)

config = App(name="config", help="The settings: what is allowed, what is in force, whether a file is right.")
config.command("cenoby.cli.config:schema")
config.command("cenoby.cli.config:show")
config.command("cenoby.cli.config:check")
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
