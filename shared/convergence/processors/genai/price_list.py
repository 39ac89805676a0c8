"""Makes `configs/{provider}/seed/model_pricing.csv` from the package genai-prices (MIT, Pydantic Services Inc.).

    python -m convergence.processors.genai.price_list openai anthropic

The package is a development dependency; runs read the CSV. `pricing.py` says how its columns are read;
`price_list_more.py` has what the package lacks.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from convergence.processors.genai.price import PARENT
from convergence.processors.genai.price_list_dates import from_introduction
from convergence.processors.genai.price_list_more import Line, more_lines

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

SOURCE: Final = "genai-prices"
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
# The package's key → (our kind, FOCUS pricing unit).
KINDS: Final = {
    "input_mtok": ("input", "1000000 Tokens"),
    "cache_read_mtok": ("cached_input", "1000000 Tokens"),
    "cache_write_mtok": ("cache_write", "1000000 Tokens"),
    "cache_write_1h_mtok": ("cache_write_1h", "1000000 Tokens"),
    "output_mtok": ("output", "1000000 Tokens"),
    "input_audio_mtok": ("input_audio", "1000000 Tokens"),
    "cache_audio_read_mtok": ("cached_input_audio", "1000000 Tokens"),
    "output_audio_mtok": ("output_audio", "1000000 Tokens"),
    "input_image_mtok": ("input_image", "1000000 Tokens"),
    "cache_image_read_mtok": ("cached_input_image", "1000000 Tokens"),
    "output_image_mtok": ("output_image", "1000000 Tokens"),
    "input_mchars": ("character", "1000000 Characters"),
    "audio_hours": ("second", "Hours"),
    "web_searches_kcount": ("web_search", "1000 Calls"),
    "storage_searches_kcount": ("file_search", "1000 Calls"),
}
IGNORED: Final = frozenset({"input_audio_hours"})  # repeats the price of audio_hours
ANY_MODEL: Final = "*"  # calls that the provider's usage reports without a model

HALVED: Final = frozenset({"batch", "flex"})  # processings that discount the standard price

# A model that is listed without any price costs nothing (moderation).
FREE: Final[Line] = {"kind": "input", "unit": "1000000 Tokens", "above_input_tokens": "0", "price": "0"}


def price_list(name: str) -> str:
    """Return the whole CSV of a provider.

    Raises `ImportError` without the package, `ValueError` for a price it cannot express.
    """
    from importlib.metadata import version

    from genai_prices.data_snapshot import get_snapshot

    (provider,) = (provider for provider in get_snapshot().providers if provider.id == name)
    made = {"currency": "USD", "source": SOURCE, "source_version": version(SOURCE)}
    lines = [{**made, **line} for model in provider.models for line in _model_lines(model)]
    lines += [{**made, **line} for line in _without_model(lines, "file_search")]
    lines = list(from_introduction(name, [*lines, *cached_as(lines)]))
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(more_lines(name, lines))
    return out.getvalue()


def _model_lines(model: ModelInfo) -> Iterator[Line]:
    """A model's prices by processing and date: a later price ends the earlier one of its kind."""
    named = {"model": model.id, "model_match": " ".join(_patterns(model.match))}
    dated = _dated(model.prices)
    for number, (start, prices) in enumerate(dated):
        end = dated[number + 1][0] if number + 1 < len(dated) else None
        for line in _price_lines(prices) or [FREE]:
            yield {
                **named,
                "processing": "standard",
                **line,
                "effective_from": _text(start),
                "effective_to": _text(end),
            }
    for variant in model.price_variants or ():
        ((_, processing),) = variant.when.items()
        for start, prices in _dated(variant.prices):
            begins = max((day for day in (start, _start(variant.constraint)) if day is not None), default=None)
            for line in _price_lines(prices):
                yield {**named, "processing": processing, **line, "effective_from": _text(begins), "effective_to": ""}


