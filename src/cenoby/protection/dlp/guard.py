"""What happens to data that must not go where it is going: it passes, is redacted, refused, or put to a person.

Canaries are texts that nobody has a reason to send: whatever carries one is refused, whatever the rules say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cenoby.kernel.errors import Fault, Refused
from cenoby.kernel.settings import RedactionSettings
from cenoby.kernel.settings_dlp import Direction, DlpSettings
from cenoby.protection.dlp.canaries import Canaries, Canary, is_canary, of_settings
from cenoby.protection.dlp.policy import DataPolicy, Plan
from cenoby.protection.dlp.scan import PERSONAL
from cenoby.protection.redact import Redactor, Replace, black


class DataRefused(Refused):
    """A call carries what the rule does not let through.

    Attributes:
        canaries: which planted texts were seen; for the journal of their owners, not for the caller.
    """

    canaries: tuple[Canary, ...] = ()

    codes = {
        "data_blocked": "The arguments hold data of a kind that a rule of `dlp` blocks; send the call without it.",
        "canary_seen": "The call carries a planted text that nobody has a reason to send; security has been told.",
    }


class DataWithheld(Fault):
    """A tool gave back what the rule does not let out."""

    codes = {"data_withheld": "The result holds data of a kind that a rule of `dlp` blocks; the tool did run."}


class Judged(NamedTuple):
    """A value as it may go on.

    Attributes:
        value: with everything redacted that must be; the same object where there was nothing.
        redacted: how many places were redacted, or have tokens.
        asked: kinds because of which a person must decide.
    """

    value: Any
    redacted: int
    asked: tuple[str, ...]


class DataGuard:
    """Applies the rules of `dlp` to arguments and results.

    Args:
        settings: the rules and the canaries.
        redaction: what is redacted on the way out where no rule fits.
        canaries: what is looked for whatever the rules say; without them those of the settings.

    Attributes:
        may_restore: whether there is any tool that may see what tokens stand for.
    """

    def __init__(self, settings: DlpSettings, redaction: RedactionSettings, canaries: Canaries | None = None) -> None:
        self._policy = DataPolicy(settings, redaction)
        self._canaries = canaries_of(settings) if canaries is None else canaries
        self._eye: Redactor | None = None
        self.may_restore = bool(settings.restore)

    def tokenises(self, direction: Direction, tenant: str, destinations: tuple[str, ...]) -> bool:
        """Whether a rule wants tokens there, so that `judge` needs somebody who makes them."""
        return self._policy.plan(direction, tenant, destinations).tokenises

    def restores(self, tenant: str, tool: str, kind: str) -> bool:
        """Whether a tool may see what a token of a kind stands for."""
        return self._policy.restores(tenant, tool, kind)

    def judge(
        self,
        direction: Direction,
        tenant: str,
        destinations: tuple[str, ...],
        value: Any,
        tokeniser: Replace | None = None,
    ) -> Judged | None:
        """What may go on of a value of plain JSON types.

        Args:
            direction, tenant, destinations: where it goes.
            value: is not changed.
            tokeniser: makes the token of a kind and a value; without it, what should have one is redacted.

        Returns:
            None where there is nothing to say: all may pass, or (on the way out) redaction alone decides.

        Raises:
            DataRefused: data_blocked, canary_seen.
            DataWithheld: data_withheld: the same of a result.
        """
        plan = self._policy.plan(direction, tenant, destinations)
        if self._canaries.detector is None and (plan.idle or (direction == "out" and plan.as_redaction)):
            return None
        return self._judged(direction, plan, value, tokeniser)

    def _judged(self, direction: Direction, plan: Plan, value: Any, tokeniser: Replace | None) -> Judged:
        found: dict[str, str] = {}
        redacted = 0

        def replace(kind: str, text: str) -> str:
            nonlocal redacted
            action = found[kind] = plan.actions.get(kind, "block")
            if action == "tokenise":
                redacted += 1
                return black(kind, text) if tokeniser is None else tokeniser(kind, text)
            redacted += action == "redact"
            return black(kind, text) if action == "redact" else text

        made, _ = self._look().value(value, replace)
        if any(is_canary(kind) for kind in found):
            raise self._canary_seen(found)
        blocked = sorted(kind for kind, action in found.items() if action == "block")
        if blocked and direction == "out":
            raise DataWithheld(
                "data_withheld", f"The result holds {', '.join(blocked)}, which a rule of `dlp` keeps in."
            )
        if blocked:
            raise DataRefused("data_blocked", f"The arguments hold {', '.join(blocked)}; send the call without it.")
        asked = tuple(sorted(kind for kind, action in found.items() if action == "ask"))
        return Judged(made if redacted else value, redacted, asked)

    def _canary_seen(self, kinds: Iterable[str]) -> DataRefused:
        error = DataRefused("canary_seen", "The call carries a planted text; it was refused, and security was told.")
        seen = [self._canaries.named(kind) for kind in kinds if is_canary(kind)]
        error.canaries = tuple(one for one in seen if one is not None)
        return error

    def _look(self) -> Redactor:
        # Made when it is needed: without rules and canaries it never is.
        if self._eye is None:
            everything = RedactionSettings.model_validate({"secrets": True, "personal_data": list(PERSONAL)})
            self._eye = Redactor(everything, self._canaries)
        return self._eye


def canaries_of(settings: DlpSettings) -> Canaries:
    """The planted texts of the settings, to which others may come."""
    return Canaries(of_settings({label: text.get_secret_value() for label, text in settings.canaries.items()}))
