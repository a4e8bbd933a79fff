"""What log lines lose: secrets always, and what the rules of `dlp` for the direction `log`, or `redaction`, name."""

from __future__ import annotations

from collections.abc import Callable

from cenoby.kernel.settings import RedactionSettings
from cenoby.kernel.settings_dlp import DlpSettings
from cenoby.protection.dlp.canaries import is_canary
from cenoby.protection.dlp.policy import DataPolicy
from cenoby.protection.dlp.scan import PERSONAL, SECRET_KINDS, Scanner
from cenoby.protection.redact import Redactor, replaced


def log_redaction(dlp: DlpSettings, redaction: RedactionSettings, redactor: Redactor) -> Callable[[str], str]:
    """What blacks out the texts of log lines.

    Args:
        dlp, redaction: say what; a line is nobody's, so rules for single tenants do not hold.
        redactor: does what `redaction` says; used where lines need nothing else, to save the memory of another.

    Raises:
        SettingsError: a rule names a type that nothing finds.
    """
    actions = DataPolicy(dlp, redaction).plan("log", "", ("log",)).actions
    kinds = SECRET_KINDS | {kind for kind, action in actions.items() if action != "allow"}
    usual = {kind for name in redaction.personal_data for one in PERSONAL[name] for kind in one.kinds}
    if redaction.secrets and kinds == SECRET_KINDS | usual:
        return redactor.text
    groups = [name for name, group in PERSONAL.items() if any(kind in kinds for one in group for kind in one.kinds)]
    scanner = Scanner(secrets=True, personal=groups, canaries=redactor.canaries)

    def redact(text: str) -> str:
        found = [one for one in scanner.spans(text) if one[2] in kinds or is_canary(one[2])]
        return replaced(text, found)[0]

    return redact
