"""Prices as genai-prices publishes them (JSON, version 2 of its data) → lines of `model_pricing.csv`.

A line is a row of the CSV as text. `lookup.py` says how its columns are read; `additions.py` has what the
package lacks, `dates.py` from which day a processing has its price.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from convergence.processors.genai.prices.additions import Line, more_lines
from convergence.processors.genai.prices.dates import from_introduction
from convergence.processors.genai.prices.price import ANY_MODEL, PARENT

SOURCE: Final = "genai-prices"
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

HALVED: Final = frozenset({"batch", "flex"})  # processings that discount the standard price

# A model that is listed without any price costs nothing (moderation).
FREE: Final[Line] = {"kind": "input", "unit": "1000000 Tokens", "above_input_tokens": "0", "price": "0"}


Model = Mapping[str, Any]


def provider_lines(name: str, models: Iterable[Model], version: str, left_out: list[str] | None = None) -> list[Line]:
    """Return all lines of a provider.

    Raises `ValueError` for a price or a match rule that a line cannot express; with `left_out`, such a model is left
    out and the reason added there.
    """
    made = {"currency": "USD", "source": SOURCE, "source_version": version}
    lines: list[Line] = []
    for model in models:
        try:
            lines += [{**made, **line} for line in _model_lines(model)]
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            if left_out is None:
                raise
            left_out.append(f"{model.get('id')}: {error}")
    lines += [{**made, **line} for line in _without_model(lines, "file_search")]
    lines = list(from_introduction(name, [*lines, *cached_as(lines)]))
    try:
        return list(more_lines(name, lines))
    except ValueError as error:
        if left_out is None:
            raise
        left_out.append(str(error))
        return lines


def _model_lines(model: Model) -> Iterator[Line]:
    """A model's prices by processing and date: a later price ends the earlier one of its kind."""
    named = {"model": model["id"], "model_match": " ".join(_patterns(model["match"]))}
    dated = _dated(model["prices"])
    for number, (start, prices) in enumerate(dated):
        end = dated[number + 1][0] if number + 1 < len(dated) else ""
        for line in _price_lines(prices) or [FREE]:
            yield {**named, "processing": "standard", **line, "effective_from": start, "effective_to": end}
    for variant in model.get("price_variants") or ():
        ((_, processing),) = variant["when"].items()
        for start, prices in _dated(variant["prices"]):
            begins = max(start, _start(variant.get("constraint")))
            for line in _price_lines(prices):
                yield {**named, "processing": processing, **line, "effective_from": begins, "effective_to": ""}


def _price_lines(prices: Mapping[str, Any]) -> list[Line]:
    lines = []
    for key, value in sorted(prices.items()):
        if key in IGNORED:
            continue
        if key not in KINDS:
            raise ValueError(f"genai-prices has a new kind of price, {key!r}: give it a line in KINDS")
        kind, unit = KINDS[key]
        tiers = value["tiers"] if isinstance(value, Mapping) else ()
        steps = [(0, value["base"] if isinstance(value, Mapping) else value)]
        steps += [(tier["start"], tier["price"]) for tier in tiers]
        lines += [
            {"kind": kind, "unit": unit, "above_input_tokens": str(int(above)), "price": _price(price)}
            for above, price in steps
        ]
    return lines


def _price(value: Any) -> str:
    number = Decimal(value)
    if not number.is_finite() or number.adjusted() > 6 or int(number.as_tuple().exponent) < -18:
        raise ValueError(f"{value} is not a price")
    return f"{number:f}"


def _dated(prices: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Prices with the day they begin ("" is open), oldest first."""
    if not isinstance(prices, list):
        return [("", prices)]
    return [(_start(one.get("constraint")), one["prices"]) for one in prices]


def _start(constraint: Mapping[str, str] | None) -> str:
    """Return the first day. Raises `KeyError` for a constraint by time of day, which a line cannot express."""
    return "" if constraint is None else constraint["start_date"]


def _patterns(clause: Mapping[str, Any]) -> Iterator[str]:
    """Match rules as words: `name`, `prefix*`, `*part*`, `~pattern`."""
    ((rule, value),) = clause.items()
    match rule:
        case "or":
            for part in value:
                yield from _patterns(part)
        case "equals":
            yield value
        case "starts_with":
            yield f"{value}*"
        case "contains":
            yield f"*{value}*"
        case "regex":
            yield f"~{value}"
        case other:
            raise ValueError(f"genai-prices has a new match rule, {other}: add it to _patterns and to model_match.py")


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
