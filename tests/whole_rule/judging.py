"""What a call should come to, before it is made, and whether it came to that, after it ended."""

from __future__ import annotations

from cenoby.colony.invocation import Outcome
from cenoby.store.journal import JournalQuery, Record
from tests.whole_rule.books import Request
from tests.whole_rule.play import Flight, Play
from tests.whole_rule.rule_in_force import DENIED, Verdict, Wanted, caller, verdict
from tests.whole_rule.yard import ENDS, FACTS

RUNS = frozenset({"run", "granted", "approved"})
NOT_TAKEN = frozenset({"quota_exceeded", "token_revoked", "token_unknown"})
"""How a run of the engine's ends that was taken from nobody's allowance."""
CLAIMS = frozenset({"approval_pending", "approval_denied", "approval_running", "approval_lost"})


def expect(play: Play, flight: Flight) -> str:
    """What a call comes to that is made while nothing else happens; the books have it from here on."""
    flight.means = _expected(play, flight)
    return flight.means


def _expected(play: Play, flight: Flight) -> str:
    wanted, now_ns = flight.wanted, play.now_ns
    if problem := caller(play.rule, wanted, now_ns):
        return problem
    agent = play.rule.tokens[wanted.credential].agent
    tenant = play.rule.agents[agent].tenant
    if play.books.quota_left(agent, tenant, wanted.tool, flight.fact, now_ns) <= 0:
        return "quota_exceeded"
    play.books.count(agent, tenant, wanted.tool, now_ns)
    says = verdict(play.rule, wanted, flight.fact, now_ns)
    if says.says == "refuse":
        return says.code
    means = "run"
    if says.says == "ask":
        means, flight.request = play.books.claim(agent, wanted, says, now_ns)
        if means not in RUNS:
            return means or "park"
    amount = wanted.arguments.get("amount", 0)
    if amount > play.books.money_left(agent, tenant, now_ns):
        return "budget_exhausted"
    if flight.request is not None:
        flight.request.spent = True
    play.charge(flight.invocation.id, wanted, spent=False)
    return means


async def judge(play: Play, flight: Flight) -> None:
    """Compare the end of a call with what was expected of it."""
    outcome = await play.ended(flight)
    code, flight.judged = _code(outcome), True
    if flight.means in RUNS:
        problem = _judge_run(play, flight, code)
    elif flight.means in ("pending", "park"):
        problem = _judge_parked(play, flight, outcome)
    elif flight.means == "kept":
        assert flight.request is not None
        problem = "" if code in flight.request.ran else f"it is not one of {set(flight.request.ran)}"
        flight.request.ran = frozenset()
    else:
        wanted = "approval_denied" if flight.means == "denied" else flight.means
        problem = "" if code == wanted else "it is another one"
    if flight.begun and flight.means not in RUNS:
        problem = "it ran"
    if problem:
        play.wrong.append(f"{_named(play, flight)}: expected {flight.means!r}, came to {code!r}: {problem}")


def _judge_run(play: Play, flight: Flight, code: str) -> str:
    """A call that was let in. What changed while it was under way may have ended it, and some of that must have."""
    later = flight.window[1:]
    allowed, must = {ENDS[flight.wanted.arguments["end"]]}, ""
    revoked = any(rule.tokens[flight.wanted.credential].revoked for rule, _ in later)
    if play.killed(flight):
        allowed, must = allowed | {"mad_stopped"}, "a kill switch stopped it"
    if revoked:
        allowed, must = allowed | {"token_revoked"}, "its token was revoked"
    if later and not flight.begun:
        allowed |= {one.code for one in flight.verdicts(let_in=True) if one.says == "refuse"}
        allowed.add("rule_changed")
    if flight.begun:
        play.charge(flight.invocation.id, flight.wanted, spent=True)
    else:
        play.books.charges.pop(flight.invocation.id, None)
        if flight.request is not None:
            flight.request.spent = False
    if code not in allowed:
        return f"it is not one of {allowed}"
    if not flight.begun and code in ENDS.values():
        return "it did not run"
    return f"{must}, and it was answered" if must and code in ENDS.values() else ""


def _judge_parked(play: Play, flight: Flight, outcome: Outcome) -> str:
    if _code(outcome) != "approval_pending" or outcome.error is None or outcome.status != "parked":
        return "it is not parked"
    identifier = outcome.error.details["approval_id"]
    if flight.means == "pending":
        assert flight.request is not None
        return "" if identifier == flight.request.id else "it is parked under another request"
    _add_request(play, flight, identifier, flight.verdicts()[0].risk)
    return ""


def _add_request(play: Play, flight: Flight, identifier: str, risk: int) -> None:
    agent = play.rule.tokens[flight.wanted.credential].agent
    tenant = play.rule.agents[agent].tenant
    if play.books.request(identifier) is not None:
        play.wrong.append(f"{_named(play, flight)}: parked under {identifier}, which is another call's request")
    play.books.requests.append(Request(identifier, agent, tenant, flight.wanted, risk, play.now_ns))


