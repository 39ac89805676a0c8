"""The language of `when`: small, closed expressions over parameters, variables and results of earlier steps.

    or ← and ("or" and)*          and ← not ("and" not)*          not ← "not" not | test
    test ← value (("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") value)?
    value ← 'text' | "text" | number | true | false | null | [value, …] | ( or ) | name
    name ← parameters.x | variables.x | results.step.field | {x}       (quotes round {x} change nothing)

Words may be in capitals; `=` and `<>` are older spellings of `==` and `!=`. A name without a value is null, which
equals only null and cannot be ordered. Text and numbers are never equal. Nothing is called, nothing
is evaluated as Python.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from convergence.config.conditions.parser import LENGTH_MAX, Parser
from convergence.config.conditions.tree import Expression, Items, Literal, Name, Operation
from convergence.config.templates.template import NoValue, lookup
from convergence.errors import ConfigError, StepFailed

__all__ = ["Expression", "Items", "Literal", "Name", "Operation", "evaluate", "names", "parse", "replaced", "unparse"]

_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@lru_cache(maxsize=2048)
def parse(text: str) -> Expression:
    """Return the expression. Raises `ConfigError` (without a place) that names the mistake and its position."""
    if len(text) > LENGTH_MAX:
        raise ConfigError(f"a condition may have at most {LENGTH_MAX} characters")
    return Parser(text).expression()


def names(expression: Expression) -> Iterator[Name]:
    """Yield every reference."""
    match expression:
        case Name():
            yield expression
        case Items(items=inner) | Operation(operands=inner):
            for part in inner:
                yield from names(part)


def replaced(expression: Expression, value: Callable[[Name], Expression]) -> Expression:
    """Return the expression with every reference replaced by what `value` gives for it."""
    match expression:
        case Name():
            return value(expression)
        case Items(items=inner):
            return Items(tuple(replaced(part, value) for part in inner))
        case Operation(operator=sign, operands=inner):
            return Operation(sign, tuple(replaced(part, value) for part in inner))
    return expression


def unparse(expression: Expression) -> str:
    """Return text that `parse` reads back to the same expression."""
    match expression:
        case Literal(value=value):
            return _quoted(value) if isinstance(value, str) else json.dumps(value)
        case Name(path=path):
            return expression.dotted if path[0] else f"{{{expression.dotted}}}"
        case Items(items=inner):
            return "[" + ", ".join(unparse(part) for part in inner) + "]"
        case Operation(operator="not", operands=(inner,)):
            return f"not ({unparse(inner)})"
        case Operation(operator=sign, operands=inner):
            return f" {sign} ".join(f"({text})" if " " in text else text for text in map(unparse, inner))


def evaluate(
    expression: Expression | str,
    *,
    parameters: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    variables: Mapping[str, Any] | None = None,
) -> bool:
    """Return whether the condition holds.

    Raises:
        StepFailed: the result is not a boolean, or the compared values cannot be ordered.
    """
    parsed = parse(expression) if isinstance(expression, str) else expression
    scope = {"parameters": parameters, "results": results, "variables": variables or {}}
    return _truth(_value(parsed, scope))


def _value(expression: Expression, scope: Mapping[str, Any]) -> Any:
    match expression:
        case Literal(value=value):
            return value
        case Name(path=path):
            try:
                return lookup(scope if path[0] else scope["parameters"], expression.dotted)
            except NoValue:
                return None
        case Items(items=inner):
            return [_value(part, scope) for part in inner]
        case Operation(operator="not", operands=(inner,)):
            return not _truth(_value(inner, scope))
        case Operation(operator="and", operands=inner):
            return all(_truth(_value(part, scope)) for part in inner)
        case Operation(operator="or", operands=inner):
            return any(_truth(_value(part, scope)) for part in inner)
        case Operation(operator=sign, operands=(left, right)):
            return _compare(sign, _value(left, scope), _value(right, scope))
    raise AssertionError(f"an operation of a kind that the parser does not make: {expression!r}")


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign in {"==", "!="}:
        return _equal(left, right) == (sign == "==")
    if sign in {"in", "not in"}:
        if isinstance(right, str) and (left is None or isinstance(left, str)):
            found = left is not None and left in right
        elif isinstance(right, list | tuple):
            found = any(_equal(left, item) for item in right)
        elif right is None:
            found = False
        else:
            raise StepFailed(f"when: `{sign}` needs a list or a string on its right, not {type(right).__name__}")
        return found == (sign == "in")
    if left is None or right is None:
        return False
    numbers = _is_number(left) and _is_number(right)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise StepFailed(f"when: {type(left).__name__} and {type(right).__name__} cannot be ordered (`{sign}`)")
    return _ORDER[sign](left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _truth(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise StepFailed(f"when: true or false is needed, not {type(value).__name__}: compare it with something")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
