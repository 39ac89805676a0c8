"""Checks rows against all rules, and reports for each one: passed, failed, waived or skipped, with examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from convergence.config.files.schemas.folder import TableSchemas
from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import Context
from convergence.processors.focus.counts import Counting, columns_of
from convergence.processors.focus.rules import OF_COLUMNS, Rule, RuleSet
from convergence.processors.focus.settings import GateSettings, Policy, Waiver
from convergence.processors.focus.slices import Slice
from convergence.processors.focus.sql import KINDS, Rows

EXAMPLES_MAX: Final = 3
VALUE_MAX: Final = 100
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
                f"config.waivers: {waiver.rule} was waived until {waiver.expires} ({waiver.reason}): {waiver.owner}"
                " must remove the waiver, or renew it with a later day"
            )


async def check(options: GateSettings, rules: RuleSet, chosen: Slice, visible: str, context: Context) -> Verdict:
    """Check the candidates of this run. `visible`: the table of charges that they join."""
    table = options.candidates
    schema = TableSchemas(context.configs_dir).get(table)
    sql = Rows({column.name: column.type for column in schema.columns}, rules.currencies)
    reasons = {rule.id: _inapplicable(rule, options, sql.types) for rule in rules.rules}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    asked = [rule for rule in rules.rules if rule.id not in skipped and rule.check[0] not in OF_COLUMNS]
    rows, counted = await Counting(sql, table, visible, chosen, context).counts(asked)
    found: dict[str, tuple[int, str]] = {}  # rule → rows that break it, detail
    for rule in asked:
        if rule.id in counted:
            detail = await _examples(rule, options, sql, chosen, context) if rule.names_rows else rule.text
            found[rule.id] = counted[rule.id], detail
    for rule in rules.rules:
        if rule.id not in skipped and (message := _column(rule, sql.types)):
            found[rule.id] = rows, message
    broken_by = {rule.id: sql.broken(rule) for rule in asked if rule.id in found and rule.names_rows}
    waived = {waiver.rule: waiver for waiver in options.waivers}
    outcomes = (_outcome(rule, found, skipped, broken_by, waived, options) for rule in rules.rules)
    return Verdict(rows, tuple(outcomes), sql)


def _inapplicable(rule: Rule, options: GateSettings, types: Mapping[str, str]) -> str:
    """Return why a rule is not checked; '' for one that is."""
    if not set(rule.criteria).isdisjoint(options.not_supported):
        return "the source does not support it"
    if rule.check[0] == "present":
        return ""
    missing = sorted(name for name in columns_of(rule) if name not in types)
    return f"there is no column {', '.join(missing)}" if missing else ""


def _column(rule: Rule, types: Mapping[str, str]) -> str:
    """Return what is wrong with the column as a whole; '' if nothing is."""
    word, name, *kind = rule.check
    if word == "present" and name not in types:
        return "the table has no such column"
    if word == "type" and types[name] not in KINDS[kind[0]]:
        return f"the column is {types[name]}"
    return ""


async def _examples(rule: Rule, options: GateSettings, sql: Rows, chosen: Slice, context: Context) -> str:
    """Name some rows that break a rule: charge, raw row, value."""
    column = f"CAST({sql.column(rule.column)} AS STRING)"
    query = (
        f"SELECT t.x_ChargeId AS charge, t.x_SourceTable AS source, t.x_SourceRowId AS row_id, {column} AS value"
        f" FROM {bigquery_name(options.candidates)} AS t WHERE {chosen.mine} AND {sql.broken(rule)}"
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
