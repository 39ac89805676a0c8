"""Steps as users write them, translated to the fields of `model.Step`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from convergence.config.dialects import config_keys
from convergence.config.dialects.normalization import SINGLE_KEYS, Normalizer, processor_name, seconds
from convergence.config.dialects.write_modes import current_mode
from convergence.config.processors import ps_types
from convergence.config.yaml.positions import KeyPath
from convergence.errors import did_you_mean

# written key → field of the model; a dotted field is a key inside a free-form block
STEP_KEYS: Final[Mapping[str, str]] = {
    **{
        name: name
        for name in (
            *("step_id", "name", "description", "ps_type", "depends_on", "retry", "on_failure", "enabled"),
            *("when", "trigger", "config", "source", "destination", "transform"),
        )
    },
    "step": "step_id",
    "id": "step_id",
    "processor": "ps_type",
    "type": "ps_type",
    "timeout_minutes": "timeout_s",
    "timeout_seconds": "timeout_s",
    "retry_policy": "retry",
    "fail_on_error": "on_failure",
    "condition": "when",
    "target": "destination",
    "transformation": "config.transformation",
    "dq_config": "config.dq_config",
    "schema_ref": "destination.schema_ref",
}
# Older notification steps have these beside `config` instead of in it.
LOOSE_KEYS: Final = frozenset(
    {
        *("to_emails", "cc_emails", "subject", "message", "subject_template", "body_template", "html"),
        *("webhook_url", "channel", "username", "icon_emoji", "mention_users", "mention_channel", "color", "title"),
    }
)
RETRY_KEYS: Final[Mapping[str, str]] = {
    "max_attempts": "max_attempts",
    "max_retries": "max_attempts",  # retries after the first attempt
    "backoff_seconds": "backoff_seconds",
    "delay_seconds": "backoff_seconds",
    "retry_delay_seconds": "backoff_seconds",
    "initial_delay_seconds": "backoff_seconds",
}
_BLOCKS: Final = ("config", "source", "destination", "transform")
_ON_FAILURE: Final = {"stop": "stop", "fail": "stop", "abort": "stop", "continue": "continue"}


def steps(normalizer: Normalizer, written: Mapping[str, Any], *, single: bool, name: str) -> Any:
    """Return the normalised steps; the older single-processor form gives one."""
    if single:
        own = {key: written[key] for key in SINGLE_KEYS if key in written}
        step_id = "run_" + "".join(char if char.isalnum() else "_" for char in name)
        return [_step(normalizer, {"step_id": step_id, **own}, 0, ())]
    listed = written.get("steps")
    if not isinstance(listed, list) or not listed:
        at: KeyPath = ("steps",) if "steps" in written else ()
        normalizer.report(at, "a pipeline needs `steps`: a list with at least one step, each with `- step_id:`")
        return None
    return [_step(normalizer, step, index, ("steps", index)) for index, step in enumerate(listed)]


def _step(normalizer: Normalizer, written: Any, index: int, at: KeyPath) -> Any:
    if not isinstance(written, Mapping):
        normalizer.report(at, "a step must be a mapping with step_id and ps_type")
        return {"step_id": f"step-{index}", "ps_type": ""}
    here: KeyPath = ("steps", index)
    normalizer.came_from(here, at)
    found: dict[str, Any] = {}
    inner: list[tuple[str, str, str, Any]] = []
    for key, value in written.items():
        target = STEP_KEYS.get(key)
        if target is None and key in LOOSE_KEYS and "notification" in str(written.get("ps_type", "")):
            target = f"config.{key}"
        if target is None:
            known = did_you_mean(key, STEP_KEYS)
            where = "A setting of the processor belongs below `config`, indented by two more spaces."
            normalizer.report((*at, key), f"a step has no {key!r}.{known} {where}")
        elif value is None:
            continue
        elif "." in target:
            block, _, name = target.partition(".")
            inner.append((block, name, key, value))
        else:
            normalizer.place(found, (*here, target), (*at, key), _value(normalizer, (*at, key), key, value))
    for block, name, key, value in inner:
        _into_block(normalizer, found, (*here, block, name), (*at, key), value)
    config_keys.move(normalizer, found, here)
    _write_mode(normalizer, found, here)
    if found.get("step_id") is None:
        normalizer.report(at, "a step needs a step_id")
        found["step_id"] = f"step-{index}"
    if found.get("ps_type") is None:
        normalizer.report(at, "a step needs a ps_type: the name of its processor")
        found["ps_type"] = ""
    return found


def _into_block(normalizer: Normalizer, found: dict[str, Any], normal: KeyPath, written: KeyPath, value: Any) -> None:
    block = found.get(str(normal[-2]), {})
    if not isinstance(block, Mapping):
        return  # the wrong type of the block itself is reported by the model
    copy = dict(block)
    if normal[-1] in copy:
        normalizer.report(written, f"{written[-1]} means the same as {normal[-2]}.{normal[-1]}: keep one of them")
        return
    copy[str(normal[-1])] = value
    found[str(normal[-2])] = copy
    normalizer.came_from(normal, written)


def _write_mode(normalizer: Normalizer, found: dict[str, Any], here: KeyPath) -> None:
    """`destination.mode` is the older name of `destination.write_mode`, and its values have older names."""
    destination = found.get("destination")
    if isinstance(destination, Mapping) and "mode" in destination and "write_mode" not in destination:
        found["destination"] = {("write_mode" if key == "mode" else key): value for key, value in destination.items()}
        written = normalizer.written((*here, "destination", "mode"))
        normalizer.came_from((*here, "destination", "write_mode"), written)
    destination = found.get("destination")
    if (
        isinstance(destination, Mapping)
        and "write_mode" in destination
        and ps_types.is_shipped(str(found.get("ps_type")))
    ):
        found["destination"] = {**destination, "write_mode": current_mode(destination["write_mode"])}


def _value(normalizer: Normalizer, at: KeyPath, key: str, value: Any) -> Any:
    if key in {"ps_type", "processor", "type"}:
        return processor_name(normalizer, at, value)
    if key in {"timeout_minutes", "timeout_seconds"}:
        return seconds(normalizer, at, value)
    if key in {"destination", "target"} and isinstance(value, str):
        return {"table": value}
    if key == "depends_on":
        return [value] if isinstance(value, str) else value
    if key in {"retry", "retry_policy"}:
        return _retry(normalizer, at, value)
    if key == "fail_on_error":
        return "stop" if value in {True, "true"} else "continue"
    if key == "on_failure":
        return _ON_FAILURE.get(value, value) if isinstance(value, str) else value
    if key == "enabled":
        return _enabled(normalizer, at, value)
    if key in {"when", "condition"} and isinstance(value, bool):
        return "true" if value else "false"
    return value


def _enabled(normalizer: Normalizer, at: KeyPath, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if "{" not in value:
        normalizer.report(at, f"enabled must be true, false or a template, not {value!r}")
        return True
    return value


def _retry(normalizer: Normalizer, at: KeyPath, value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"max_attempts": value}
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, inner in value.items():
        target = RETRY_KEYS.get(key)
        if key in {"backoff_multiplier", "exponential_backoff"} and inner in {2, True}:
            continue  # the wait always doubles
        if target is None:
            normalizer.report((*at, key), f"retry has no {key!r}.{did_you_mean(key, RETRY_KEYS)}")
        elif target in found:
            normalizer.report((*at, key), f"{key} means the same as {target}: keep one of them")
        else:
            more = 1 if key == "max_retries" and isinstance(inner, int) else 0
            found[target] = inner + more if more else inner
    return found
