"""Keys that older files have inside `config`, moved to the block that they belong to.

Applies only to the product's own processors: others define their `config` themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.config.dialects.normalization import Normalizer
from convergence.config.files.older_providers import current
from convergence.config.processors import ps_types
from convergence.config.templates.template import parse
from convergence.config.yaml.positions import KeyPath

# With its own address and paging it is the generic extractor, signed in to Google.
_GOOGLE: Final = "gcp.api_extractor"
_ADDRESS: Final = frozenset({"url", "api"})
_DATES: Final = ("date", "start_date", "end_date")
_BLOCKS: Final = ("source", "destination", "transform")
# ps_type ("" for all) → key of `config` → (block, key)
MOVED: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "": {"destination_table": ("destination", "table")},
    "openai.seed_csv": {"csv_file": ("source", "file")},
}


def move(normalizer: Normalizer, found: dict[str, Any], here: KeyPath) -> None:
    """Move what is in `config` of the normalised step `found`, which is at `here`; rename its provider."""
    config, ps_type = found.get("config"), found.get("ps_type")
    if not isinstance(config, Mapping) or not isinstance(ps_type, str) or not ps_types.is_shipped(ps_type):
        return
    kept = dict(config)
    for block in _BLOCKS:
        if isinstance(kept.get(block), Mapping):
            _put(normalizer, found, (*here, block), (*here, "config", block), kept.pop(block))
    for key, (block, name) in {**MOVED[""], **MOVED.get(ps_type, {})}.items():
        if key in kept:
            inner = {name: kept.pop(key)}
            _put(normalizer, found, (*here, block), (*here, "config", key), inner, name=name)
    for key in _DATES:
        if _is_template_of(key, kept.get(key)):
            del kept[key]  # every step has the run's own dates
    if isinstance(kept.get("provider"), str):
        kept["provider"] = current(kept["provider"])
    if ps_type == _GOOGLE and not _ADDRESS.isdisjoint(kept):
        found["ps_type"] = "generic.api_extractor"
        kept.setdefault("auth", {"type": "google"})
    if kept != config:
        found["config"] = kept


def _is_template_of(name: str, value: Any) -> bool:
    template = parse(value.strip()) if isinstance(value, str) else None
    return template is not None and template.whole is not None and template.whole.name == name


def _put(
    normalizer: Normalizer, found: dict[str, Any], block: KeyPath, was: KeyPath, value: Any, *, name: str = ""
) -> None:
    """Put `value` into the block; a key that exists already is a mistake."""
    there = found.get(str(block[-1])) or {}
    written = normalizer.written(was)
    if not isinstance(there, Mapping):
        return  # the wrong type of the block itself is reported by the model
    if twice := there.keys() & value.keys():
        normalizer.report(written, f"{written[-1]} means the same as {block[-1]}.{min(twice)}: keep one of them")
        return
    for key in value:
        normalizer.came_from((*block, key), written if name else (*written, key))
    if not there and not name:
        normalizer.came_from(block, written)
    found[str(block[-1])] = {**there, **value}
