"""How many rows break each rule: what is cheap is asked of every row at once, what is not of values and of suspects.

- Rules about single rows share most of their conditions: each condition is looked at once for each row and becomes a
  bit, and the rules are asked of the few patterns of bits that rows have.
- Patterns of text and long lists are looked at once for each value, and not at all where no row has one.
- Blank text is looked for among what sorts in front of all signs.
- A rule about several rows is asked where there are rows that it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.processors.focus.rules import OF_GROUPS, Rule, Tree
from convergence.processors.focus.slices import Slice
from convergence.processors.focus.sql import COSTLY, FEW, NOT_BLANK, Rows

COLUMNS_MAX: Final = 3  # whose values are looked at together
PERIOD_DAYS: Final = 62  # how far days of one billing period may lie apart


@dataclass(frozen=True, slots=True)
class Counting:
    """Counts the candidates of a slice in `table`; `visible` is the table of charges that stand beside them."""

    sql: Rows
    table: str
    visible: str
    chosen: Slice
    context: Context

    async def counts(self, rules: Sequence[Rule]) -> tuple[int, dict[str, int]]:
        """Return how many rows there are, and by the id of each rule that is broken how many rows break it."""
        named = {f"r{number}": rule for number, rule in enumerate(rules) if not self.sql.always(rule)}
        plain, blank, by_value, groups = _sorted(named)
        valued = {f"v_{number}": _valued(some.values()) for number, some in enumerate(by_value.values())}
        about = {name: _about(rule) for name, rule in groups.items()}
        row = dict(await self.one(self.sql.patterns(plain, {**valued, **about}, self.table, self.chosen.mine)))
        row |= await self._blank(blank)
        for present, (columns, some) in zip(valued, by_value.items(), strict=True):
            if row[present]:
                row |= await self.one(self.sql.values(some, columns, self.table, self.chosen.mine))
        for name, rule in groups.items():
            row[name] = await self._of_groups(rule) if row[name] else 0
        return int(row["n"]), {rule.id: int(row[name]) for name, rule in named.items() if row.get(name)}

    async def one(self, query: str) -> Mapping[str, Any]:
        """Return the one row of a query over the candidates."""
        given = self.chosen.parameters(query, self.sql.parameters)
        (row,) = (await self.context.warehouse.query(query, given)).rows
        return row

    async def _blank(self, rules: Mapping[str, Rule]) -> Mapping[str, Any]:
        if not rules:
            return {}
        rows = f"FROM {bigquery_name(self.table)} AS t WHERE {self.chosen.mine}"
        suspects = ", ".join(
            f"COUNTIF({self.sql.may_be_blank(rule.check[1])}) AS {name}" for name, rule in rules.items()
        )
        found = await self.one(f"SELECT {suspects} {rows}")
        left = {name: rule for name, rule in rules.items() if found[name]}
        if not left:
            return {}
        counts = ", ".join(f"COUNTIF({self.sql.broken(rule)}) AS {name}" for name, rule in left.items())
        return await self.one(f"SELECT {counts} {rows}")

    async def _of_groups(self, rule: Rule) -> int:
        alike = _narrowed(rule)
        if alike is not None and not await self._grouped(alike):
            return 0
        found = await self._grouped(rule)
        if found and rule.check[0] == "linked":  # its charge may be of another day of the billing period
            found = await self._grouped(rule, self._beside())
        return found

    async def _grouped(self, rule: Rule, beside: str = "") -> int:
        return int((await self.one(self.sql.groups(rule, self.table, self.chosen.mine, beside)))["n"])

    def _beside(self) -> str:
        """Return FROM and WHERE of the visible charges (of the alias t) that stay when the candidates are published."""
        return (
            f"FROM {bigquery_name(self.visible)} AS t WHERE t.x_org_slug = @org_slug AND t.x_pipeline_run_date BETWEEN"
            f" DATE_SUB(@first_day, INTERVAL {PERIOD_DAYS} DAY) AND DATE_ADD(@last_day, INTERVAL {PERIOD_DAYS} DAY)"
            f" AND ({self.chosen.replaced('t')}) IS NOT TRUE"
        )


def columns_of(rule: Rule) -> set[str]:
    """Return the columns that a rule reads."""

    def of(tree: Sequence[Any]) -> set[str]:
        word, *parts = tree
        match word:
            case "and" | "or":
                return {name for part in parts for name in of(part)}
            case "=" | "!=" | "in" | "format" | ">=" | "type" | "present" | "national_currency":
                return {parts[0]}
            case "pairs":
                return {parts[0], parts[1]}
            case "unique" | "linked":
                return set(parts[0])
            case "apart":
                return {*parts[0], *parts[1:]}
            case _:
                return set(parts)

    return of(rule.check) | (of(rule.when) if rule.when is not None else set())


_ByValue = dict[tuple[str, ...], dict[str, Rule]]


def _sorted(named: Mapping[str, Rule]) -> tuple[dict[str, Rule], dict[str, Rule], _ByValue, dict[str, Rule]]:
    """Return the rules that are asked of patterns, of blank text, of values (by columns), and of several rows."""
    plain: dict[str, Rule] = {}
    blank: dict[str, Rule] = {}
    groups: dict[str, Rule] = {}
    by_value: _ByValue = {}
    for name, rule in named.items():
        columns = tuple(sorted(columns_of(rule)))
        if rule.check[0] in OF_GROUPS:
            groups[name] = rule
        elif rule.check[0] == "format" and rule.check[2] in NOT_BLANK:
            blank[name] = rule
        elif _is_costly(rule) and len(columns) <= COLUMNS_MAX:
            by_value.setdefault(columns, {})[name] = rule
        else:
            plain[name] = rule
    return plain, blank, by_value, groups


def _is_costly(rule: Rule) -> bool:
    word, *parts = rule.check
    return word in COSTLY and not (word == "in" and len(parts[1]) <= FEW)


def _valued(rules: Iterable[Rule]) -> Tree:
    """Return the condition that a row has a value that one of these costly checks looks at: they let NULL pass."""
    return ["or", *(["!=", name, None] for name in sorted({rule.check[1] for rule in rules}))]


def _about(rule: Rule) -> Tree:
    """Return the condition that a row is one of those that a rule about several rows is about."""
    word, *parts = rule.check
    keyed = [["!=", parts[0], None]] if word == "one_per" else []
    return ["and", *keyed, rule.when or ["or", ["=", rule.column, None], ["!=", rule.column, None]]]


def _narrowed(rule: Rule) -> Rule | None:
    """Return a quicker rule for one about the same content under several ids: rows that have the same content have the
    same last part of it."""
    word, *parts = rule.check
    return replace(rule, check=["unique", parts[0][-1:]]) if word == "unique" and len(parts[0]) > 1 else None