def _price_lines(prices: ModelPrice) -> list[Line]:
    lines = []
    for key, value in sorted(vars(prices).items()):
        if value is None or key.startswith("_") or key in IGNORED:
            continue
        if key not in KINDS:
            raise ValueError(f"genai-prices has a new kind of price, {key!r}: give it a line in KINDS")
        kind, unit = KINDS[key]
        steps = [(0, value)] if isinstance(value, Decimal) else [(0, value.base)]
        steps += [] if isinstance(value, Decimal) else [(tier.start, tier.price) for tier in value.tiers]
        lines += [
            {"kind": kind, "unit": unit, "above_input_tokens": str(above), "price": f"{price:f}"}
            for above, price in steps
        ]
    return lines


def _dated(prices: Any) -> list[tuple[date | None, ModelPrice]]:
    """Prices with the day they begin, oldest first."""
    if not isinstance(prices, list):
        return [(None, prices)]
    return [(_start(one.constraint), one.prices) for one in prices]


def _start(constraint: Any) -> date | None:
    if constraint is None:
        return None
    start: date = constraint.start_date  # an AttributeError here: a constraint by time of day, which we cannot express
    return start


def _patterns(clause: Any) -> Iterator[str]:
    """Match rules as words: `name`, `prefix*`, `*part*`, `~pattern`."""
    match type(clause).__name__:
        case "ClauseOr":
            for part in clause.or_:
                yield from _patterns(part)
        case "ClauseEquals":
            yield clause.equals
        case "ClauseStartsWith":
            yield f"{clause.starts_with}*"
        case "ClauseContains":
            yield f"*{clause.contains}*"
        case "ClauseRegex":
            yield f"~{clause.regex}"
        case other:
            raise ValueError(f"genai-prices has a new match rule, {other}: teach it to _patterns and to model_match.py")


def cached_as(lines: list[Line]) -> list[Line]:
    """Return lines for reads from the cache that the package lists without a price.

    Where a batch or flex price has none, the standard price of the read holds, and where a model has none, reads cost
    as much as other input, as the package computes both.
    """
    found = []
    for line in lines:
        for child, parent in PARENT.items():
            if line["kind"] == parent and not _listed(lines, line, child):
                own = _listed(lines, {**line, "processing": "standard"}, child) if line["processing"] in HALVED else []
                found += [{**line, "kind": child, "source": f"{line['source']}, as {parent}"}] if not own else []
                if own and line["above_input_tokens"] == "0":
                    dates = {name: line[name] for name in ("processing", "effective_from", "effective_to")}
                    found += [{**one, **dates, "source": f"{one['source']}, as standard"} for one in own]
    return found


def _listed(lines: list[Line], line: Line, kind: str) -> list[Line]:
    """Return the lines of another kind that hold with this one: of its model and processing, on its first day."""
    return [
        one
        for one in lines
        if (one["model"], one["processing"], one["kind"]) == (line["model"], line["processing"], kind)
        and one["effective_from"] <= line["effective_from"]
        and (not one["effective_to"] or line["effective_from"] < one["effective_to"])
    ]


def _without_model(lines: list[Line], kind: str) -> list[Line]:
    """Calls without a model take the price on which all models agree; if they do not, there is none."""
    found = {(line["unit"], line["price"]) for line in lines if line["kind"] == kind}
    if len(found) != 1:
        return []
    ((unit, price),) = found
    return [
        {"model": ANY_MODEL, "model_match": "", "kind": kind, "unit": unit, "processing": "standard",
         "above_input_tokens": "0", "price": price, "effective_from": "", "effective_to": ""}
    ]  # fmt: skip


def _text(day: date | None) -> str:
    return "" if day is None else day.isoformat()


if __name__ == "__main__":
    for provider in sys.argv[1:]:
        Path(f"configs/{provider}/seed/model_pricing.csv").write_text(price_list(provider), "utf-8")
