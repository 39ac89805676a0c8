"""Makes `configs/{provider}/seed/model_pricing.csv` from the package genai-prices (MIT, Pydantic Services Inc.).

    python -m convergence.processors.genai.prices.make_list openai anthropic

The package is a development dependency; runs read the CSV, or refresh the list (`price_refresh.py`).
"""

from __future__ import annotations

import csv
import io
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from convergence.processors.genai.prices.lines import SOURCE, provider_lines

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

COLUMNS: Final = (
    "model",
    "model_match",
    "kind",
    "unit",
    "processing",
    "region",
    "above_input_tokens",
    "price",
    "currency",
    "effective_from",
    "effective_to",
    "source",
    "source_version",
)


def price_list(name: str) -> str:
    """Return the whole CSV of a provider.

    Raises `ImportError` without the package, `ValueError` for a price it cannot express.
    """
    from importlib.metadata import version

    from genai_prices.data_snapshot import get_snapshot

    (provider,) = (provider for provider in get_snapshot().providers if provider.id == name)
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(provider_lines(name, map(published, provider.models), version(SOURCE)))
    return out.getvalue()


def published(model: ModelInfo) -> dict[str, Any]:
    """Return a model of the package as it is in the file that the package publishes."""
    variants = [
        {"when": one.when, "prices": _plain(one.prices), "constraint": _plain(one.constraint)}
        for one in model.price_variants or ()
    ]
    return {
        "id": model.id,
        "match": _plain(model.match),
        "prices": _plain(model.prices),
        "price_variants": variants,
    }


def _plain(value: Any) -> Any:
    """Return an object of the package as JSON: its fields without those that are not set."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not hasattr(value, "__dict__"):
        return value.isoformat() if isinstance(value, date) else value
    return {
        name.removesuffix("_"): _plain(each)
        for name, each in vars(value).items()
        if each is not None and not name.startswith("_")
    }


if __name__ == "__main__":
    for provider in sys.argv[1:]:
        Path(f"configs/{provider}/seed/model_pricing.csv").write_text(price_list(provider), "utf-8")
