"""`genai.price_refresh`: today's published price lists → what changes in the org's list, and with `apply` the new list.

Prices come from genai-prices (MIT); LiteLLM's list (MIT) is the second opinion. The new list goes into
`{provider}_model_pricing_candidate` in any case, so that `genai.reprice` can show its effect on past days.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

import httpx
from pydantic import Field

from convergence.domain.money import exact_text
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import LINEAGE_COLUMNS, Row
from convergence.processors.genai.prices.changes import ADDED, CHANGED, DATED, GONE, merged
from convergence.processors.genai.prices.lines import provider_lines
from convergence.processors.genai.prices.litellm import disagreements
from convergence.processors.genai.prices.lookup import PriceBook
from convergence.processors.genai.reprice import pricer_of
from convergence.processors.genai.seeded import seeded_prices, typed
from convergence.processors.http.client import RestClient
from convergence.processors.settings import Destination, Settings, settings

PRICES_URL: Final = (
    "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json"
)
SECOND_URL: Final = "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"
MODELS_MAX: Final = 2000  # of a provider
SHOWN_MAX: Final = 60
BATCH: Final = 1000


class RefreshSettings(Settings):
    """`apply`: the new list becomes the org's; without it, it is only compared."""

    provider: str
    prices_url: str = PRICES_URL
    second_url: str = SECOND_URL
    apply: bool = Field(default=False, strict=False)


class RefreshProcessor:
    """Compares and loads one provider's list."""

    config_model = RefreshSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return the changes and where the two published lists disagree.

        Raises `StepFailed` for an answer that is not a price list, and for a list that contradicts itself.
        """
        options = settings(RefreshSettings, step_config)
        pricer, today = pricer_of(options.provider), context.now().date()
        candidate = settings(Destination, step_config, "destination").table
        for table in (candidate, pricer.prices_table):
            await context.warehouse.ensure_table(table)
        left_out: list[str] = []
        published = await _published(options, context, left_out)
        rows, changes = merged(await _stored(pricer.prices_table, context), published, today)
        book = PriceBook(rows, seeded_by=pricer.seeded_by)  # refuses a list that contradicts itself
        second = await _json(options.second_url, "LiteLLM", context)
        if not isinstance(second, Mapping):
            raise StepFailed(f"{options.second_url}: not an object of models: this is not LiteLLM's price list")
        others = list(disagreements(second, options.provider, book, today))
        await _load(candidate, rows, context)
        if options.apply:
            await _load(pricer.prices_table, rows, context)
        return {
            "status": SUCCESS,
            "rows_processed": len(published),
            "rows_written": len(rows),
            "applied": options.apply,
            "changes_by_kind": dict(Counter(change["change"] for change in changes)),
            "changes": [_text(change) for change in sorted(changes, key=_weight)[:SHOWN_MAX]],
            "disagreements_total": len(others),
            "disagreements": [_text(other) for other in others[:SHOWN_MAX]],
            "warnings": _warnings(left_out, others),
        }


async def _stored(table: str, context: Context) -> list[Row]:
    """Return the org's list without the lineage of its load."""
    rows = await seeded_prices(context, table)
    return [{name: value for name, value in row.items() if name not in LINEAGE_COLUMNS} for row in rows]


async def _published(options: RefreshSettings, context: Context, left_out: list[str]) -> list[Row]:
    """Return today's prices of the provider as rows of its table."""
    answer = await _json(options.prices_url, "genai-prices", context)
    try:
        (models,) = [one["models"] for one in answer if one["id"] == options.provider]
        if len(models) > MODELS_MAX:
            raise ValueError(f"{len(models)} models")
        lines = provider_lines(options.provider, models, context.now().date().isoformat(), left_out)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StepFailed(f"{options.prices_url}: not a price list of {options.provider} ({error!r})") from error
    columns = dict.fromkeys(("region",))
    return [
        typed({**columns, **{name: text or None for name, text in line.items()}}, options.prices_url) for line in lines
    ]


async def _json(url: str, service: str, context: Context) -> Any:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise StepFailed(f"the address of {service}'s list is not a URL: {url[:200]!r}") from error
    client = RestClient(
        context,
        str(address.copy_with(raw_path=b"/")).rstrip("/"),
        headers={},
        service=service,
        renew="Set another URL: the list needs no credential.",
    )
    return await client.get(address.path, address.params.multi_items(), exact=True)


async def _load(table: str, rows: Sequence[Row], context: Context) -> None:
    stage = context.warehouse.stage(table)
    for part, start in enumerate(range(0, len(rows), BATCH)):
        await stage.write(part, rows[start : start + BATCH])
    await context.warehouse.load(stage, dates=None)


def _weight(change: Mapping[str, Any]) -> int:
    """Order changes: those of prices in use first."""
    return (CHANGED, DATED, ADDED, GONE).index(change["change"])


def _text(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return exact_text(value)
    return value.isoformat() if isinstance(value, date) else value


def _warnings(left_out: Sequence[str], others: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [f"left out, as it cannot be expressed: {reason[:200]}" for reason in left_out[:SHOWN_MAX]]
    if others:
        found.append(f"{len(others)} prices differ between genai-prices and LiteLLM, or only LiteLLM has them")
    return found


def get_engine() -> RefreshProcessor:
    """Return the processor."""
    return RefreshProcessor()
