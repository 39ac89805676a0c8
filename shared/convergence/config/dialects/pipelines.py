"""Older and wider forms of a pipeline file, translated into the one normal form of `model`.

Every written key is looked up in a table here; a key that is in none of them is a mistake. The JSON Schema is also
generated from the tables, so that editors complete exactly what is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from convergence.config.dialects import schedules as schedule_dialects
from convergence.config.dialects.normalization import SINGLE_KEYS, Normalizer, seconds
from convergence.config.dialects.parameters import parameters
from convergence.config.dialects.steps import steps
from convergence.config.files.older_providers import current
from convergence.config.yaml.positions import KeyPath, Positions
from convergence.config.yaml.source import Source
from convergence.errors import ConfigError, did_you_mean

# written key → field of the model
PIPELINE_KEYS: Final[Mapping[str, str]] = {
    **{
        name: name
        for name in (
            *("pipeline_id", "name", "description", "provider", "domain", "version", "aliases"),
            *("variables", "parameters", "steps", "schedule", "execution", "then", "notifications"),
            *("requires_auth", "auth_type", "tags", "category", "integration_required", "output_tables"),
            *("rate_limit_per_minute", "default_date_offset", "lookback_days"),
        )
    },
    "display_name": "name",
    "timeout_minutes": "timeout_s",
    "timeout_seconds": "timeout_s",
    "pipeline": "",  # a nested block: its keys move up one level
}
BLOCK_KEYS: Final[Mapping[str, str]] = {
    **{name: name for name in ("pipeline_id", "description", "provider", "domain", "version", "tags")},
    "name": "name",
    "display_name": "name",
    "category": "category",
}
OWN: Final = "x-"  # the author's own keys at the top, such as anchors: they are never read
_SCALARS: Final = (str, int, float, bool)


def normalise(source: Source, path: str) -> tuple[dict[str, Any], Positions, list[ConfigError]]:
    """Return the mapping for `model.Pipeline`, the positions that know where each key came from, and the mistakes."""
    normalizer = Normalizer(source)
    written = source.data
    if not isinstance(written, Mapping):
        normalizer.report((), "a pipeline must be a mapping with pipeline_id and steps")
        written = {}
    found: dict[str, Any] = {}
    single = "steps" not in written and ("processor" in written or "ps_type" in written)
    for key, value in written.items():
        target = PIPELINE_KEYS.get(key)
        if key.startswith(OWN) or (single and key in SINGLE_KEYS):
            continue
        if target is None:
            normalizer.report((key,), f"a pipeline has no {key!r}.{did_you_mean(key, PIPELINE_KEYS)}")
        elif value is not None and target and target != "steps":
            normalizer.place(found, (target,), (key,), _pipeline_value(normalizer, key, value))
    _lift_block(normalizer, found, written.get("pipeline"))
    found["steps"] = steps(normalizer, written, single=single, name=path.rsplit("/", 1)[-1])
    _defaults(found, path)
    return found, replace(source.positions, origins=normalizer.origins), normalizer.problems


def _pipeline_value(normalizer: Normalizer, key: str, value: Any) -> Any:
    if key == "version":
        return _as_written(normalizer, (key,), value)
    if key in {"timeout_minutes", "timeout_seconds"}:
        return seconds(normalizer, (key,), value)
    if key == "schedule":
        return schedule_dialects.normalise(
            value, lambda inner, message: normalizer.report((key, inner) if inner else (key,), message)
        )
    if key == "parameters":
        return parameters(normalizer, (key,), value)
    if key == "notifications":
        return _channels(normalizer, value)
    if key == "then" and isinstance(value, Mapping):
        return {outcome: _following(listed) for outcome, listed in value.items()}
    if key == "provider" and isinstance(value, str):
        return current(value)
    if key == "integration_required":
        listed = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        return [current(each) if isinstance(each, str) else each for each in listed]
    if key == "output_tables":
        return [_table(table) for table in value] if isinstance(value, list) else value
    if key == "default_date_offset":
        return offset(normalizer, (key,), value)
    return value


def _as_written(normalizer: Normalizer, at: KeyPath, value: Any) -> Any:
    """`version: 1.10` is text, not the number 1.1."""
    return normalizer.source.raw.get(at, value) if isinstance(value, _SCALARS) else value


def _lift_block(normalizer: Normalizer, found: dict[str, Any], block: Any) -> None:
    if block is None:
        return
    if not isinstance(block, Mapping):
        normalizer.report(
            ("pipeline",), "the older `pipeline:` must be a mapping with name, provider, domain and version"
        )
        return
    for key, value in block.items():
        target = BLOCK_KEYS.get(key)
        at = ("pipeline", key)
        if target is None:
            normalizer.report(at, f"the older `pipeline:` has no {key!r}.{did_you_mean(key, BLOCK_KEYS)}")
        elif target == "name" and key == "name" and "display_name" in block:
            continue  # the display name is what people read; identity is the file's path
        elif value is not None:
            kept = _as_written(normalizer, at, value) if key == "version" else _pipeline_value(normalizer, key, value)
            normalizer.place(found, (target,), at, kept)


def _defaults(found: dict[str, Any], path: str) -> None:
    segments = path.split("/")
    variables = found.get("variables")
    found["path"] = path
    found["strict_names"] = bool(found.get("parameters")) and "processor" not in found
    found.setdefault("pipeline_id", "{org_slug}-" + path.replace("/", "-").replace("_", "-"))
    found.setdefault("provider", segments[0])
    found.setdefault("domain", "/".join(segments[1:-1]))
    if "default_date_offset" not in found and isinstance(variables, Mapping):
        given = variables.get("default_date_offset")
        if isinstance(given, int) or (isinstance(given, str) and given.lstrip("-").isdigit()):
            found["default_date_offset"] = int(given)


def offset(normalizer: Normalizer, at: KeyPath, value: Any) -> int:
    """Return a number of days that may be written as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    normalizer.report(at, f'a date offset must be a number of days such as "-1", not {value!r}')
    return -1


def _channels(normalizer: Normalizer, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    found = {}
    for key, channels in value.items():
        if key not in {"on_success", "on_failure", "on_completion"}:
            allowed = ("on_success", "on_failure", "on_completion")
            normalizer.report(("notifications", key), f"notifications has no {key!r}.{did_you_mean(key, allowed)}")
        elif channels is not None:
            found[key] = [channels] if isinstance(channels, str) else channels
    return found


def _following(listed: Any) -> Any:
    """`on_success: [acme/daily]` is short for `[{pipeline: acme/daily}]`; the list may be left out for one."""
    each = [listed] if isinstance(listed, str | Mapping) else listed
    return [{"pipeline": one} if isinstance(one, str) else one for one in each] if isinstance(each, list) else each


def _table(table: Any) -> Any:
    if isinstance(table, Mapping):
        return table.get("table") or table.get("name") or table
    return table
