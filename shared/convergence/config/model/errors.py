"""Translation of the model's errors to plain sentences: pydantic's messages never reach a user."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from convergence.config.yaml.positions import KeyPath, Positions
from convergence.errors import FINDINGS_MAX, ConfigError, did_you_mean

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "mapping_type": "a mapping",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_OF_THE_WHOLE: Final = frozenset({"value_error", "too_short", "too_long"})


def problems_of(error: ValidationError, data: Any, positions: Positions, below: KeyPath = ()) -> list[ConfigError]:
    """Return one mistake for each value of `data` that does not fit. `below` is where `data` is in the file."""
    found: dict[str, ConfigError] = {}
    for path, detail in details_of(error, data):
        if detail["input"] is None and path in {("schedule",), ("steps",)}:
            continue  # normalization has reported it already
        problem = positions.problem((*below, *path), sentence(detail, path))
        found.setdefault(f"{problem.where} {problem.path}", problem)
        if len(found) > FINDINGS_MAX:
            break
    return list(found.values())


def without(normal: Mapping[str, Any], error: ValidationError) -> dict[str, Any]:
    """Return a copy without the values that do not fit."""
    rest: Any = copy.deepcopy(dict(normal))
    for path, _ in details_of(error, normal):
        _drop(rest, path[: 3 if path[:1] == ("steps",) else 1])
    return dict(rest)


def details_of(error: ValidationError, data: Any) -> list[tuple[KeyPath, ErrorDetails]]:
    """Return what does not fit, with its path in `data`: of a union, only the branch that got furthest."""
    found = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # it counts only valid items; the others are separate mistakes
        found.append((_own(data, detail), detail))
    above = {path[:cut] for path, _ in found for cut in range(len(path))}
    return [(path, detail) for path, detail in found if path not in above or detail["type"] in _OF_THE_WHOLE]


def _own(data: Any, detail: ErrorDetails) -> KeyPath:
    """The part of pydantic's path that is in the data: the names of a union's branches do not."""
    path: list[str | int] = []
    for key in detail["loc"]:
        try:
            data = data[key]
        except (LookupError, TypeError):
            continue
        path.append(key)
    if detail["type"] == "missing":
        path.append(detail["loc"][-1])
    return tuple(path)


def _drop(data: Any, path: tuple[str | int, ...]) -> None:
    for key in path[:-1]:
        try:
            data = data[key]
        except (LookupError, TypeError):
            return  # already removed with its parent
    if isinstance(data, dict):
        data.pop(path[-1], None)
        if path[-1] in {"step_id", "ps_type"}:
            data[path[-1]] = f"step-{path[-2]}" if path[-1] == "step_id" else ""
    elif isinstance(data, list) and isinstance(path[-1], int) and path[-1] < len(data):
        data[path[-1]] = {"step_id": f"step-{path[-1]}", "ps_type": ""}


def sentence(detail: ErrorDetails, path: KeyPath) -> str:
    """Return what is wrong with the value at `path`."""
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    key = str(next((part for part in reversed(path) if isinstance(part, str)), "this"))
    if kind in _EXPECTED:
        return f"{key} must be {_EXPECTED[kind]}, not {_shown(given)}"
    match kind:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key!r} is not known here"
        case "literal_error" | "enum":
            allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            near = did_you_mean(given, allowed.split(", ")) if isinstance(given, str) else f" Use one of: {allowed}."
            return f"{key} is not {_shown(given)}.{near}"
        case "greater_than" | "greater_than_equal":
            return (
                f"{key} must be {'more than' if kind == 'greater_than' else 'at least'} {_limit(context)}, not {given}"
            )
        case "less_than" | "less_than_equal":
            return f"{key} must be at most {_limit(context)}, not {_shown(given)}"
        case "too_short":
            return f"{key} must have at least {context['min_length']} entries"
        case "too_long":
            return f"{key} may have at most {context['max_length']} entries, not {context['actual_length']}"
        case "string_too_long":
            return f"{key} may have at most {context['max_length']} characters, not {len(given)}"
        case "string_pattern_mismatch":
            return f"{key} must begin with a letter and have only letters, digits, _ and -, not {_shown(given)}"
        case "value_error":
            return str(context["error"])
    return f"{key}: {detail['msg']}"


def _limit(context: Mapping[str, Any]) -> str:
    value = next(context[name] for name in ("ge", "gt", "le", "lt") if name in context)
    return f"{value:g}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = {None: "nothing", True: "true", False: "false"}.get(value) if not isinstance(value, str) else None
    text = text or repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
