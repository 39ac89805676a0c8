"""Rules as SQL: the condition under which a row (of the alias t) breaks a rule, and the queries of groups of rows.

Every part is TRUE or FALSE, never NULL. Values are passed as query parameters. `["in", …]` as a check lets NULL pass,
because nullability has separate rules; as a condition it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from convergence.domain.sql_names import bigquery_name
from convergence.ports.warehouse import Parameter
from convergence.processors.focus.conditions import Condition, comparisons, joined, negated, replaced, written
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
# Checks that cost more than a comparison: each value is checked once, however many rows have it.
COSTLY: Final = frozenset({"in", "pairs", "national_currency", "format", "product"})
FEW: Final = 8  # comparing values is as fast as grouping them
BITS: Final = 62  # of an INT64
# Price times quantity may differ from the cost by so much, times the cost where that is more than 1 (focus-validator).
TOLERANCE: Final = "1e-9"


class Rows:
    """Makes SQL for rows of one table, and collects the parameters that it needs."""

    def __init__(self, types: Mapping[str, str], currencies: Sequence[str]) -> None:
        self.types, self._currencies = types, list(currencies)
        self.parameters: dict[str, Parameter] = {}

    def always(self, rule: Rule) -> bool:
        """Return whether the column's type alone ensures that every row keeps the rule."""
        word, name, *_ = rule.check
        return word == "format" and self.types[name] != "STRING"

    def broken(self, rule: Rule) -> str:
        """Return the SQL of `breaking`."""
        return written(self.breaking(rule))

    def breaking(self, rule: Rule) -> Condition:
        """Return the condition that a row breaks the rule. Raises `KeyError` for a column that the table lacks."""
        applying = True if rule.when is None else self.applying(rule.when)
        return joined("AND", [applying, negated(self._holding(rule.check))])

    def applying(self, tree: Tree) -> Condition:
        """Return the condition that a tree has."""
        word, *parts = tree
        if word in ("and", "or"):
            return joined("AND" if word == "and" else "OR", map(self.applying, parts))
        return self._known(parts[0], self._among(*parts)) if word == "in" else self._holding(tree)

    def _holding(self, tree: Tree) -> Condition:
        word, *parts = tree
        if word == "or":
            return joined("OR", map(self._holding, parts))
        if word == "!=":
            return negated(self._holding(["=", *parts]))
        if word == "format" and self.types[parts[0]] != "STRING":
            return True  # its type is a rule of its own, and has no other form
        return self._comparison(word, *parts)

    def _comparison(self, word: str, *parts: Any) -> str:
        match word:
            case "=":
                return self._equal(*parts)
            case "in":
                return f"({self.column(parts[0])} IS NULL OR {self._among(*parts)})"
            case "national_currency":
                return self._comparison("in", parts[0], self._currencies)
            case "pairs":
                first, second = self.column(parts[0]), self.column(parts[1])
                pairs = self._value([f"{one}\n{other}" for one, other in parts[2]])
                return f"({first} IS NULL OR COALESCE(CONCAT({first}, '\\n', {second}) IN UNNEST({pairs}), FALSE))"
            case "format":
                pattern = self._value(PATTERNS[parts[1]])
                return f"COALESCE(REGEXP_CONTAINS({self.column(parts[0])}, {pattern}), TRUE)"
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
        return self._known(name, f"{column} = {self._value(value)}")

    def _known(self, name: str, comparison: str) -> str:
        """Return a comparison that is FALSE without a value; if no row has one, no check is needed."""
        return f"({self.column(name)} IS NOT NULL AND {comparison})"

    def may_be_blank(self, name: str) -> str:
        """Return the condition that a text has to be checked: one that begins with a letter or digit is not blank."""
        return f"{self.column(name)} < '!'"

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

    def each(self, made: Mapping[str, str], table: str, where: str) -> str:
        """Return the query that counts rows: all as `n`, and by its name those of which a comparison is TRUE."""
        counts = "".join(f", COUNTIF({comparison}) AS {name}" for name, comparison in made.items())
        return f"SELECT COUNT(*) AS n{counts} FROM {bigquery_name(table)} AS t WHERE {where}"

    def patterns(self, conditions: Mapping[str, Condition], table: str, where: str) -> str:
        """Return the query that counts the rows that have each of these conditions, by their names.

        They share most of their comparisons. Each comparison is made once for each row and becomes a bit; rows have few
        patterns of bits, and the conditions are evaluated on these.
        """
        found = dict.fromkeys(each for condition in conditions.values() for each in comparisons(condition))
        bits = {each: f"((t.x_bits{i // BITS} & {1 << i % BITS}) <> 0)" for i, each in enumerate(found)}
        words = [list(bits)[start : start + BITS] for start in range(0, len(bits), BITS)]
        patterns = ", ".join(
            " + ".join(f"CAST({each} AS INT64) * {1 << bit}" for bit, each in enumerate(word)) + f" AS x_bits{number}"
            for number, word in enumerate(words)
        )
        grouped = ", ".join(f"x_bits{number}" for number in range(len(words)))
        rows = (
            f"SELECT {patterns}, COUNT(*) AS x_rows FROM {bigquery_name(table)} AS t WHERE {where} GROUP BY {grouped}"
        )
        counts = ", ".join(
            f"SUM(IF({written(replaced(condition, bits.__getitem__))}, t.x_rows, 0)) AS {name}"
            for name, condition in conditions.items()
        )
        return f"SELECT {counts} FROM ({rows}) AS t"

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
        chosen = where if rule.when is None else f"{where} AND {written(self.applying(rule.when))}"
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
                if len(parts[0]) == 1:  # the same, in less time
                    more = f"COUNT({keys}) - COUNT(DISTINCT {keys}) + GREATEST(COUNTIF({keys} IS NULL) - 1, 0)"
                    return f"SELECT {more} AS n FROM {rows}"
                twice = f"SELECT COUNT(*) - 1 AS more FROM {rows} GROUP BY {keys} HAVING COUNT(*) > 1"
                return f"SELECT COALESCE(SUM(more), 0) AS n FROM ({twice})"
            case "apart":
                columns = [self.column(name) for name in parts[0]]
                of_each = "PARTITION BY " + ", ".join(f"k{number}" for number in range(len(columns)))
                named = "".join(f", {column} AS k{number}" for number, column in enumerate(columns))
                start, end = map(self.column, parts[1:])
                spans = f"SELECT DISTINCT {start} AS first, {end} AS past{named} FROM {rows}"
                earlier = "ORDER BY first, past ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
                over = f"{of_each} {earlier}" if columns else earlier
                ends = f"SELECT first, MAX(past) OVER ({over}) AS reached FROM ({spans})"
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
