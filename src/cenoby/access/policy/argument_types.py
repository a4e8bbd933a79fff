"""Which arguments of a call a policy reads, and as what: Cedar's validator wants a type for each.

A tool's arguments have no place in one schema for all tools, so their types follow from how a policy uses them;
`schema` then has Cedar check that every use is guarded by `has`, and `vocabulary` that a tool in the policy's scope has
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from cenoby.access.policy.errors import Unusable
from cenoby.access.policy.expressions import Json, is_arguments
from cenoby.access.policy.request import CONTEXT

Path = tuple[str, ...]

_NUMBERS = frozenset({"<", "<=", ">", ">=", "+", "-", "*"})
_TRUTHS = frozenset({"&&", "||"})
_SETS = frozenset({"containsAll", "containsAny"})


def argument_types(clauses: tuple[Json, ...]) -> dict[Path, str]:
    """Type by path of every argument that these conditions read; empty text where any will do.

    Raises:
        Unusable: one is used as two different types.
    """
    found: dict[Path, str] = {}
    for clause in clauses:
        _visit(clause["body"], "Bool", found)
    return found


def _visit(node: Json, wanted: str, found: dict[Path, str]) -> None:
    path = _path(node)
    if path:
        _note(path, wanted, found)
        return
    ((operator, inner),) = node.items()
    if operator == "has" and (is_arguments(inner["left"]) or _path(inner["left"])):
        _note((*_path(inner["left"]), inner["attr"]), "", found)
        return
    for part, type_ in _operands(operator, inner):
        _visit(part, type_, found)


def _operands(operator: str, inner: Any) -> list[tuple[Json, str]]:
    """The parts of an expression, each with the type that it must have there; empty where that does not follow."""
    if operator in ("Value", "Var"):
        return []
    if operator in ("Set", "Record"):
        parts = cast(list[Json], inner if isinstance(inner, list) else list(inner.values()))
        return [(part, "") for part in parts]
    if operator in ("!", "neg"):
        return [(inner["arg"], "Bool" if operator == "!" else "Long")]
    if operator == "isEmpty":
        return [(inner["arg"], "Set<String>")]
    if operator == "if-then-else":
        return [(inner["if"], "Bool"), (inner["then"], _type(inner["else"])), (inner["else"], _type(inner["then"]))]
    if operator == "like":
        return [(inner["left"], "String")]
    left, right = inner["left"], inner.get("right")
    if right is None:
        return [(left, "")]
    if operator == "contains":
        element = _type(right) or "String"
        return [(left, f"Set<{element}>"), (right, _element(_type(left)))]
    if operator in _SETS:
        return [(left, _type(right) or "Set<String>"), (right, _type(left) or "Set<String>")]
    if operator in _NUMBERS | _TRUTHS:
        type_ = "Long" if operator in _NUMBERS else "Bool"
        return [(left, type_), (right, type_)]
    return [(left, _type(right)), (right, _type(left))]


def _type(node: Json) -> str:
    """The type of an expression, where it follows from the expression alone."""
    ((operator, inner),) = node.items()
    if operator == "Value":
        return {bool: "Bool", int: "Long", str: "String"}.get(cast(type[Any], type(inner)), "")
    if operator in _NUMBERS or operator == "neg":
        return "Long" if operator in ("+", "-", "*", "neg") else "Bool"
    if operator == "." and inner["left"].get("Var") == "context":
        return CONTEXT.get(inner["attr"], ("", None))[0]
    if operator == "." and inner["left"].get("Var") in ("principal", "resource"):
        return "String"
    if operator == "Set" and inner and (element := _type(inner[0])):
        return f"Set<{element}>"
    return ""


def _element(type_: str) -> str:
    return type_[4:-1] if type_.startswith("Set<") else ""


def _path(node: Json) -> Path:
    """`("url",)` for `context.arguments.url`; empty for what is no argument."""
    read = node.get(".")
    if read is None:
        return ()
    if is_arguments(read["left"]):
        return (read["attr"],)
    above = _path(read["left"])
    return (*above, read["attr"]) if above else ()


def _note(path: Path, wanted: str, found: dict[Path, str]) -> None:
    # An argument of which a part is read is a record.
    for length in range(1, len(path)):
        _set(path[:length], "Record", found)
    _set(path, wanted, found)


def _set(path: Path, wanted: str, found: dict[Path, str]) -> None:
    known = found.get(path, "")
    if known and wanted and known != wanted:
        raise Unusable(f"context.arguments.{'.'.join(path)} is used both as {known} and as {wanted}")
    found[path] = known or wanted


def record_type(types: Mapping[Path, str]) -> str:
    """The arguments as a record type of Cedar's schema; all of them may be absent."""
    return _record(types, ())


def _record(types: Mapping[Path, str], above: Path) -> str:
    inner = sorted({path[: len(above) + 1] for path in types if len(path) > len(above) and path[: len(above)] == above})
    parts: list[str] = []
    for path in inner:
        type_ = types.get(path, "")
        shown = _record(types, path) if type_ == "Record" else type_ or "String"
        name = path[-1].replace("\\", "\\\\").replace('"', '\\"')
        parts.append(f'"{name}"?: {shown}')
    return "{" + ", ".join(parts) + "}"
