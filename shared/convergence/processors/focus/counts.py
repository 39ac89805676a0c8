"""Counts the rows that break each rule: cheap checks run on all rows at once, others on values and on suspect rows.

- Rules about single rows share most of their comparisons. Each comparison is counted separately first: one that holds
  for all rows, or for none, is decided, and with it most rules. The others become bits, and the remaining rules are
  evaluated on the few patterns of bits that occur.
- Text patterns and long lists are checked once for each value, and not at all if no row has a value.
- Blank text is searched for among the values that sort before all other characters.
- A rule about several rows is evaluated only where it applies to any, and after a simpler one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from convergence.domain.sql_names import bigquery_name
from convergence.ports.processor import Context
from convergence.processors.focus.conditions import Condition, comparisons, joined, replaced
from convergence.processors.focus.rules import OF_GROUPS, Rule
from convergence.processors.focus.slices import Slice
from convergence.processors.focus.sql import COSTLY, FEW, NOT_BLANK, Rows

COLUMNS_MAX: Final = 3  # whose values are checked together
LAST: Final = (1, 3)  # parts of the content of a row that are compared before all of it
PERIOD_DAYS: Final = 62  # how far days of one billing period may lie apart


@dataclass(frozen=True, slots=True)
class Counting:
    """Counts the candidates of a slice in `table`; `visible` is the table of charges that they join."""

    sql: Rows
    table: str
    visible: str
    chosen: Slice
    context: Context

    async def counts(self, rules: Sequence[Rule]) -> tuple[int, dict[str, int]]:
        """Return the number of rows, and for each broken rule, by id, how many rows break it."""
        named = {f"r{number}": rule for number, rule in enumerate(rules) if not self.sql.always(rule)}
        plain, blank, by_value, groups = _sorted(named)
        valued = {f"v_{number}": self._valued(some.values()) for number, some in enumerate(by_value.values())}
        asked = {name: self.sql.breaking(rule) for name, rule in plain.items()} | valued
        asked |= {name: self._about(rule) for name, rule in groups.items()}
        suspects = {name: self.sql.may_be_blank(rule.check[1]) for name, rule in blank.items()}
        rows, row = await self._of_rows(asked, suspects)
        row |= await self._blank({name: rule for name, rule in blank.items() if row.pop(name)})
        for present, (columns, some) in zip(valued, by_value.items(), strict=True):
            if row[present]:
                row |= await self.one(self.sql.values(some, columns, self.table, self.chosen.mine))
        for name, rule in groups.items():
            row[name] = await self._of_groups(rule) if row[name] else 0
        return rows, {rule.id: int(row[name]) for name, rule in named.items() if row.get(name)}

    async def one(self, query: str) -> Mapping[str, Any]:
        """Return the one row of a query over the candidates."""
        given = self.chosen.parameters(query, self.sql.parameters)
        (row,) = (await self.context.warehouse.query(query, given)).rows
        return row

    async def _of_rows(self, asked: Mapping[str, Condition], suspects: Mapping[str, str]) -> tuple[int, dict[str, int]]:
        """Return how many rows there are, and how many have each of these conditions, by their names."""
        made = dict.fromkeys(each for condition in asked.values() for each in comparisons(condition))
        counted = {f"c{number}": each for number, each in enumerate(made)}
        found = await self.one(self.sql.each({**counted, **suspects}, self.table, self.chosen.mine))
        rows, having = int(found["n"]), {each: int(found[name]) for name, each in counted.items()}
        # A condition that no row or every row meets is known for each row.
        known = {each: number == rows for each, number in having.items() if number in (0, rows)}
        row = {name: int(found[name]) for name in suspects}
        left: dict[str, Condition] = {}
        for name, condition in asked.items():
            match replaced(condition, lambda each: known.get(each, each)):
                case bool(holds):
                    row[name] = rows if holds else 0
                case str(comparison):
                    row[name] = having[comparison]
                case rest:
                    left[name] = rest
        if left:
            row |= await self.one(self.sql.patterns(left, self.table, self.chosen.mine))
        return rows, row

    def _valued(self, rules: Iterable[Rule]) -> Condition:
        """Return the condition that a row has a value that one of these costly checks looks at: they let NULL pass."""
        names = sorted({rule.check[1] for rule in rules})
        return joined("OR", [self.sql.applying(["!=", name, None]) for name in names])

    def _about(self, rule: Rule) -> Condition:
        """Return the condition that a rule about several rows applies to a row."""
        word, *parts = rule.check
        keyed = self.sql.applying(["!=", parts[0], None]) if word == "one_per" else True
        return joined("AND", [keyed, True if rule.when is None else self.sql.applying(rule.when)])

    async def _blank(self, rules: Mapping[str, Rule]) -> Mapping[str, Any]:
        if not rules:
            return {}
        broken = {name: self.sql.broken(rule) for name, rule in rules.items()}
        return await self.one(self.sql.each(broken, self.table, self.chosen.mine))

    async def _of_groups(self, rule: Rule) -> int:
        for simpler in _narrowed(rule):
            if not await self._grouped(simpler):
                return 0
        found = await self._grouped(rule)
        if found and rule.check[0] == "linked":  # its charge may be on another day of the billing period
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
    for columns in list(by_value):  # rules about a part of other rules' columns are checked with these
        wider = next((each for each in by_value if set(columns) < set(each)), None)
        if wider is not None:
            by_value[wider] |= by_value.pop(columns)
    return plain, blank, by_value, groups


def _is_costly(rule: Rule) -> bool:
    word, *parts = rule.check
    return word in COSTLY and not (word == "in" and len(parts[1]) <= FEW)


def _narrowed(rule: Rule) -> Iterator[Rule]:
    """Yield quicker rules, each of which is broken wherever this one is.

    Rows that have the same content have the same last parts of it; periods that overlap for one account overlap.
    """
    word, *parts = rule.check
    if word == "apart":
        yield replace(rule, check=[word, [], *parts[1:]])
    elif word == "unique":
        for last in (each for each in LAST if each < len(parts[0])):
            yield replace(rule, check=[word, parts[0][-last:]])
