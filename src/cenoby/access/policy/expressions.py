"""Conditions: from Cedar's JSON form to closures over a request.

Each closure returns the value of its expression or raises `EvaluationFailed`, exactly where Cedar reports an error.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

from cenoby.access.policy.errors import Unusable
from cenoby.access.policy.request import CONTEXT, PRINCIPAL, RESOURCE, Request
from cenoby.access.policy.values import LEAST, MOST, Entity, EvaluationFailed, Pattern, key, long, name_of, need, same

Json = dict[str, Any]
Expression = Callable[[Request], Any]

DEEPEST = 60
"""Levels of nesting of one condition; a chain of `&&` or `||` is one level."""

_VARIABLES: Mapping[str, Expression] = {
    "principal": lambda request: Entity("Agent", request.principal.agent),
    "action": lambda request: Entity("Action", request.action),
    "resource": lambda request: Entity("Tool", request.tool),
}
_EXTENSIONS = frozenset({"ip", "decimal", "datetime", "duration"})


def compile_expression(node: Json, depth: int = 0) -> Expression:
    """The closure of one expression.

    Raises:
        Unusable: it uses something that is not supported.
    """
    if depth > DEEPEST:
        raise Unusable(f"a condition is nested deeper than {DEEPEST} levels; write it as several policies")
    ((name, inner),) = node.items()
    make = _OPERATORS.get(name)
    if make is None:
        raise Unusable(_unsupported(name))
    return make(inner, depth + 1)


def condition(clauses: list[Json]) -> Expression | None:
    """All `when` and `unless` of a policy as one closure that gives true or false; None where there are none.

    Raises:
        Unusable: a clause uses something that is not supported.
    """
    parts = [clause_expression(clause) for clause in clauses]
    return _all_of(parts) if parts else None


def clause_expression(clause: Json) -> Expression:
    """One clause, true where it is satisfied; its value must be true or false."""
    body = compile_expression(clause["body"])
    holds = _truth(body) if _TRUTHS.isdisjoint(clause["body"]) else body
    return holds if clause["kind"] == "when" else lambda request: not holds(request)


def _truth(body: Expression) -> Expression:
    return lambda request: need(body(request), bool, "true or false")


def conjuncts(node: Json) -> list[Json]:
    """The operands of a chain of `&&`, left to right; of any other expression, itself."""
    if "&&" not in node:
        return [node]
    found: list[Json] = []
    while "&&" in node:
        found.append(node["&&"]["right"])
        node = node["&&"]["left"]
    return [node, *reversed(found)]


def _unsupported(name: str) -> str:
    if name in _EXTENSIONS or name in ("isIpv4", "isIpv6", "isLoopback", "isMulticast", "isInRange"):
        return f"{name}() is of an extension type (ip, decimal, datetime, duration), which is not supported"
    if name in ("getTag", "hasTag"):
        return "tags are not supported"
    return f"{name!r} is not supported"


def _value(inner: Any, depth: int) -> Expression:
    del depth
    if isinstance(inner, dict):
        value = cast(Json, inner).get("__entity")
        if value is None:
            raise Unusable("a value of an extension type (ip, decimal, datetime, duration) is not supported")
        inner = Entity(value["type"], value["id"])
    elif type(inner) not in (bool, int, str):
        raise Unusable(f"the value {inner!r} is not supported")
    return lambda request: inner


def _variable(name: str, depth: int) -> Expression:
    del depth
    if name not in _VARIABLES:
        raise Unusable("context can only be read by the name of what is in it, as in context.risk")
    return _VARIABLES[name]


def is_context(node: Json) -> bool:
    """Whether it is the variable `context`."""
    return node.get("Var") == "context"


def is_arguments(node: Json) -> bool:
    """Whether it is `context.arguments`."""
    read = node.get(".")
    return read is not None and read["attr"] == "arguments" and is_context(read["left"])


def _read(inner: Json, depth: int) -> Expression:
    left, name = inner["left"], cast(str, inner["attr"])
    if is_arguments(left):
        return lambda request: request.argument(name)
    if is_context(left):
        if name == "arguments":
            raise Unusable("context.arguments can only be read by the name of an argument, as in context.arguments.url")
        if name not in CONTEXT:
            raise Unusable(f"context has no {name!r}; it has arguments, {', '.join(CONTEXT)}")
        return CONTEXT[name][1]
    for variable, known in (("principal", PRINCIPAL), ("resource", RESOURCE)):
        if left.get("Var") == variable and name in known:
            return known[name]
    _need_readable(left)
    read = compile_expression(left, depth)

    def attribute(request: Request) -> Any:
        value = read(request)
        if type(value) is Entity:
            found = request.attributes(value)
            if name in found:
                return found[name](request)
        elif name in need(value, dict, "a record or an entity"):
            return value[name]
        raise EvaluationFailed(f"there is no attribute {name!r}")

    return attribute


def _has(inner: Json, depth: int) -> Expression:
    left, name = inner["left"], cast(str, inner["attr"])
    if is_arguments(left):

        def has_argument(request: Request) -> bool:
            # Null counts as absent. Nearly every condition of every call asks this.
            arguments = request.arguments
            return (arguments[name] if name in arguments else request.defaults.get(name)) is not None

        return has_argument
    if is_context(left):
        there = name == "arguments" or name in CONTEXT
        return lambda request: there
    _need_readable(left)
    read = compile_expression(left, depth)

    def has(request: Request) -> bool:
        value = read(request)
        if type(value) is Entity:
            return name in request.attributes(value)
        return name in need(value, dict, "a record or an entity")

    return has


def _need_readable(left: Json) -> None:
    if isinstance(left.get("Value"), dict):
        raise Unusable("only attributes of principal, resource and context can be read, not of an entity by name")


def _all_of(parts: list[Expression]) -> Expression:
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        return _both(*parts)
    if len(parts) == 3:
        return _both(_both(*parts[:2]), parts[2])

    def every(request: Request) -> bool:
        for part in parts:
            value = part(request)
            if value is False:
                return False
            if value is not True:
                raise EvaluationFailed(f"true or false is wanted, and this is {name_of(value)}")
        return True

    return every


def _both(first: Expression, second: Expression) -> Expression:
    # Most conditions are a `has` and a test of what it found; without a loop they take a third less.
    def both(request: Request) -> bool:
        value = first(request)
        if value is True:
            value = second(request)
        if value is True or value is False:
            return value
        raise EvaluationFailed(f"true or false is wanted, and this is {name_of(value)}")

    return both


def _and(inner: Json, depth: int) -> Expression:
    return _all_of([compile_expression(part, depth) for part in conjuncts({"&&": inner})])


def _or(inner: Json, depth: int) -> Expression:
    node: Json = {"||": inner}
    chain: list[Json] = []
    while "||" in node:
        chain.append(node["||"]["right"])
        node = node["||"]["left"]
    parts = [compile_expression(part, depth) for part in (node, *reversed(chain))]

    def some(request: Request) -> bool:
        for part in parts:
            value = part(request)
            if value is True:
                return True
            if value is not False:
                raise EvaluationFailed(f"true or false is wanted, and this is {name_of(value)}")
        return False

    return some


def _not(inner: Json, depth: int) -> Expression:
    body = compile_expression(inner["arg"], depth)
    return lambda request: not need(body(request), bool, "true or false")


def _negative(inner: Json, depth: int) -> Expression:
    body = compile_expression(inner["arg"], depth)
    return lambda request: long(-need(body(request), int, "a number"))


def _choice(inner: Json, depth: int) -> Expression:
    question = compile_expression(inner["if"], depth)
    yes, no = compile_expression(inner["then"], depth), compile_expression(inner["else"], depth)
    return lambda request: yes(request) if need(question(request), bool, "true or false") else no(request)


def _two(operation: Callable[[Any, Any], Any]) -> Callable[[Json, int], Expression]:
    def make(inner: Json, depth: int) -> Expression:
        left, right = compile_expression(inner["left"], depth), compile_expression(inner["right"], depth)
        return lambda request: operation(left(request), right(request))

    return make


def _numbers(operation: Callable[[int, int], Any]) -> Callable[[Json, int], Expression]:
    def checked(left: Any, right: Any) -> Any:
        if type(left) is int and type(right) is int:
            return operation(left, right)
        raise EvaluationFailed(f"two numbers are wanted, and these are {name_of(left)} and {name_of(right)}")

    def make(inner: Json, depth: int) -> Expression:
        constant = inner["right"].get("Value")
        if type(constant) is not int:
            return _two(checked)(inner, depth)
        left = compile_expression(inner["left"], depth)
        if name := _argument_read(inner["left"]):
            return _argument_compared(operation, name, constant, checked)

        def with_constant(request: Request) -> Any:
            value = left(request)
            return operation(value, constant) if type(value) is int else checked(value, constant)

        return with_constant

    return make


def _argument_read(node: Json) -> str:
    """The name in `context.arguments.name`; empty for every other expression."""
    read = node.get(".")
    return read["attr"] if read is not None and is_arguments(read["left"]) else ""


def _argument_compared(
    operation: Callable[[int, int], Any], name: str, constant: int, checked: Callable[[Any, Any], Any]
) -> Expression:
    def compared(request: Request) -> Any:
        value = request.arguments.get(name)
        if type(value) is int and LEAST <= value <= MOST:
            return operation(value, constant)
        return checked(request.argument(name), constant)

    return compared


def _sets(operation: Callable[[frozenset[Any], frozenset[Any]], bool]) -> Callable[[Json, int], Expression]:
    def checked(left: Any, right: Any) -> bool:
        return operation(need(left, frozenset, "a set"), need(right, frozenset, "a set"))

    return _two(checked)


def _contains(left: Any, right: Any) -> bool:
    return key(right) in need(left, frozenset, "a set")


def _empty(inner: Json, depth: int) -> Expression:
    body = compile_expression(inner["arg"], depth)
    return lambda request: not need(body(request), frozenset, "a set")


def _like(inner: Json, depth: int) -> Expression:
    body, matches = compile_expression(inner["left"], depth), Pattern(inner["pattern"]).matches

    def like(request: Request) -> bool:
        value = body(request)
        return matches(value if type(value) is str else need(value, str, "a text"))

    return like


def _set(inner: list[Json], depth: int) -> Expression:
    parts = [compile_expression(part, depth) for part in inner]
    if all("Value" in part for part in inner):
        # Without a request: every part is a fixed value.
        fixed = frozenset(key(part(cast(Request, None))) for part in parts)
        return lambda request: fixed
    return lambda request: frozenset(key(part(request)) for part in parts)


def _record(inner: Mapping[str, Json], depth: int) -> Expression:
    parts = {name: compile_expression(part, depth) for name, part in inner.items()}
    return lambda request: {name: part(request) for name, part in parts.items()}


def _in(inner: Json, depth: int) -> Expression:
    if inner["left"].get("Var") not in _VARIABLES:
        raise Unusable("only principal, action and resource can stand left of `in`")
    left, right = compile_expression(inner["left"], depth), compile_expression(inner["right"], depth)

    def belongs(request: Request) -> bool:
        entity, groups = left(request), right(request)
        if type(groups) is Entity:
            return request.belongs(entity, groups)
        for group in need(groups, frozenset, "an entity or a set of them"):
            need(group, Entity, "an entity")
        return any(request.belongs(entity, group) for group in groups)

    return belongs


def _is(inner: Json, depth: int) -> Expression:
    left, wanted = compile_expression(inner["left"], depth), inner["entity_type"]
    group = _in({"left": inner["left"], "right": inner["in"]}, depth) if "in" in inner else None

    def is_of(request: Request) -> bool:
        entity = need(left(request), Entity, "an entity")
        return entity.type == wanted and (group is None or group(request))

    return is_of


_TRUTHS = frozenset({"&&", "||", "!", "==", "!=", "<", "<=", ">", ">=", "has", "in", "is", "like", "isEmpty"}) | {
    "contains",
    "containsAll",
    "containsAny",
}
"""Operators that give true or false, or err."""

_OPERATORS: Mapping[str, Callable[[Any, int], Expression]] = {
    "Value": _value,
    "Var": _variable,
    ".": _read,
    "has": _has,
    "&&": _and,
    "||": _or,
    "!": _not,
    "neg": _negative,
    "if-then-else": _choice,
    "==": _two(same),
    "!=": _two(lambda left, right: not same(left, right)),
    "<": _numbers(operator.lt),
    "<=": _numbers(operator.le),
    ">": _numbers(operator.gt),
    ">=": _numbers(operator.ge),
    "+": _numbers(lambda left, right: long(left + right)),
    "-": _numbers(lambda left, right: long(left - right)),
    "*": _numbers(lambda left, right: long(left * right)),
    "contains": _two(_contains),
    "containsAll": _sets(lambda left, right: right <= left),
    "containsAny": _sets(lambda left, right: not right.isdisjoint(left)),
    "isEmpty": _empty,
    "like": _like,
    "Set": _set,
    "Record": _record,
    "in": _in,
    "is": _is,
}
