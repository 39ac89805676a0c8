"""`focus.allocate`: charges by day and by the team that they belong to → `unified_cost_daily`.

The rules are `system/allocation.yml`. All days of the run are recomputed from the charges that cover them, so a charge
for a month has a part on each of its days, and cost that belongs to no team appears without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import orjson

from convergence.config.files.allocation import AllocationRule, load_allocation, plain_key
from convergence.domain.money import exact_text
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Parameter
from convergence.processors.settings import Destination, Settings, settings, table_of

PROCEDURE: Final = "sp_unified_allocate_cost"
CHARGES: Final = "cost_data_standard_1_3"
_RATIO: Final = Decimal("1E-15")  # as the procedure rounds its own


class AllocateProcessor:
    """Calls the procedure with the rules, for the days of the run."""

    config_model = Settings
    destination_model = Destination
    fixed_table = "unified_cost_daily"

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return rows, and the cost that each rule gave to teams, and to none."""
        settings(Settings, step_config)
        table = table_of(step_config, self.fixed_table)
        rules = load_allocation(context.configs_dir, context.org_slug).allocation
        for name in (CHARGES, table):
            await context.warehouse.ensure_table(name)
        texts = {
            "p_org_slug": context.org_slug,
            "p_pipeline_id": context.pipeline_id,
            "p_credential_id": context.credential_id,
            "p_run_id": context.run_id,
            "p_rules": rules_text(rules),
        }
        days = {"p_start_date": context.start_date, "p_end_date": context.end_date}
        arguments = {name: Parameter("STRING", text) for name, text in texts.items()}
        arguments |= {name: Parameter("DATE", day) for name, day in days.items()}
        answer = await context.warehouse.call(PROCEDURE, arguments, repeatable=True)
        return {
            "status": SUCCESS,
            "rows_processed": answer.rows_affected,
            "rows_written": answer.rows_affected,
            "table": table,
            "allocated": [
                {
                    "rule": row["rule"],
                    "currency": row["currency"],
                    "cost": exact_text(row["cost"] - row["unallocated"]),
                    "unallocated": exact_text(row["unallocated"]),
                }
                for row in answer.rows
            ],
            "warnings": _idle(rules, {row["rule"] for row in answer.rows}, context) if answer.rows else [],
        }


def rules_text(rules: Sequence[AllocationRule]) -> str:
    """Return the rules as the procedure reads them. Ratios are text: they stay exact."""
    return orjson.dumps({"rules": [_rule(number, rule) for number, rule in enumerate(rules)]}).decode()


def _rule(number: int, rule: AllocationRule) -> dict[str, Any]:
    used = rule.split_by_usage
    field = {"hierarchy": "hierarchy", "tag": f"tag:{plain_key(rule.team_of_tag or '')}"}.get(rule.method, "")
    return {
        "number": number,
        "name": rule.name,
        "method": rule.method,
        "team": rule.team,
        "field": field,  # the fact whose value names the team
        "from": rule.from_,
        "to": rule.to,
        "facts": [{"field": name, "values": values} for name, values in rule.when.asked().items()],
        "shares": [{"team": team, "low": low, "high": high} for team, low, high in _portions(rule)],
        "usage": used and {"unit": used.unit, "providers": used.providers, "services": used.services},
    }


def _portions(rule: AllocationRule) -> Iterator[tuple[str, str, str]]:
    """Yield each team with the ratios at which its portion of a charge begins and ends."""
    if rule.split_by_share is None:
        return
    done = 0
    for team, parts in rule.split_by_share.teams.items():
        low, high = (
            str((Decimal(part) / rule.split_by_share.of).quantize(_RATIO, ROUND_HALF_UP))
            for part in (done, done + parts)
        )
        yield team, low, high
        done += parts


def _idle(rules: Sequence[AllocationRule], used: set[str], context: Context) -> list[str]:
    """Name the rules of these days that fit no charge: a name in them may be misspelt."""
    first, last = context.start_date.isoformat(), context.end_date.isoformat()
    return [
        f"the allocation rule {rule.name} matches no charge of {first} to {last}; compare its names with the charges"
        for rule in rules
        if rule.when.asked() and rule.name not in used and rule.from_ <= last and first <= rule.to
    ]


def get_engine() -> AllocateProcessor:
    """Return the processor."""
    return AllocateProcessor()
