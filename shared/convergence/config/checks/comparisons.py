"""Comparisons in `when` that no value can satisfy: text, numbers and booleans are never equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from convergence.config.conditions import expression
from convergence.config.conditions.tree import Expression, Items, Literal, Name, Operation
from convergence.config.model.pipeline import Pipeline
from convergence.config.templates.builtin_names import BUILT_INS, IMPLICIT_PARAMETERS
from convergence.config.templates.template import parse

_KINDS: Final[Mapping[str, str]] = {
    "string": "text", "date": "text", "integer": "a number", "number": "a number", "boolean": "true or false",
}  # fmt: skip
_COMPARED: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "not in"})


def kinds(pipeline: Pipeline) -> dict[str, str]:
    """Return name → kind of its value, as far as the file determines it: text, a number, or true or false."""
    declared = {name: spec.type for name, spec in pipeline.parameters.items()}
    force = dict.fromkeys(filter(None, [pipeline.execution.force_param]), "boolean")
    types = {**dict.fromkeys(BUILT_INS, "string"), **IMPLICIT_PARAMETERS, **force, **declared}
    found = {name: _KINDS[kind] for name, kind in types.items() if kind in _KINDS}
    for name, value in pipeline.variables.items():
        found.pop(name, None)
        if (kind := _kind_of(value)) and not (isinstance(value, str) and parse(value) is not None):
            found[name] = kind
    return found


def never_equal(condition: Expression, known: Mapping[str, str]) -> Iterator[str]:
    """Yield, for each comparison of different kinds, what is wrong with it and what to write instead."""
    if not isinstance(condition, Operation):
        return
    if condition.operator not in _COMPARED:
        for inner in condition.operands:
            yield from never_equal(inner, known)
        return
    left, right = condition.operands
    others = right.items if isinstance(right, Items) else (right,)
    if condition.operator.endswith("in") and not isinstance(right, Items):
        return  # part of a string, or a list that a name resolves to
    for other in others:
        one, two = _kind(left, known), _kind(other, known)
        if one and two and one != two:
            yield (
                f"{expression.unparse(left)} is {one} and {expression.unparse(other)} is {two}: they are never equal"
                f" and cannot be ordered. {_cure(left, other, known)}"
            )


def _cure(left: Expression, right: Expression, known: Mapping[str, str]) -> str:
    """Return how the literal has to be written or, for two names, that their types differ."""
    name, literal = (left, right) if isinstance(right, Literal) else (right, left)
    if not isinstance(literal, Literal) or not isinstance(name, Name):
        return "Use values of one type"
    written = literal.value if isinstance(literal.value, str) else expression.unparse(literal)
    match _kind(name, known):
        case "text":
            return f"Write '{written}' in quotes"
        case "a number":
            return f"Write {written} without quotes" if _is_number(written) else "Use a number, without quotes"
        case _:
            return "Use true or false, without quotes"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind(operand: Expression, known: Mapping[str, str]) -> str:
    match operand:
        case Literal(value=value):
            return _kind_of(value)
        case Name(path=path) if path[0] in {"", "parameters", "variables"} and len(path) == 2:
            return known.get(path[1], "")
    return ""


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return _KINDS["boolean"]
    if isinstance(value, int | float):
        return _KINDS["number"]
    return _KINDS["string"] if isinstance(value, str) else ""
