"""Free-form values with templates, compiled once to functions that fill them fast.

A value without templates is shared by all runs and must not be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from convergence.config.sql.statement import Mistake, Statement, render_sql
from convergence.config.sql.templates import parse_expression, parse_sql
from convergence.config.templates.sizes import joined
from convergence.config.templates.template import NoValue, Slot, Template, lookup, parse, text_of
from convergence.config.yaml.positions import KeyPath, path_text
from convergence.errors import FINDINGS_MAX

Scope = Mapping[str, Any]
Fill = Callable[[Scope], Any]
Filled = tuple[bool, Any]

_NO_SQL_BELOW: Final = frozenset({"params", "headers", "body"})  # of HTTP requests
_ENDPOINTS: Final = frozenset({"endpoint", "url"})
_RECIPIENTS: Final = frozenset({"to_emails", "cc_emails"})
_PARAMETER_LISTS: Final = ("parameters", "query_params", "params")


class Use(NamedTuple):
    """One mention of a name. `offset` is the place in the text at `path`."""

    name: str
    path: KeyPath
    offset: int
    optional: bool = False


class Deferred(NamedTuple):
    """A text with names that are known only when the step starts. `sql` when its value is a query parameter."""

    path: KeyPath
    parts: tuple[str | Slot, ...]
    sql: bool = False


@dataclass(slots=True)
class Compiler:
    """Compiles the values of one step, or the variables; remembers every name they mention.

    `is_deferred` recognises names that are filled when the step starts; `types` are GoogleSQL types of names.
    """

    is_deferred: Callable[[str], bool]
    types: Mapping[str, str]
    given: Collection[str] = ()
    uses: list[Use] = field(default_factory=list)
    deferred: list[Deferred] = field(default_factory=list)
    mistakes: list[tuple[KeyPath, Mistake]] = field(default_factory=list)

    def compile(self, value: Any, path: KeyPath, *, sql: bool = False) -> Fill | None:
        """Return the function that fills `value`, or None when there is nothing to fill."""
        if isinstance(value, str):
            return self._text(value, path, sql=sql)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, list | tuple):
            filled = [(index, self._item(item, (*path, index))) for index, item in enumerate(value)]
            live = tuple((index, fill) for index, fill in filled if fill is not None)
            return _fill_list(list(value), live) if live else None
        return None

    def _item(self, value: Any, path: KeyPath) -> Fill | None:
        """One entry of a list; a recipient without a value is null, so that the others are reached."""
        fill = self._optional(value, path) if path[-2] in _RECIPIENTS else None
        return fill or self.compile(value, path)

    def _mapping(self, value: Mapping[str, Any], path: KeyPath) -> Fill | None:
        live = []
        for key, inner in value.items():
            at = (*path, key)
            fill = self._optional(inner, at) if key == "value" and value.get("optional") is True else None
            fill = fill or self.compile(inner, at, sql=is_sql(at))
            if fill is not None:
                live.append((key, fill))
        return _fill_mapping(dict(value), tuple(live)) if live else None

    def _optional(self, value: Any, path: KeyPath) -> Fill | None:
        """What may be absent, such as an optional procedure parameter: without a value it is null."""
        template = parse(value) if isinstance(value, str) else None
        slot = template.whole if template is not None else None
        if slot is None or self.is_deferred(slot.name):
            return None
        self.uses.append(Use(slot.name, path, slot.start, optional=True))
        name = slot.name

        def fill(scope: Scope) -> Any:
            try:
                found = lookup(scope, name)
            except NoValue:
                return None
            return None if found == "" else found

        return fill

    def _text(self, text: str, path: KeyPath, *, sql: bool) -> Fill | None:
        if sql:
            return self._sql(text, path)
        if path[-2:-1] == ("add_fields",) and "transform" in path:
            return self._sql(text, path, expression=True) if "{" in text else None
        template = parse(text)
        if template is None:
            return None
        if path[-1] in _ENDPOINTS:
            template = _customers(template)
        self.uses.extend(Use(slot.name, path, slot.start) for slot in template.slots)
        if any(self.is_deferred(slot.name) for slot in template.slots):
            self.deferred.append(Deferred(path, template.parts))
            return _constant(None)
        return fill_text(template, path_text(path))

    def _sql(self, text: str, path: KeyPath, *, expression: bool = False) -> Fill | None:
        if expression:
            statement = parse_expression(text, types=self.types)
        else:
            statement = parse_sql(text, given=self.given, types=self.types)
        self.mistakes.extend((path, mistake) for mistake in statement.mistakes)
        for part in statement.parts:
            if not isinstance(part, str):
                self.uses.append(Use(part.name, path, part.offset))
                if self.is_deferred(part.name) and len(self.mistakes) <= FINDINGS_MAX:
                    message = f"{{{part.name}}} cannot name a table: it is known only when the step starts"
                    self.mistakes.append((path, Mistake(message, text.count("\n", 0, part.offset))))
        values = (*statement.bound, *statement.native)
        for bound in values:
            self.uses.append(Use(bound.name, path, bound.offset))
            if self.is_deferred(bound.name):
                at = (*path, "parameters", bound.parameter)
                self.deferred.append(Deferred(at, (Slot(bound.name, bound.offset),), sql=True))
        early = tuple(bound for bound in values if not self.is_deferred(bound.name))
        return _fill_sql(Statement(statement.parts, early, (), ()))


def _customers(template: Template) -> Template:
    """In a provider's endpoint `{project_id}` is the customer's project, not the one that this installation runs in."""
    return Template(
        tuple(
            Slot("integration.project_id", part.start) if isinstance(part, Slot) and part.name == "project_id" else part
            for part in template.parts
        )
    )


def is_sql(path: KeyPath) -> bool:
    """True when the text at `path` is SQL: query, sql, *_query, *_sql (but not in an HTTP request)."""
    key = path[-1]
    if not isinstance(key, str) or not _NO_SQL_BELOW.isdisjoint(path):
        return False
    return key in {"query", "sql"} or key.endswith(("_query", "_sql"))


def own_parameters(value: Any) -> frozenset[str]:
    """Return the names of query parameters that a step's own blocks declare."""
    found: set[str] = set()
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in _PARAMETER_LISTS and isinstance(inner, list):
                found.update(str(item["name"]) for item in inner if isinstance(item, Mapping) and "name" in item)
            elif key in _PARAMETER_LISTS and isinstance(inner, Mapping):
                found.update(inner)
            else:
                found |= own_parameters(inner)
    return frozenset(found)