async def judge_racing(play: Play, flights: list[Flight], before: dict[str, tuple[int, int]]) -> None:
    """Compare calls that were made at the same time as one another, and as a change.

    Args:
        flights: all of them, in the order in which they were made.
        before: of each caller, what was left of its quota of each tool and of its money.
    """
    prices = sum(one.wanted.arguments.get("amount", 0) for one in flights)
    for flight in flights:
        outcome = await play.ended(flight)
        flight.judged = True
        code, name = _code(outcome), flight.invocation.id
        quota, money = before[name]
        allowed = _allowed(play, flight)
        if quota < len(flights):
            allowed.add("quota_exceeded")
        if prices > money:
            allowed.add("budget_exhausted")
        if code not in allowed:
            play.wrong.append(f"{_named(play, flight)}: racing, came to {code!r}, which is not one of {allowed}")
        if flight.invocation.principal is not None and code != "quota_exceeded":
            agent = flight.invocation.principal.agent
            play.books.count(agent, play.rule.agents[agent].tenant, flight.wanted.tool, play.now_ns)
        if flight.begun:
            play.charge(name, flight.wanted, spent=True)
        await _claimed(play, flight, outcome)


def _allowed(play: Play, flight: Flight) -> set[str]:
    allowed: set[str] = set()
    runs = ENDS[flight.wanted.arguments["end"]]
    for one in (verdicts := [*flight.verdicts(), *flight.verdicts(let_in=True)]):
        allowed |= {one.code} if one.says == "refuse" else {runs}
    asks, refuses = (any(one.says == says for one in verdicts) for says in ("ask", "refuse"))
    if asks:
        allowed |= CLAIMS | set(ENDS.values())
    if asks or refuses:
        allowed.add("rule_changed")
    if refuses:
        allowed |= {"mad_stopped"} if play.killed(flight) else set()
    token = flight.wanted.credential
    if any(rule.tokens[token].revoked for rule, _ in flight.window if token in rule.tokens):
        allowed.add("token_revoked")
    return allowed


async def _claimed(play: Play, flight: Flight, outcome: Outcome) -> None:
    """Put into the books what a racing call did to requests: the journal says which one it used up."""
    agent = play.rule.tokens[flight.wanted.credential].agent
    code = _code(outcome)
    if code == "approval_pending" and outcome.error is not None:
        identifier = outcome.error.details["approval_id"]
        if play.books.request(identifier) is None:
            found = await play.parts.ports.approvals.get(identifier, play.rule.agents[agent].tenant)
            if found.risk not in {one.risk for one in flight.verdicts() if one.says == "ask"}:
                play.wrong.append(f"{_named(play, flight)}: parked as of risk {found.risk}")
            _add_request(play, flight, identifier, found.risk)
    elif flight.begun:
        for record in await records_of(play, flight.invocation.id, flight.invocation.correlation):
            request = play.books.request(str((record.payload or {}).get("approval", "")))
            if request is not None:
                if request.spent:
                    play.wrong.append(f"{_named(play, flight)}: used up {request.id}, which was used up before")
                request.spent = True
                break
    elif code in ENDS.values():
        kept = [one for one in play.books.same(agent, flight.wanted) if code in one.ran]
        if not kept:
            play.wrong.append(f"{_named(play, flight)}: answered, and it did not run")
        else:
            kept[0].ran = frozenset()


async def records_of(play: Play, invocation: str, correlation: str) -> list[Record]:
    """The records of one call, with their payloads, oldest first; events are not among them."""
    journal = play.parts.ports.journal
    query = JournalQuery(correlation=correlation, newest_first=False, limit=500)
    found = [one for one in (await journal.page(query)).records if one.invocation == invocation]
    whole = [await journal.get(one.id) for one in found if one.kind != "event"]
    return [one for one in whole if one is not None]


async def note_runs(play: Play) -> None:
    """Take what the engine has run from the journal; each counts like any other call."""
    page = await play.parts.ports.journal.page(JournalQuery(code="parked_call_resumed", kind="event", limit=500))
    for event in reversed(page.records):
        whole = await play.parts.ports.journal.get(event.id)
        assert whole is not None and whole.payload is not None
        run, request = whole.payload["run"], play.books.request(whole.payload["approval_id"])
        if run in play.runs:
            continue
        play.runs[run] = whole.payload["approval_id"]
        if request is None:
            # Its caller's token was revoked while it was parked, so it was told nothing else; `seen` has it if it ran.
            continue
        records = await records_of(play, run, event.correlation)
        if not any(one.decision and (not one.agent or one.code in NOT_TAKEN) for one in records):
            play.books.count(request.agent, request.tenant, request.wanted.tool, play.now_ns)


def due(play: Play) -> list[tuple[Request, bool]]:
    """The requests that the engine is to run now, and whether it should get through with each."""
    found: list[tuple[Request, bool]] = []
    for one in play.books.requests:
        if one.status == "approved" and not one.tried and one.open_at(play.now_ns):
            wanted, fact = one.wanted, FACTS[one.wanted.tool]
            again = Wanted(wanted.credential, wanted.tool, wanted.arguments, wanted.conversation, resumed=True)
            says = verdict(play.rule, again, fact, play.now_ns)
            quota = play.books.quota_left(one.agent, one.tenant, wanted.tool, fact, play.now_ns) > 0
            money = wanted.arguments.get("amount", 0) <= play.books.money_left(one.agent, one.tenant, play.now_ns)
            found.append((one, quota and money and _enough(one, says)))
    return found


def _enough(request: Request, says: Verdict) -> bool:
    return says.says == "run" or (says.says == "ask" and request.covers(says))


def _code(outcome: Outcome) -> str:
    code = outcome.error.code if outcome.error is not None else ""
    return DENIED if code in ("action_not_allowed", "policy_forbids", "policy_failed") else code


def _named(play: Play, flight: Flight) -> str:
    token = play.rule.tokens.get(flight.wanted.credential)
    return f"{token.agent if token else 'nobody'} {flight.wanted.tool} {dict(flight.wanted.arguments)}"
