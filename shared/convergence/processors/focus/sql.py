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
FEW: Final = 8  # values are compared as quickly as they are grouped
BITS: Final = 62  # of an INT64
# Price times quantity may miss the cost by so much, times the cost where that is more than 1 (focus-validator).
TOLERANCE: Final = "1e-9"


class Rows:
    """Makes SQL for rows of one table, and collects the parameters that it needs."""

    def __init__(self, types: Mapping[str, str], currencies: Sequence[str]) -> None:
        self.types, self._currencies = types, list(currencies)
        self.parameters: dict[str, Parameter] = {}
        self._bits: dict[str, str] | None = None  # condition → where a pattern has it, while one is made

    def always(self, rule: Rule) -> bool:
        """Return whether the column's type alone says that every row keeps the rule."""
        word, name, *_ = rule.check
        return word == "format" and self.types[name] != "STRING"

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
            return self._bit(f"COALESCE({self._among(*parts)}, FALSE)")
        return self._check(tree)

    def _check(self, tree: Tree) -> str:
        word, *parts = tree
        if word == "or":
            return "(" + " OR ".join(self._check(part) for part in parts) + ")"
        if word == "!=":
            return f"(NOT {self._check(['=', *parts])})"
        return self._bit(self._condition(word, *parts))

    def _bit(self, condition: str) -> str:
        """Return a condition, or where a pattern has it."""
        if self._bits is None or condition == "TRUE":
            return condition
        word, bit = divmod(len(self._bits), BITS)
        return self._bits.setdefault(condition, f"((t.x_bits{word} & {1 << bit}) <> 0)")

    def _condition(self, word: str, *parts: Any) -> str:
        match word:
            case "=":
                return self._equal(*parts)
            case "in":
                return f"({self.column(parts[0])} IS NULL OR {self._among(*parts)})"
            case "national_currency":
                return self._condition("in", parts[0], self._currencies)
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

    def _among(self, name: str, values: Sequence[str]) -> str:
        if len(values) > FEW:
            return f"{self.column(name)} IN UNNEST({self._value(list(values))})"
        return f"{self.column(name)} IN ({', '.join(map(self._value, values))})"

    def _equal(self, name: str, value: Any) -> str:
        column = self.column(name)
        if value is None:
            return f"({column} IS NULL)"
        value = Decimal(value) if self.types[name] in DECIMALS else value
        return f"({column} IS NOT DISTINCT FROM {self._value(value)})"

    def may_be_blank(self, name: str) -> str:
        """Return the condition that a text has to be looked at: what begins with a letter or digit is not blank."""
        return f"{self.column(name)} < '!'"

    def _formatted(self, name: str, form: str) -> str:
        column = self.column(name)
        if self.types[name] != "STRING":
            return "TRUE"  # its type is a rule of its own, and has no other form
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

    def patterns(self, rules: Mapping[str, Rule], applying: Mapping[str, Tree], table: str, where: str) -> str:
        """Return the query that counts rows: all as `n`, those that break the `rules` and those to which the conditions
        of `applying` apply, by their names.

        Rules share most of their conditions. Each condition is looked at once for each row and becomes a bit; rows have
        few patterns of bits, and the rules are asked of these.
        """
        self._bits = {}
        asked = {name: self.broken(rule) for name, rule in rules.items()}
        asked |= {name: self.applies(tree) for name, tree in applying.items()}
        bits, self._bits = list(self._bits), None
        words = [bits[start : start + BITS] for start in range(0, len(bits), BITS)]
        patterns = ", ".join(
            " + ".join(f"CAST({condition} AS INT64) * {1 << bit}" for bit, condition in enumerate(word))
            + f" AS x_bits{number}"
            for number, word in enumerate(words)
        )
        grouped = ", ".join(f"x_bits{number}" for number in range(len(words)))
        rows = (
            f"SELECT {patterns}, COUNT(*) AS x_rows FROM {bigquery_name(table)} AS t WHERE {where} GROUP BY {grouped}"
        )
        counts = ", ".join(f"SUM(IF({condition}, t.x_rows, 0)) AS {name}" for name, condition in asked.items())
        return f"SELECT COALESCE(SUM(t.x_rows), 0) AS n, {counts} FROM ({rows}) AS t"

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
