"""The security rules as the pipeline meets them: a call's arguments before it runs, its result on the way back."""

from __future__ import annotations

from cenoby.access.verdicts import Ask
from cenoby.colony.invocation import Invocation, Outcome
from cenoby.colony.pins import Pins
from cenoby.colony.tool import Tool
from cenoby.kernel.codec import to_json
from cenoby.kernel.errors import CenobyError
from cenoby.kernel.settings import EgressSettings, RedactionSettings
from cenoby.kernel.settings_rules import RuleSettings
from cenoby.protection.redact import Redactor
from cenoby.protection.rules.engine import CLEAN, RuleEngine, Verdict
from cenoby.protection.rules.errors import RuleRefused
from cenoby.protection.rules.findings import RULES, Finding, Level
from cenoby.protection.rules.judge import Judge, Opinion, Question
from cenoby.protection.rules.results import ResultRules
from cenoby.telemetry.logs import get_logger

_log = get_logger("colony.rules")
_SHOWN = 8


class RuleCheck:
    """Asks the rules, the pins of foreign tools and, where the rules are in doubt, the judge.

    Args:
        engine: rules about arguments.
        results: rules about results.
        redactor: blacks out what the judge is shown.
        judge: is asked in doubt; None: nobody is, and a doubt is only journalled.
        pins: of foreign tools; None: nothing is pinned.

    Attributes:
        counts: calls by what the rules said: `clean`, `doubt`, `ask`, `deny`.
    """

    def __init__(
        self,
        engine: RuleEngine,
        results: ResultRules,
        redactor: Redactor,
        judge: Judge | None = None,
        pins: Pins | None = None,
    ) -> None:
        self._engine = engine
        self._results = results
        self._redactor = redactor
        self.judge = judge
        self.pins = pins
        self.counts = {"clean": 0, "doubt": 0, "ask": 0, "deny": 0}

    @property
    def off(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Sets of rules that do not look, and sets that only journal."""
        return self._engine.off

    async def check(self, invocation: Invocation) -> None:
        """Pass if no rule forbids the call; where a person must decide, the invocation says so after.

        Raises:
            RuleRefused: rule_violated, rule_failed, tool_quarantined.
            StoreUnavailable: a foreign tool that is called for the first time could not be pinned.
        """
        if self.pins is not None:
            await self.pins.check(invocation.target)
        verdict = self._verdict(invocation)
        if verdict is CLEAN:
            self.counts["clean"] += 1
            return
        invocation.rules = (
            *(f"{one.rule}:{one.level}" for one in verdict.findings),
            *(f"{one.rule}:shadow" for one in verdict.shadow),
        )
        self.counts[str(verdict.level) if verdict.level else "clean"] += 1
        if verdict.level is Level.DENY:
            raise _refusal([one for one in verdict.findings if one.level is Level.DENY])
        asks = dict.fromkeys(one.rule for one in verdict.findings if one.level is Level.ASK)
        for rule in asks:
            invocation.ask(Ask(f"rule:{rule}", f"The arguments hold {RULES[rule]}."))
        if verdict.level is Level.DOUBT and self.judge is not None:
            await self._consult(self.judge, invocation, verdict.findings)

    def look(self, invocation: Invocation, outcome: Outcome) -> None:
        """Look at the result of a call; `outcome.json` is its JSON, and is made anew where something was cut out.

        Raises:
            RuleRefused: result_withheld.
        """
        says = invocation.target.says
        if says.sensitive_result:
            return
        looked = self._results.look(
            outcome.content, outcome.json, outside=self._is_outside(invocation.target), tool=invocation.target.name
        )
        if looked.rules:
            invocation.rules = (*invocation.rules, *looked.rules)
        if looked.changed:
            if outcome.blocks is None:
                outcome.value = looked.value
            else:
                outcome.blocks = looked.value
            outcome.json = to_json(looked.value)

    def look_at_error(self, invocation: Invocation, error: CenobyError) -> None:
        """Look at the words of an error, which may be those of whoever the tool asked outside.

        Raises:
            RuleRefused: result_withheld.
        """
        tool = invocation.target
        if not self._is_outside(tool):
            return
        said = {"message": error.message, "details": error.details}
        looked = self._results.look(said, to_json(said), outside=True, tool=tool.name)
        if looked.rules:
            invocation.rules = (*invocation.rules, *looked.rules)
        if looked.changed:
            error.message, error.details = looked.value["message"], looked.value["details"]

    def _verdict(self, invocation: Invocation) -> Verdict:
        tool = invocation.target
        says = tool.says
        try:
            return self._engine.check(
                invocation.arguments,
                invocation.canonical,
                action=invocation.action,
                outside=self._is_outside(tool),
                kinds=says.kinds,
                sensitive=says.sensitive,
            )
        except CenobyError:
            raise
        except Exception as error:  # noqa: BLE001 - turned into a refusal
            # Whatever went wrong: a rule that cannot answer has not said yes. The arguments stay out of the log.
            _log.error("rule_failed", correlation=invocation.correlation, error=type(error).__name__)
            raise RuleRefused(
                "rule_failed",
                f"A security rule failed ({type(error).__name__}), so {tool.name} is refused; the log has it under "
                f"correlation {invocation.correlation}.",
            ) from None

    def _is_outside(self, tool: Tool) -> bool:
        # Also what a foreign tool only reads comes from outside, and its arguments go there.
        return tool.says.effect == "outside" or (self.pins is not None and self.pins.covers(tool.mad))

    async def _consult(self, judge: Judge, invocation: Invocation, findings: tuple[Finding, ...]) -> None:
        rules = tuple(dict.fromkeys(one.rule for one in findings))
        caller, tool = invocation.caller, invocation.target
        known = {name: value for name, value in invocation.arguments.items() if name not in tool.says.sensitive}
        question = Question(
            caller.tenant, caller.agent, tool.name, invocation.action, self._redactor.value(known)[0], rules
        )
        try:
            opinion = await judge(question)
        except Exception as error:  # noqa: BLE001 - a judge that fails has not said yes
            _log.warning("judge_failed", correlation=invocation.correlation, error=type(error).__name__)
            opinion = Opinion("ask", "The judge failed.")
        invocation.rules = (*invocation.rules, f"judge:{opinion.verdict}")
        if opinion.verdict == "deny":
            raise _refusal(findings, f" The judge says no: {self._redactor.text(opinion.reason)}")
        if opinion.verdict == "ask":
            invocation.ask(Ask("rule:judge", f"{', '.join(rules)}: {self._redactor.text(opinion.reason)}"))


def shipped_rules() -> RuleCheck:
    """The rules as they are where no settings say otherwise, without judge and pins."""
    settings = RuleSettings()
    return RuleCheck(RuleEngine(settings, EgressSettings()), ResultRules(settings), Redactor(RedactionSettings()))


def _refusal(findings: list[Finding] | tuple[Finding, ...], more: str = "") -> RuleRefused:
    shown = findings[:_SHOWN]
    words = "; ".join(dict.fromkeys(f"{RULES[one.rule]} ({one.rule}{_at(one.place)})" for one in shown))
    return RuleRefused(
        "rule_violated",
        f"The arguments hold {words}.{more} Leave it out; docs/rule/security-rules.md says what each rule is about.",
        details={"rules": list(dict.fromkeys(one.rule for one in findings))},
    )


def _at(place: str) -> str:
    return f" at {place[:80]}" if place else ""
