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
from cenoby.cli.evidence_table import evidence
from cenoby.cli.failures import CommandFailed
from cenoby.cli.node_run import run as run_node
from cenoby.cli.tools_list import tools as list_tools
from cenoby.cli.vault_table import vault
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
tools = App(name="tools", help="List the tools that the caller's roles allow.")
tools.default(list_tools)
tools.command(
    "cenoby.cli.pins:pins", help="Show the tools of other colonies: pinned, or in quarantine, and then what changed."
)
tools.command(
    "cenoby.cli.pins:accept", help="Accept a tool of another colony as it is now; it is out of quarantine at once."
)
app.command(tools)
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

app.command(
    "cenoby.cli.unit:unit",
    help="Print a hardened systemd service file that starts this very program; redirect it to /etc/systemd/system.",
)

token = App(name="token", help="Agents and their tokens: create, rotate, list, revoke; block whom others vouch for.")
token.command("cenoby.cli.token:create", help="Make a token for an agent; printed this once and kept only as a hash.")
token.command("cenoby.cli.token:list_", name="list", help="List tokens: whose, since when, until when, revoked or not.")
token.command(
    "cenoby.cli.token:agents",
    help="List agents: their roles, department, seniority, autonomy, and whom they work for.",
)
token.command(
    "cenoby.cli.token:rotate",
    help="Replace a token by a new one with the same agent and life time; the old one works for the grace.",
)
token.command("cenoby.cli.token:revoke", help="Revoke a token; it stops working at once.")
token.command("cenoby.cli.token:block", help="Keep an agent out that another authority vouches for.")
token.command(
    "cenoby.cli.token:unblock",
    help="Let an agent in again that another authority vouches for; prints who is still kept out.",
)
app.command(token)

approvals = App(name="approvals", help="Calls that wait for a person, and what became of them.")
approvals.command(
    "cenoby.cli.approvals:list_", name="list", help="Show calls that wait for a person's decision, newest first."
)
approvals.command(
    "cenoby.cli.approvals:show",
    help="Show one request with its whole context: why a person must decide, and the conversation word for word.",
)
approvals.command(
    "cenoby.cli.approvals:approve",
    help="Say yes: the parked call runs at once. What is critical needs a second person, who says the same.",
)
approvals.command("cenoby.cli.approvals:deny", help="Say no, and why.")
approvals.command(
    "cenoby.cli.approvals:revoke", help="End what a yes approved beyond its one call; calls are asked for again."
)
approvals.command(
    "cenoby.cli.approvals:result",
    help="Show what became of a call of one's own that was parked, and its result once it is there.",
)
app.command(approvals)

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

app.command(evidence)

app.command(
    "cenoby.cli.witness:witness",
    help="""Sign checkpoints of colonies' logs that continue those before (C2SP tlog-witness); prints `ready URL KEY`.

It speaks plain HTTP: put a TLS proxy in front where it faces a network. The key is made at the first start.""",
)

events = App(name="events", help="What the colony says of itself, in the journal and on its bus.")
events.command("cenoby.cli.events:schema", help="Print the JSON Schema of all events, of every version.")
app.command(events)

api = App(name="api", help="Versioned APIs between colonies: what one publishes, and whether it keeps its promise.")
api.command("cenoby.cli.api:list_", name="list", help="List what the colony publishes, every major version.")
api.command(
    "cenoby.cli.api:schema",
    help="Print one version of a published API as a document, for those who build on it to keep.",
)
api.command(
    "cenoby.cli.api:check",
    help="""Check that a colony keeps what a document of its API promised; exit code 1 and each thing that it does not.

Consumers run it against their provider; a provider runs it with the documents that it published.""",
)
app.command(api)

mad = App(name="mad", help="The life of one MAD while the rest serves: pause, resume, restart, kill.")
mad.command("cenoby.cli.mad:pause", help="Let the calls of a MAD wait until it is resumed; those under way go on.")
mad.command("cenoby.cli.mad:resume", help="Serve the calls of a paused MAD again.")
mad.command(
    "cenoby.cli.mad:restart", help="Make a MAD anew, also one that was killed or failed; its calls wait meanwhile."
)
mad.command("cenoby.cli.mad:kill", help="Stop a MAD at once; its tools refuse with the reason until it is restarted.")
app.command(mad)

app.command(
    "cenoby.cli.kill:kill",
    help="Stop an agent, a MAD, a tool, a tenant or all of it, on every node; calls at work are cut off.",
)
app.command("cenoby.cli.kill:unkill", help="Lift a kill switch, so that what it stopped goes on.")
app.command("cenoby.cli.kill:kills", help="List what is stopped by kill switches, by whom and why.")

autonomy = App(name="autonomy", help="What agents may do without asking a person: list, show, set.")
autonomy.command(
    "cenoby.cli.autonomy:list_",
    name="list",
    help="Show the level of every agent, what decided it, and the levels that were set.",
)
autonomy.command(
    "cenoby.cli.autonomy:show", help="Show the level of one agent, what decided it, and why it was set or lowered."
)
autonomy.command(
    "cenoby.cli.autonomy:set_",
    name="set",
    help="Set the level of an agent, a department or the company; it holds from the next call on. Only a person may.",
)
app.command(autonomy)

pii = App(name="pii", help="Tokens that stand for personal data and secrets: what one stands for.")
pii.command(
    "cenoby.cli.pii:reveal", help="Print what a token stands for; journalled with the reason before it is told."
)
app.command(pii)

