"""`subscription.plans`: the org's SaaS subscriptions, kept term by term → `saas_subscription_plans`.

`set` adds a term or replaces the one of the same first day, `remove` takes terms away, `import` reads a CSV, `list`
returns them. What would leave terms that contradict each other changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from convergence.errors import StepFailed, did_you_mean
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import LINEAGE_COLUMNS, Parameter, Row, WriteMode
from convergence.processors.settings import Destination, Settings, settings
from convergence.processors.subscription.terms import TERMS_MAX, Term, successive, term_of, terms_of_csv

TABLE: Final = "saas_subscription_plans"
KEY: Final = ("subscription_id", "starts_on")
SHOWN_MAX: Final = 100
_SQL: Final = """
SELECT * FROM saas_subscription_plans
WHERE x_org_slug = @org
QUALIFY ROW_NUMBER() OVER (PARTITION BY subscription_id, starts_on ORDER BY x_ingested_at DESC, x_run_id) = 1
ORDER BY subscription_id, starts_on
"""

Key = tuple[str, date]


class PlanSettings(Settings):
    """`action`, and what it works on: a `term`'s fields, a `csv`, or for `remove` subscription_id and starts_on."""

    action: Literal["set", "remove", "import", "list"] = "list"
    term: Mapping[str, Any] = Field(default_factory=dict)
    csv: str = ""
    replace: bool = False  # import: what the file does not have is removed

    @field_validator("action", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return value or "list"


class PlanEditor:
    """Each term is a row; one that was removed stays, marked."""

    config_model = PlanSettings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Edit, and return the terms, at most 100 of them. Raises `StepFailed` for an edit that does not fit."""
        options = settings(PlanSettings, step_config)
        known = await stored_terms(context)
        changed, removed = _edited(options, known)
        kept = {key: term for key, term in {**known, **changed}.items() if key not in removed}
        successive(kept.values())
        rows: list[Row] = [{**term.model_dump(), "removed": False} for term in changed.values()]
        rows += [{**known[key].model_dump(), "removed": True} for key in removed]
        if rows:
            stage = context.warehouse.stage(TABLE)
            await stage.write(0, rows)
            await context.warehouse.load(stage, dates=None, mode=WriteMode.MERGE, key_fields=KEY)
        shown = [term.model_dump(mode="json", exclude_none=True) for _, term in sorted(kept.items())[:SHOWN_MAX]]
        result = {"status": SUCCESS, "rows_processed": len(rows), "rows_written": len(rows), "table": TABLE}
        return {**result, "terms": len(kept), "plans": shown}


async def stored_terms(context: Context) -> dict[Key, Term]:
    """Return the org's terms by subscription and first day, whichever pipeline stored them."""
    await context.warehouse.ensure_table(TABLE)
    parameters = {"org": Parameter("STRING", context.org_slug)}
    rows = (await context.warehouse.query(_SQL, parameters, rows_max=2 * TERMS_MAX)).rows
    fields = [{name: value for name, value in row.items() if name not in LINEAGE_COLUMNS} for row in rows]
    terms = [term_of({**row, "removed": None}, TABLE) for row in fields if not row["removed"]]
    return {_key(term): term for term in terms}


def _edited(options: PlanSettings, known: Mapping[Key, Term]) -> tuple[dict[Key, Term], Sequence[Key]]:
    """Return the terms that are stored, and the keys of those that go."""
    if options.action == "set":
        term = term_of(options.term, "term")
        return {_key(term): term}, ()
    if options.action == "import":
        if not options.csv.strip():
            raise StepFailed("config.csv: the CSV is empty")
        terms = terms_of_csv(options.csv)
        found = {_key(term): term for term in terms}
        if len(found) < len(terms):
            raise StepFailed("plans: two lines have the same subscription_id and starts_on")
        return found, [key for key in known if key not in found] if options.replace else ()
    if options.action == "remove":
        name, day = options.term.get("subscription_id"), str(options.term.get("starts_on") or "")
        gone = [key for key in known if key[0] == name and day in {"", key[1].isoformat()}]
        if not gone:
            raise StepFailed(f"no term of {name!r}{did_you_mean(str(name), sorted({key[0] for key in known}))}")
        return {}, gone
    return {}, ()


def _key(term: Term) -> Key:
    return term.subscription_id, term.starts_on


def get_engine() -> PlanEditor:
    """Return the processor."""
    return PlanEditor()
