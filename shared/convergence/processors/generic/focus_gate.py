"""`generic.focus_gate`: FOCUS charges are checked before they become visible → destination, `org_meta_focus_results`.

Charges that a step has written to `cost_data_candidate_1_3` are checked by the rules of FOCUS 1.3 and by our own. A
rule that is broken stops the step, sets its rows aside, or warns; what passes replaces the source's days in the
destination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.config.files.providers import load_providers
from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import WriteMode
from convergence.processors.balance import balanced
from convergence.processors.focus.check import Outcome, Verdict, check, refuse_mistakes
from convergence.processors.focus.hierarchy import assign_hierarchy
from convergence.processors.focus.publish import publish
from convergence.processors.focus.rules import RuleSet, load_rules
from convergence.processors.focus.settings import GateSettings
from convergence.processors.focus.slices import Slice, slice_of
from convergence.processors.focus.sources import of_source
from convergence.processors.genai.commitment_cost import SELLERS
from convergence.processors.quarantine import TABLE as QUARANTINE
from convergence.processors.quarantine import digests
from convergence.processors.settings import Destination, settings, table_of

RESULTS: Final = "org_meta_focus_results"
CANDIDATES: Final = "cost_data_candidate_1_3"
SUMMARY: Final = "*"  # the row of `RESULTS` for all rules together
ROWS_ASIDE_MAX: Final = 100_000
SHOWN_MAX: Final = 10


class GateProcessor:
    """All rules are checked and the verdict is recorded before anything becomes visible."""

    config_model = GateSettings
    destination_model = Destination
    fixed_table = "cost_data_standard_1_3"

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Check and publish. Raises `StepFailed` that names the rules that stop the charges."""
        options = settings(GateSettings, step_config)
        table = table_of(step_config, self.fixed_table)
        provider = options.source or context.provider
        options = of_source(options, context.configs_dir, provider)
        rules = load_rules(context.configs_dir, _issuers(context))
        refuse_mistakes(options, rules, context.now().date())
        for name in (options.candidates, table, QUARANTINE, RESULTS):
            await context.warehouse.ensure_table(name)
        chosen = await slice_of(
            context, options.candidates, table, kind=options.kind, provider=provider, bill_table=options.bill_table
        )
        if options.candidates == CANDIDATES:
            await assign_hierarchy(context, chosen)
        verdict = await check(options, rules, chosen, table, context)
        await _record(verdict, rules, provider, context)
        if stopping := verdict.failed("stop"):
            raise StepFailed(
                f"{provider}: {len(stopping)} FOCUS rules stop {verdict.rows} charges, nothing was published:"
                f" {_sentence(stopping)}. Correct the source; or set config.policy, or waive a rule, by its id"
            )
        aside = verdict.failed("quarantine")
        left_out = " OR ".join(each.broken for each in aside) or "FALSE"
        rows_aside = await _set_aside(aside, left_out, verdict, chosen, options, context) if aside else 0
        parameters = verdict.sql.parameters if aside else {}
        needed = {name: value for name, value in parameters.items() if f"@{name}" in left_out}
        done = await publish(context, options.candidates, table, chosen, left_out=left_out, parameters=needed)
        warned = [*verdict.failed("warn"), *aside]
        return {
            "status": SUCCESS,
            "rows_processed": verdict.rows,
            "rows_written": done.rows,
            "rows_quarantined": rows_aside,
            "rows_superseded": done.superseded,
            **balanced(
                verdict.rows,
                loaded=done.entered,
                quarantined=rows_aside,
                duplicate=done.superseded,
                filtered=done.closed,
            ),
            "table": table,
            "focus": _summary(verdict, rules, provider),
            "warnings": [f"FOCUS {_named(each)}" for each in warned[:SHOWN_MAX]],
        }


def _issuers(context: Context) -> list[str]:
    """Return the issuers of the registry and the sellers of commitments: AWS issues invoices of these alone."""
    registry = load_providers(context.configs_dir)
    known = [facts.focus.invoice_issuer for facts in registry.providers.values() if facts.focus is not None]
    return [*known, *(seller.provider for seller in SELLERS.values())]