def fill_text(template: Template, where: str = "") -> Fill:
    """Return the function for one text. It raises `LookupError` for a name without a value, and `TooLarge`."""
    whole = template.whole
    if whole is not None:
        return _getter(whole.name)
    parts = tuple(part if isinstance(part, str) else (part.name, _getter(part.name)) for part in template.parts)

    def fill(scope: Scope) -> str:
        pieces = (part if isinstance(part, str) else text_of(part[1](scope), part[0]) for part in parts)
        return joined(pieces, scope, where)

    return fill


def _getter(name: str) -> Fill:
    if "." in name:
        return lambda scope: lookup(scope, name)
    return lambda scope: scope[name]


def _constant(value: Any) -> Fill:
    return lambda scope: value  # noqa: ARG005 - a Fill takes the scope


def _fill_list(items: list[Any], live: tuple[tuple[int, Fill], ...]) -> Fill:
    def fill(scope: Scope) -> list[Any]:
        copy = items.copy()
        for index, inner in live:
            copy[index] = inner(scope)
        return copy

    return fill


def _fill_mapping(items: dict[str, Any], live: tuple[tuple[str, Fill], ...]) -> Fill:
    def fill(scope: Scope) -> dict[str, Any]:
        copy = items.copy()
        for key, inner in live:
            copy[key] = inner(scope)
        return copy

    return fill


def _fill_sql(statement: Statement) -> Fill:
    if statement.plain:
        return _constant({"sql": "".join(str(part) for part in statement.parts), "parameters": {}})
    return lambda scope: render_sql(statement, scope)
