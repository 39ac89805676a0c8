"""Checks rows by all rules: one aggregation over the rows, one small query for each rule about groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from convergence.config.files.table_schema import TableSchemas
from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import Context
from convergence.processors.focus.rules import OF_GROUPS, Rule, RuleSet
from convergence.processors.focus.settings import GateSettings, Policy, Waiver
from convergence.processors.focus.slices import Slice
from convergence.processors.focus.sql import COSTLY, KINDS, NOT_BLANK, Rows

EXAMPLES_MAX: Final = 3
COLUMNS_MAX: Final = 3  # whose values are looked at together
FEW: Final = 8  # values are compared as quickly as they are grouped
VALUE_MAX: Final = 100
PERIOD_DAYS: Final = 62  # how far days of one billing period may lie apart
Status = Literal["passed", "failed", "waived", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule found. `broken` is the condition of rows that break it, where it is about single rows."""

    rule: Rule
    status: Status
    policy: Policy
    rows_failed: int = 0
    detail: str = ""
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcomes of all rules on `rows` rows; `sql` has the parameters of their conditions."""

    rows: int
    outcomes: tuple[Outcome, ...]
    sql: Rows

    def failed(self, policy: Policy) -> list[Outcome]:
        """Return the rules that are broken and have this policy."""
        return [each for each in self.outcomes if each.status == "failed" and each.policy == policy]

    def count(self, status: Status) -> int:
        """Return how many rules have this status."""
        return sum(each.status == status for each in self.outcomes)


def refuse_mistakes(options: GateSettings, rules: RuleSet, today: date) -> None:
    """Raise `StepFailed` for a rule that does not exist, a quarantine without rows, and a waiver that has expired."""
    known = {rule.id: rule for rule in rules.rules}
    for place, name in [
        *(("policy", name) for name in options.policy),
        *(("waivers", waiver.rule) for waiver in options.waivers),
    ]:
        if name not in known:
            raise StepFailed(f"config.{place}: there is no rule {name!r}.{did_you_mean(name, known)}")
    for name, policy in options.policy.items():
        if policy == "quarantine" and not known[name].names_rows:
            raise StepFailed(f"config.policy.{name}: the rule does not say which rows break it: stop, or warn")
    for waiver in options.waivers:
        if waiver.expires < today:
            raise StepFailed(
                f"config.waivers: {waiver.rule} was waived until {waiver.expires} ({waiver.reason}): {waiver.owner} has"
                " to remove the waiver, or to renew it with a later day"
            )


async def check(options: GateSettings, rules: RuleSet, chosen: Slice, visible: str, context: Context) -> Verdict:
    """Check the candidates of this run. `visible`: the table of charges that stand beside them."""
    table = options.candidates
    schema = TableSchemas(context.configs_dir).get(table)
    sql = Rows({column.name: column.type for column in schema.columns}, rules.currencies)
    asked: dict[str, tuple[Rule, str]] = {}
    groups: list[Rule] = []
    found: dict[str, tuple[int, str]] = {}  # rule → rows that break it, detail
    skipped: dict[str, str] = {}
    for number, rule in enumerate(rules.rules):
        reason = _inapplicable(rule, options, sql.types)
        if reason:
            skipped[rule.id] = reason
        elif rule.check[0] in OF_GROUPS:
            groups.append(rule)
        elif rule.names_rows:
            asked[f"r{number}"] = (rule, sql.broken(rule))
    row = await _counts(asked, table, sql, chosen, context)
    rows = int(row["n"])
    for name, (rule, broken) in asked.items():
        if row[name]:
            found[rule.id] = int(row[name]), await _examples(rule, broken, options, sql, chosen, context)
    for rule in groups:
        counted = await _one(sql.groups(rule, table, chosen.mine), sql, chosen, context)
        if counted["n"] and rule.check[0] == "linked":  # its charge may be of another day of the billing period
            counted = await _one(sql.groups(rule, table, chosen.mine, _beside(visible, chosen)), sql, chosen, context)
        if counted["n"]:
            found[rule.id] = int(counted["n"]), rule.text
    for rule in rules.rules:
        if rule.id not in skipped and (message := _column(rule, sql.types)):
            found[rule.id] = rows, message
    broken_by = {rule.id: broken for rule, broken in asked.values()}
    waived = {waiver.rule: waiver for waiver in options.waivers}
    outcomes = (_outcome(rule, found, skipped, broken_by, waived, options) for rule in rules.rules)
    return Verdict(rows, tuple(outcomes), sql)


def _beside(table: str, chosen: Slice) -> str:
    """Return FROM and WHERE of the visible charges (of the alias t) that stay when the candidates are published."""
    return (
        f"FROM {bigquery_name(table)} AS t WHERE t.x_org_slug = @org_slug AND t.x_pipeline_run_date BETWEEN"
        f" DATE_SUB(@first_day, INTERVAL {PERIOD_DAYS} DAY) AND DATE_ADD(@last_day, INTERVAL {PERIOD_DAYS} DAY)"
        f" AND ({chosen.replaced('t')}) IS NOT TRUE"
    )


async def _counts(
    asked: Mapping[str, tuple[Rule, str]], table: str, sql: Rows, chosen: Slice, context: Context
) -> Mapping[str, Any]:
    """Return how many rows there are as `n`, and how many break each rule: by its name in `asked`."""
    by_value: dict[tuple[str, ...], dict[str, Rule]] = {}
    plain: list[str] = []
    for name, (rule, broken) in asked.items():
        columns = tuple(sorted(_columns(rule)))
        if _is_costly(rule) and len(columns) <= COLUMNS_MAX:
            by_value.setdefault(columns, {})[name] = rule
        else:
            plain.append(f"COUNTIF({broken}) AS {name}")
    select = f"SELECT {', '.join(['COUNT(*) AS n', *plain])} FROM {bigquery_name(table)} AS t WHERE {chosen.mine}"
    row = dict(await _one(select, sql, chosen, context))
    for columns, rules in by_value.items():
        row |= await _one(sql.values(rules, columns, table, chosen.mine), sql, chosen, context)
    return row


def _is_costly(rule: Rule) -> bool:
    word, *parts = rule.check
    return (
        word in COSTLY
        and not (word == "in" and len(parts[1]) <= FEW)
        and not (word == "format" and parts[1] in NOT_BLANK)
    )


async def _one(query: str, sql: Rows, chosen: Slice, context: Context) -> Mapping[str, Any]:
    """Return the one row of a query over the candidates."""
    (row,) = (await context.warehouse.query(query, chosen.parameters(query, sql.parameters))).rows
    return row


def _inapplicable(rule: Rule, options: GateSettings, types: Mapping[str, str]) -> str:
    """Return why a rule is not asked; '' for one that is."""
    if not set(rule.criteria).isdisjoint(options.not_supported):
        return "the source does not support it"
    if rule.check[0] == "present":
        return ""
    missing = sorted(name for name in _columns(rule) if name not in types)
    return f"there is no column {', '.join(missing)}" if missing else ""


def _columns(rule: Rule) -> set[str]:
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


def _column(rule: Rule, types: Mapping[str, str]) -> str:
    """Return what is wrong with the column as a whole; '' when nothing is."""
    word, name, *kind = rule.check
    if word == "present" and name not in types:
        return "the table has no such column"
    if word == "type" and types[name] not in KINDS[kind[0]]:
        return f"the column is {types[name]}"
    return ""


async def _examples(rule: Rule, broken: str, options: GateSettings, sql: Rows, chosen: Slice, context: Context) -> str:
    """Name some rows that break a rule: charge, raw row, value."""
    column = f"CAST({sql.column(rule.column)} AS STRING)"
    query = (
        f"SELECT t.x_ChargeId AS charge, t.x_SourceTable AS source, t.x_SourceRowId AS row_id, {column} AS value"
        f" FROM {bigquery_name(options.candidates)} AS t WHERE {chosen.mine} AND {broken}"
        f" ORDER BY charge, row_id LIMIT {EXAMPLES_MAX}"
    )
    found = (await context.warehouse.query(query, chosen.parameters(query, sql.parameters))).rows
    field = f", {options.fields[rule.column]!r} in the source" if rule.column in options.fields else ""
    rows = "; ".join(
        f"charge {row['charge']} (from {row['source']} {row['row_id']}): {_shown(row['value'])}" for row in found
    )
    return f"{rule.column}{field}: {rows}"


def _shown(value: str | None) -> str:
    return "no value" if value is None else repr(value[:VALUE_MAX])


def _outcome(
    rule: Rule,
    found: Mapping[str, tuple[int, str]],
    skipped: Mapping[str, str],
    broken: Mapping[str, str],
    waived: Mapping[str, Waiver],
    options: GateSettings,
) -> Outcome:
    policy = options.policy.get(rule.id, "stop" if rule.level == "must" else "warn")
    if rule.id in skipped:
        return Outcome(rule, "skipped", policy, detail=skipped[rule.id])
    if rule.id not in found:
        return Outcome(rule, "passed", policy)
    rows, detail = found[rule.id]
    waiver = waived.get(rule.id)
    if waiver is not None:
        text = f"waived until {waiver.expires} by {waiver.owner}: {waiver.reason}; {detail}"
        return Outcome(rule, "waived", policy, rows, text)
    return Outcome(rule, "failed", policy, rows, detail, broken.get(rule.id, ""))
