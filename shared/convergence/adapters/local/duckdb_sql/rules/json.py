"""JSON: scalars only where GoogleSQL gives scalars, text stays text, numbers without zeros after the last digit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sqlglot import exp

from convergence.adapters.googlesql.json_paths import written_path
from convergence.adapters.local.duckdb_sql.rules.base import (
    Rule,
    call,
    cast,
    function,
    kind_named,
    kind_of,
    text,
    typed,
)
from convergence.errors import StepFailed

_KEY: Final = r"\.[\w\-: ]+"
_POSITION: Final = r"\[ *\d+ *\]"
_STANDARD: Final = re.compile(rf'\$(?:{_KEY}|\."[^"\\]*"|{_POSITION})*')
_LEGACY: Final = re.compile(rf"\$(?:{_KEY}|\['[^'\"\\]*'\]|{_POSITION})*")


def _path(node: exp.Expr) -> exp.Expr:
    """Return the JSONPath as DuckDB reads it: `$['a b']` is `$."a b"`."""
    path = node.expression
    _check_path(node)
    if path is None:
        return text("$")
    if isinstance(path, exp.JSONPath):
        return text("".join(_step(step) for step in path.expressions))
    raise StepFailed("A JSONPath has to be a literal here.")


def _check_path(node: exp.Expr) -> None:
    """Refuse a path that BigQuery does not take, or takes in its other JSON functions only."""
    written = written_path(node)
    if written is None:
        return
    name, path, is_legacy = written
    if not (_LEGACY if is_legacy else _STANDARD).fullmatch(path):
        quoted = "$['a.b']" if is_legacy else '$."a.b"'
        raise StepFailed(
            f"{name}: {path!r} is not a JSONPath that can be used here. It begins with $, for example $.a[0];"
            f" a key with other characters is written {quoted}."
        )


def _step(step: exp.Expr) -> str:
    if isinstance(step, exp.JSONPathRoot):
        return "$"
    if isinstance(step, exp.JSONPathKey) and isinstance(step.this, str):
        return f'."{step.this}"'
    if isinstance(step, exp.JSONPathSubscript) and isinstance(step.this, int | str):
        return f"[{step.this}]" if isinstance(step.this, int) else f'."{step.this}"'
    raise StepFailed(f"The JSONPath step {step.sql()!r} cannot be used here.")


def _checked(node: exp.Expr) -> None:
    """Refuse a literal that begins as JSON and is not: BigQuery reads it as far as it goes, DuckDB does not."""
    if isinstance(node.this, exp.Literal) and str(node.this.name).lstrip()[:1] in {"{", "["}:
        try:
            json.loads(str(node.this.name))
        except (ValueError, RecursionError) as error:
            raise StepFailed(f"The text {str(node.this.name)[:60]!r} is not valid JSON: {error}.") from error


def _scalar(node: exp.Expr) -> exp.Expr:
    _checked(node)
    macro = "json_scalar" if kind_of(node.this) == "JSON" else "json_text_scalar"
    return call(macro, node.this, _path(node), kind="STRING")


def _fragment(node: exp.Expr) -> exp.Expr:
    _checked(node)
    if kind_of(node.this) == "JSON":
        return call("json_fragment", node.this, _path(node), kind="JSON")
    return call("json_text_fragment", node.this, _path(node), kind="STRING")


def _strings(node: exp.Expr) -> exp.Expr:
    _checked(node)
    return call("json_strings" if kind_of(node.this) == "JSON" else "json_text_strings", node.this, _path(node))


def _list(node: exp.Expr) -> exp.Expr:
    _checked(node)
    return call("json_list" if kind_of(node.this) == "JSON" else "json_text_list", node.this, _path(node))


def _parse(node: exp.Expr) -> exp.Expr:
    """PARSE_JSON and JSON literals: a number that FLOAT64 cannot hold is an error, unless it may be rounded."""
    mode = node.args.get("expression")
    if mode is not None:
        value = mode.expression if isinstance(mode, exp.Kwarg) else mode
        if not isinstance(value, exp.Literal) or value.name not in {"exact", "round"}:
            raise StepFailed("PARSE_JSON: wide_number_mode must be 'exact' or 'round'.")
        if value.name == "round":
            return function("json", node.this, kind="JSON")
    if isinstance(node.this, exp.Literal):
        node.set("this", text(_first_keys(str(node.this.name))))
    return call("parse_json", node.this, kind="JSON")


def _first_keys(document: str) -> str:
    """If an object has a key twice, the first one is kept."""
    seen_twice = False

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal seen_twice
        first: dict[str, Any] = {}
        for name, value in pairs:
            first.setdefault(name, value)
        seen_twice |= len(first) < len(pairs)
        return first

    try:
        value = json.loads(document, object_pairs_hook=object_of)
    except (ValueError, RecursionError):
        return document  # DuckDB says what is wrong with it
    return json.dumps(value) if seen_twice else document


def as_json(node: exp.Expr, *, wide_as_text: bool = False) -> exp.Expr:
    """Return the value as JSON, by its type. `wide_as_text`: numbers that FLOAT64 may not hold are strings."""
    kind = kind_of(node)
    if kind in {"NUMERIC", "BIGNUMERIC"}:
        written = call("numeric_text", node)
        return cast(call("json_wide", node.copy(), written) if wide_as_text else written, "JSON")
    if kind == "INT64" and wide_as_text:
        return cast(call("json_wide", node, cast(node.copy(), "STRING")), "JSON")
    if kind == "FLOAT64":
        return cast(call("json_float", node), "JSON")
    if kind == "TIMESTAMP":
        local = function("timezone", text("UTC"), node)
        zulu = function("rtrim", cast(call("json_time", local), "STRING"), text('"'))
        return cast(exp.DPipe(this=zulu, expression=text('Z"')), "JSON")
    if kind in {"DATETIME", "TIME"}:
        return call("json_time", node, kind="JSON")
    if kind == "BYTES":
        return function("to_json", function("base64", node), kind="JSON")
    if node.type is not None and kind in {"ARRAY", "STRUCT"} and _needs_care(node.type):
        return _nested_json(node, node.type, wide_as_text=wide_as_text)
    return function("to_json", node, kind="JSON")


_CARE: Final = frozenset({"INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64", "TIMESTAMP", "DATETIME", "TIME", "BYTES"})


def _needs_care(kind: exp.DataType) -> bool:
    """Whether DuckDB writes a value of this type, or a part of it, differently from GoogleSQL."""
    parts = [part.args["kind"] if isinstance(part, exp.ColumnDef) else part for part in kind.expressions]
    return any(isinstance(part, exp.DataType) and (kind_named(part) in _CARE or _needs_care(part)) for part in parts)


def _nested_json(node: exp.Expr, kind: exp.DataType, *, wide_as_text: bool) -> exp.Expr:
    """Write arrays and structs part by part; the value is bound once by a lambda."""
    name = "our_e" if kind.this is exp.DataType.Type.ARRAY else "our_s"
    bound = exp.to_identifier(name)
    if kind.this is exp.DataType.Type.ARRAY:
        element = exp.Column(this=bound)
        element.type = kind.expressions[0]
        each = exp.Lambda(this=as_json(element, wide_as_text=wide_as_text), expressions=[bound.copy()], colon=True)
        return function("to_json", function("list_transform", node, each), kind="JSON")
    pairs: list[exp.Expr] = []
    for field in kind.expressions:
        if not isinstance(field, exp.ColumnDef):
            raise StepFailed("A struct without names of its fields cannot be written as JSON here.")
        value = exp.Dot(this=exp.Column(this=bound.copy()), expression=field.this.copy())
        value.type = field.args["kind"]
        written = as_json(value, wide_as_text=wide_as_text)
        pairs += [text(field.name), exp.Coalesce(this=written, expressions=[cast(text("null"), "JSON")])]
    each = exp.Lambda(this=function("json_object", *pairs), expressions=[bound.copy()], colon=True)
    one = function("list_transform", function("list_value", node), each)
    return typed(exp.Anonymous(this="list_extract", expressions=[one, exp.Literal.number(1)]), "JSON")


def _to_json(node: exp.Expr) -> exp.Expr:
    """TO_JSON and TO_JSON_STRING; SQL NULL is the JSON null."""
    if node.this is None:
        raise StepFailed("TO_JSON and TO_JSON_STRING take a value.")
    is_json = bool(node.args.get("to_json"))
    value = as_json(node.this, wide_as_text=not is_json)
    written = exp.Coalesce(this=value, expressions=[cast(text("null"), "JSON")])
    return typed(written, "JSON") if is_json else cast(written, "STRING")


def _object(node: exp.Expr) -> exp.Expr:
    """JSON_OBJECT: keys in order of their names, as BigQuery shows them."""
    pairs = [(pair.this, pair.expression) for pair in node.expressions if isinstance(pair, exp.JSONKeyValue)]
    if len(pairs) != len(node.expressions) or any(kind_of(key) == "ARRAY" for key, _ in pairs):
        raise StepFailed("JSON_OBJECT takes pairs of key and value here.")
    if all(isinstance(key, exp.Literal) for key, _ in pairs):
        first = {key.name: (key, value) for key, value in reversed(pairs)}  # for a key that appears twice
        pairs = [first[name] for name in sorted(first)]
    flat = [
        part
        for key, value in pairs
        for part in (key, exp.Coalesce(this=as_json(value), expressions=[cast(text("null"), "JSON")]))
    ]
    return function("json_object", *flat, kind="JSON")


def _array(node: exp.Expr) -> exp.Expr:
    return function("json_array", *(as_json(value) for value in node.expressions), kind="JSON")


def _converted(name: str, kind: str) -> Rule:
    def rule(node: exp.Expr) -> exp.Expr:
        return call(name, node.this, kind=kind)

    return rule


def _type(node: exp.Expr) -> exp.Expr:
    return call("json_type", node.this, kind="STRING")


RULES: Final[Mapping[type[exp.Expr], Rule]] = {
    exp.JSONExtractScalar: _scalar,
    exp.JSONExtract: _fragment,
    exp.JSONValueArray: _strings,
    exp.JSONExtractArray: _list,
    exp.ParseJSON: _parse,
    exp.JSONFormat: _to_json,
    exp.JSONObject: _object,
    exp.JSONArray: _array,
    exp.JSONType: _type,
    exp.Int64: _converted("json_int64", "INT64"),
    exp.Float64: _converted("json_float64", "FLOAT64"),
    exp.JSONBool: _converted("json_bool", "BOOL"),
}
