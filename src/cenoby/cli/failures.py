"""What ends a command that is not the colony's answer."""

from __future__ import annotations

from cenoby.kernel.errors import Fault, InvalidInput


class ArgumentsInvalid(InvalidInput):
    """Arguments that a command cannot make out."""

    codes = {
        "arguments_unreadable": "The file after the @ is not there, may not be read, or is no text in UTF-8.",
        "autonomy_unreadable": "The command says no level, or names an agent that is not there or is a person.",
        "document_unreadable": "The document of an API is not there, may not be read, or is none; print it anew.",
        "evidence_arguments_invalid": "A file of `cenoby evidence` cannot be read or written, or options contradict.",
        "vault_nothing_given": "No passphrase or share was given, or the second one is not the first one.",
        "head_invalid": "A head is written node:seq:hash, as `cenoby journal verify` prints it.",
    }


class CommandFailed(Fault):
    """A command met something that should not be."""

    codes = {
        "command_failed": "A bug of ours: run the command again with CENOBY_TRACEBACK=1 and report what it prints.",
        "demo_failed": "A step of the demo did not do what it should; the message names the step.",
        "contract_broken": "A published API does not keep what the document promised; the message names each thing.",
        "evidence_not_begun": "The colony has not made its log of evidence yet; start it once with `cenoby up`.",
        "evidence_not_published": "A destination did not take the checkpoint; `cenoby evidence status` says why.",
        "journal_broken": "A record was changed, dropped or moved; the message names the first bad one.",
    }