def _summary(verdict: Verdict, rules: RuleSet, provider: str) -> dict[str, Any]:
    """Return the verdict in short: part of the step's result, of `status`, and of the demo's table."""
    failed = [each.rule.id for each in verdict.outcomes if each.status == "failed"]
    return {
        "source": provider,
        "model": rules.model,
        "verdict": _word(verdict),
        "rows": verdict.rows,
        "passed": verdict.count("passed"),
        "failed": failed,
        "waived": [each.rule.id for each in verdict.outcomes if each.status == "waived"],
        "skipped": verdict.count("skipped"),
    }


def _word(verdict: Verdict) -> str:
    if verdict.failed("stop"):
        return "stopped"
    if not verdict.rows:
        return "empty"
    return "quarantined" if verdict.failed("quarantine") else "warned" if verdict.failed("warn") else "passed"


async def _record(verdict: Verdict, rules: RuleSet, provider: str, context: Context) -> None:
    """Store one row for the verdict, and one for each rule that did not pass."""
    fixed = {"source": provider, "model": rules.model, "step_id": context.step_id, "rows_checked": verdict.rows}
    fixed |= {"checked_at": context.now()}
    rows: list[dict[str, Any]] = [
        {
            **fixed,
            "rule_id": SUMMARY,
            "status": _word(verdict),
            "rows_failed": 0,
            "detail": f"{verdict.count('passed')} rules passed, {verdict.count('failed')} failed,"
            f" {verdict.count('waived')} waived, {verdict.count('skipped')} skipped",
        }
    ]
    rows += [
        {
            **fixed,
            "rule_id": each.rule.id,
            "column_name": each.rule.column,
            "status": each.status,
            "policy": each.policy,
            "rows_failed": each.rows_failed,
            "detail": f"{each.rule.text} {each.detail}",
        }
        for each in verdict.outcomes
        if each.status != "passed"
    ]
    stage = context.warehouse.stage(RESULTS)
    await stage.write(0, rows)
    # Every execution is a separate check, so a replay adds its own results.
    await context.warehouse.load(stage, dates=None, mode=WriteMode.APPEND, repeatable=True)


async def _set_aside(
    broken: list[Outcome], left_out: str, verdict: Verdict, chosen: Slice, options: GateSettings, context: Context
) -> int:
    """Copy the rows that are not published into the quarantine table, with the ids of the rules that they break."""
    names = {f"b{number}": each for number, each in enumerate(broken)}
    flags = ", ".join(f"{each.broken} AS {name}" for name, each in names.items())
    sql = (
        f"SELECT TO_JSON_STRING(t) AS row_json, {flags} FROM {bigquery_name(options.candidates)} AS t"
        f" WHERE {chosen.mine} AND ({left_out})"
    )
    parameters = chosen.parameters(sql, verdict.sql.parameters)
    found = (await context.warehouse.query(sql, parameters, rows_max=ROWS_ASIDE_MAX + 1)).rows
    if len(found) > ROWS_ASIDE_MAX:
        raise StepFailed(f"more than {ROWS_ASIDE_MAX} charges break FOCUS rules: these are not exceptions")
    fixed = {"table_name": options.candidates, "step_id": context.step_id}
    stage = context.warehouse.stage(QUARANTINE)
    rows = zip(found, digests(row["row_json"] for row in found), strict=True)
    aside = [
        {
            **fixed,
            "reason": " ".join(each.rule.id for name, each in names.items() if row[name]),
            "row_json": row["row_json"],
            "row_digest": digest,
        }
        for row, digest in rows
    ]
    await stage.write(0, aside)
    await context.warehouse.load(
        stage, dates=None, mode=WriteMode.MERGE, key_fields=("table_name", "step_id", "row_digest")
    )
    return len(found)


def _sentence(outcomes: list[Outcome]) -> str:
    more = f"; and {len(outcomes) - SHOWN_MAX} more, see {RESULTS}" if len(outcomes) > SHOWN_MAX else ""
    return "; ".join(_named(each) for each in outcomes[:SHOWN_MAX]) + more


def _named(each: Outcome) -> str:
    return f"{each.rule.id} ({each.rule.text}): {each.rows_failed} rows, {each.detail}"


def get_engine() -> GateProcessor:
    """Return the processor."""
    return GateProcessor()
