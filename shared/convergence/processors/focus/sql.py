"""Rules as SQL: the condition under which a row (of the alias t) breaks a rule, and the queries of groups of rows.

Every part is TRUE or FALSE, never NULL. Values travel as query parameters. `["in", …]` as a check lets NULL pass, as
nullability has rules of its own; as a condition it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from convergence.domain.sql_names import bigquery_name
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.rules import Rule, Tree

DECIMALS: Final = frozenset({"NUMERIC", "BIGNUMERIC", "DECIMAL", "BIGDECIMAL"})
KINDS: Final = {
    "decimal": DECIMALS | {"INT64"},
    "string": frozenset({"STRING", "JSON"}),
    "datetime": frozenset({"TIMESTAMP"}),
}
_TEXT: Final = r'"(?:[^"\\]|\\.)*"'
_PAIR: Final = rf"\s*{_TEXT}\s*:\s*(?:{_TEXT}|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*"
# Formats of text. The specification's attributes NumericFormat, DateTimeFormat, UnitFormat, KeyValueFormat.
PATTERNS: Final = {
    "numeric": r"^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$",
    "datetime": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
    "unit": r"^(?:\d+(?:\.\d+)? )?[A-Za-z][A-Za-z0-9]*(?: [A-Za-z][A-Za-z0-9]*)*(?:[-/][A-Za-z0-9 ]+)*$",
    "key_value": rf"^\s*\{{(?:{_PAIR}(?:,{_PAIR})*|\s*)\}}\s*$",
    "json": r"^\s*\{[\s\S]*\}\s*$",
    "string": r"\S",
    "currency": r"\S",
}
NOT_BLANK: Final = frozenset({"string", "currency"})
# Checks that cost more than a comparison: each value is looked at once, however many rows have it.
COSTLY: Final = frozenset({"in", "pairs", "national_currency", "format", "product"})
# Price times quantity may miss the cost by so much, times the cost where that is more than 1 (focus-validator).
TOLERANCE: Final = "1e-9"


class Rows:
    """Makes SQL for rows of one table, and collects the parameters that it needs."""

    def __init__(self, types: Mapping[str, str], currencies: Sequence[str]) -> None:
        self.types, self._currencies = types, list(currencies)
        self.parameters: dict[str, Parameter] = {}

    def broken(self, rule: Rule) -> str:
        """Return the condition that a row breaks the rule. Raises `KeyError` for a column that the table lacks."""
        holds = self._check(rule.check)
        return f"NOT {holds}" if rule.when is None else f"({self.applies(rule.when)} AND NOT {holds})"

    def applies(self, tree: Tree) -> str:
        """Return a condition."""
        word, *parts = tree
        if word in ("and", "or"):
            return "(" + f" {word.upper()} ".join(self.applies(part) for part in parts) + ")"
        if word == "in":
            return f"COALESCE({self.column(parts[0])} IN UNNEST({self._value(list(parts[1]))}), FALSE)"
        return self._check(tree)

    def _check(self, tree: Tree) -> str:
        word, *parts = tree
        match word:
            case "or":
                return "(" + " OR ".join(self._check(part) for part in parts) + ")"
            case "=" | "!=":
                return self._compared(word, *parts)
            case "in":
                column = self.column(parts[0])
                return f"({column} IS NULL OR {column} IN UNNEST({self._value(list(parts[1]))}))"
            case "national_currency":
                return self._check(["in", parts[0], self._currencies])
            case "pairs":
                first, second = self.column(parts[0]), self.column(parts[1])
                pairs = self._value([f"{one}\n{other}" for one, other in parts[2]])
                return f"({first} IS NULL OR COALESCE(CONCAT({first}, '\\n', {second}) IN UNNEST({pairs}), FALSE))"
            case "format":
                return self._formatted(*parts)
            case "product":
                # A product of two exact numbers may have more digits than either; a ratio of 1e-9 fits into a float.
                a, b, cost = (f"CAST({self.column(name)} AS FLOAT64)" for name in parts)
                return f"COALESCE(ABS({a} * {b} - {cost}) <= {TOLERANCE} * GREATEST(ABS({cost}), 1), TRUE)"
            case ">=":
                return f"COALESCE({self.column(parts[0])} >= {self._value(Decimal(parts[1]))}, TRUE)"
            case "same":
                return f"({self.column(parts[0])} IS NOT DISTINCT FROM {self.column(parts[1])})"
            case "before":
                return f"COALESCE({self.column(parts[0])} < {self.column(parts[1])}, TRUE)"
        raise AssertionError(f"rules have no check {word!r}")

    def _compared(self, word: str, name: str, value: Any) -> str:
        column = self.column(name)
        if value is None:
            return f"({column} IS{' NOT' if word == '!=' else ''} NULL)"
        value = Decimal(value) if self.types[name] in DECIMALS else value
        return f"({column} IS{' NOT' if word == '=' else ''} DISTINCT FROM {self._value(value)})"

    def _formatted(self, name: str, form: str) -> str:
        column = self.column(name)
        if self.types[name] != "STRING":
            return "TRUE"  # its type is a rule of its own, and has no other form
        if form in NOT_BLANK:  # what begins with a letter, digit or sign is not blank: most values, without a pattern
            blank = f"REGEXP_CONTAINS({column}, {self._value(PATTERNS[form])})"
            return f"CASE WHEN {column} IS NULL OR {column} >= '!' THEN TRUE ELSE {blank} END"
        return f"COALESCE(REGEXP_CONTAINS({column}, {self._value(PATTERNS[form])}), TRUE)"

    def column(self, name: str) -> str:
        """Return a column of a row. Raises `KeyError` for one that the table lacks."""
        _ = self.types[name]
        return f"t.{bigquery_name(name)}"

    def _value(self, value: Any) -> str:
        kind = "ARRAY<STRING>" if isinstance(value, list) else "BIGNUMERIC" if isinstance(value, Decimal) else "STRING"
        found = Parameter(kind, value)
        for name, known in self.parameters.items():
            if known == found:
                return f"@{name}"
        name = f"v{len(self.parameters)}"
        self.parameters[name] = found
        return f"@{name}"

    def values(self, rules: Mapping[str, Rule], names: Sequence[str], table: str, where: str) -> str:
        """Return the query that counts, as the names of `rules`, the rows that break rules about these columns only."""
        columns = ", ".join(map(self.column, names))
        values = (
            f"SELECT {columns}, COUNT(*) AS x_rows FROM {bigquery_name(table)} AS t WHERE {where} GROUP BY {columns}"
        )
        counts = (f"SUM(IF({self.broken(rule)}, t.x_rows, 0)) AS {name}" for name, rule in rules.items())
        return f"SELECT {', '.join(counts)} FROM ({values}) AS t"

    def groups(self, rule: Rule, table: str, where: str, beside: str = "") -> str:
        """Return the query that counts how many rows, or groups of rows, break a rule about several rows, as `n`.

        `beside`: FROM and WHERE of charges that are visible already; a credit may be linked to one of them.
        """
        chosen = where if rule.when is None else f"{where} AND {self.applies(rule.when)}"
        rows = f"{bigquery_name(table)} AS t WHERE {chosen}"
        word, *parts = rule.check
        match word:
            case "one_per":
                key, other = self.column(parts[0]), self.column(parts[1])
                broken = (
                    f"SELECT 1 FROM {rows} AND {key} IS NOT NULL GROUP BY {key} HAVING MIN({other}) <> MAX({other})"
                )
                return f"SELECT COUNT(*) AS n FROM ({broken})"
            case "unique":
                keys = ", ".join(map(self.column, parts[0]))
                twice = f"SELECT COUNT(*) - 1 AS more FROM {rows} GROUP BY {keys} HAVING COUNT(*) > 1"
                return f"SELECT COALESCE(SUM(more), 0) AS n FROM ({twice})"
            case "apart":
                columns = [self.column(name) for name in parts[0]]
                part = ", ".join(f"k{number}" for number in range(len(columns)))
                named = ", ".join(f"{column} AS k{number}" for number, column in enumerate(columns))
                start, end = map(self.column, parts[1:])
                spans = f"SELECT DISTINCT {named}, {start} AS first, {end} AS past FROM {rows}"
                earlier = "ORDER BY first, past ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
                ends = f"SELECT first, MAX(past) OVER (PARTITION BY {part} {earlier}) AS reached FROM ({spans})"
                return f"SELECT COUNT(*) AS n FROM ({ends}) WHERE reached > first"
            case "linked":
                text = ", ".join(f"CAST({self.column(name)} AS STRING)" for name in parts[0])
                text = f"TO_JSON_STRING([{text}])"
                category = self.column("ChargeCategory")
                others = f"SELECT {text} FROM {bigquery_name(table)} AS t WHERE {where} AND {category} <> 'Credit'"
                if beside:
                    others += f" UNION ALL SELECT {text} {beside} AND {category} <> 'Credit'"
                return f"SELECT COUNT(*) AS n FROM {rows} AND {text} NOT IN ({others})"
        raise AssertionError(f"rules have no check {word!r}")
