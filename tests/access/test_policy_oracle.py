"""Our table decides as Cedar's own engine does, and denies wherever that reports an error."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import given, settings

from cenoby.access.policy.request import Request
from cenoby.access.policy.source import Source, read_source
from cenoby.access.policy.table import Decision, Table, evaluate
from tests.access.cedar_requests import REQUESTS, cedar_says, policy_texts

SEEN: Counter[str] = Counter()


def decide(text: str, request: Request) -> Decision:
    policies, problems = read_source(Source("t.cedar", text))
    assert not problems, problems
    plan = Table(policies).plan(request.principal, request.action, request.tool)
    return plan.fixed or evaluate(plan, request)


EXAMPLES = int(os.environ.get("POLICY_EXAMPLES", "0"))
"""More of them, and random ones, for a search by hand; the test itself is the same every time."""


@settings(max_examples=EXAMPLES or 700, deadline=None, derandomize=not EXAMPLES)
@given(policy_texts(), REQUESTS)
def test_the_table_agrees_with_cedar(text: str, request: Request) -> None:
    """Where Cedar reports no error: the same decision for the same policies, and ask where one of them says so. Where
    it reports one: deny."""
    decision = decide(text, request)
    cedar, reasons, errors = cedar_says(text, request)
    SEEN["errs" if errors else cedar] += 1
    if errors:
        assert decision.says == "deny", (text, errors)
        return
    asking = {f"p{number}" for number, line in enumerate(text.splitlines()) if "@ask" in line}
    if cedar == "deny":
        assert (decision.says, decision.failed) == ("deny", ""), text
        # Where no permit fits, or a forbid without conditions does, the others are not evaluated.
        assert set(decision.policies) <= reasons, text
    elif asking & reasons:
        assert (decision.says, set(decision.policies)) == ("ask", asking & reasons), text
        assert {ask.by for ask in decision.asks} == {f"policy:{name}" for name in asking & reasons}
    else:
        assert (decision.says, set(decision.policies)) == ("allow", reasons), text


def test_the_property_was_tried_on_every_outcome() -> None:
    """The random policies are not all of one kind: Cedar allowed, denied and erred in a good share of them."""
    if not SEEN:
        test_the_table_agrees_with_cedar()
    assert all(SEEN[kind] > 30 for kind in ("allow", "deny", "errs")), SEEN