canary = App(name="canary", help="Texts to plant, which give away whoever takes them: create, list, delete.")
canary.command(
    "cenoby.cli.canary:create",
    help="Make a text to plant and print it, this once; every call that carries it is refused from now on.",
)
canary.command(
    "cenoby.cli.canary:list_",
    name="list",
    help="List canaries: where each is planted and what it looks like, never the text itself.",
)
canary.command("cenoby.cli.canary:delete", help="Look for a canary no more.")
app.command(canary)

node = App(
    name="node",
    help="""Host some MADs of a colony in this process, here or on another machine; prints `ready NODE` when it does.

Bus and store are those of the colony. An operator enrols the node once: the first start says with which command.""",
)
node.default(run_node)
node.command("cenoby.cli.node:enroll", help="Believe what a node signs from now on; its first start prints its key.")
node.command("cenoby.cli.node:revoke", help="Believe a node no more; every other node refuses it within a second.")
node.command("cenoby.cli.node:list_", name="list", help="List nodes: enrolled or not, there or not, what they host.")
app.command(node)
app.command(
    "cenoby.cli.node:split",
    help="Move a MAD of the running colony into a process of its own on this machine; no call is lost.",
)
app.command("cenoby.cli.node:merge", help="Take a MAD back from other nodes into the colony's own process.")
app.command(
    "cenoby.cli.node:drain", help="Have a node leave its MADs to others and end, once what it has under way is done."
)

deadletters = App(name="deadletters", help="Work that was tried and given up: list, retry, drop.")
deadletters.command(
    "cenoby.cli.deadletters:list_",
    name="list",
    help="Show work that was given up, newest first; --json has the payload and the traceback of the last try.",
)
deadletters.command("cenoby.cli.deadletters:retry", help="Put a dead letter back into its queue with all its tries.")
deadletters.command("cenoby.cli.deadletters:drop", help="Forget a dead letter; its work is never done.")
app.command(deadletters)

app.command(vault)

store = App(name="store", help="The colony's database.")
store.command(
    "cenoby.cli.store:migrate",
    help="""Copy a stopped colony's SQLite file to PostgreSQL, and check the journal's chain and all row counts there.

The file stays as it is. Interrupted, run it again: it goes on where it was, and no colony starts on half a copy.""",
)
app.command(store)

policy = App(name="policy", help="Who may do what: check the policies, explain, test and compare them.")
policy.command(
    "cenoby.cli.policy:check",
    help="""Check policies as a colony does when it loads them; no colony need run.

Syntax, types, action types, arguments of tools, ids and roles. Exit code 0 where all is well, 2 with every place
that is wrong.""",
)
policy.command(
    "cenoby.cli.policy:explain",
    help="""Say what policy decides on a call, by which policy, and how each condition of it comes out.

Asks the running colony, or with --role the files. Exit code 0, whatever the decision is.""",
)
policy.command(
    "cenoby.cli.policy:test",
    help="""Compare what policy decides with a table of what it should; exit code 1 where it decides otherwise.

A case gives roles, or the name of an agent of the running colony; a tool or an action; and what is expected.""",
)
policy.command(
    "cenoby.cli.policy:diff",
    help="""List who gains or loses which tool between two versions; exit code 1 where anything differs.

Over the agents and tools of the colony that runs on this data directory. Without one: over one agent for each role,
named `role:<role>`, and the tools that the settings' MADs declare.""",
)
policy.command(
    "cenoby.cli.policy:schema",
    help="Print the schema that policies are checked against, in Cedar's schema language.",
)
app.command(policy)

secret = App(name="secret", help="Secrets: keep them, say who may use which for what, see who holds one.")
secret.command(
    "cenoby.cli.secret:list_", name="list", help="List secrets: whose, who reads them, how many versions; never values."
)
secret.command(
    "cenoby.cli.secret:set_",
    name="set",
    help="Store a secret, or its next version; the value is read from standard input, on a terminal without echo.",
)
secret.command("cenoby.cli.secret:get", help="Print the value of a secret; that it was read is on record before.")
secret.command(
    "cenoby.cli.secret:rotate",
    help="Give a secret its next value now: as its settings say, else by chance. The value is not printed.",
)
secret.command("cenoby.cli.secret:revoke", help="Destroy the value of a version, or of all; leases for it end.")
secret.command(
    "cenoby.cli.secret:policy",
    help="Show who may use a secret for what, or give it another policy; only a person may change it.",
)
secret.command(
    "cenoby.cli.secret:explain",
    help="Say what the policy of a secret decides on a use, and how each permit fits. Exit code 0, whatever it is.",
)
secret.command(
    "cenoby.cli.secret:break_glass",
    name="break-glass",
    help="""Ask to read a secret that its policy does not give the caller: two other people must agree.

The first time it is refused with the id under which it waits; once they have approved it, the same command, or
`cenoby approvals result ID`, prints it.""",
)
secret.command("cenoby.cli.secret:leases", help="List leases: who holds which value, and until when.")
secret.command(
    "cenoby.cli.secret:revoke_lease", name="revoke-lease", help="End one lease, or all of a holder or of a secret."
)
app.command(secret)

content = App(name="content", help="What prompts and answers may hold, and which model may see which data.")
content.command(
    "cenoby.cli.content:check",
    help="""Say what the rules find in a text, by the settings: of a prompt its data class and score, and what is done.

No colony need run. Exit code 1 where it would be asked about, refused, blacked out or withheld, else 0.""",
)
app.command(content)

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
