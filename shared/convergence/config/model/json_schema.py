"""The JSON Schema of what a user may write: the fields of the models, under all spellings of the dialects.

Editors complete from it; every pipeline file names it in its first line. It accepts at least what the loader accepts;
rules that need more than one key (the graph, names, crons) are left to the loader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from convergence.config.dialects import schedules as schedule_dialects
from convergence.config.dialects.normalization import SINGLE_KEYS
from convergence.config.dialects.parameters import SPEC_KEYS, TYPES
from convergence.config.dialects.pipelines import BLOCK_KEYS, OWN, PIPELINE_KEYS
from convergence.config.dialects.steps import LOOSE_KEYS, RETRY_KEYS, STEP_KEYS
from convergence.config.model.pipeline import Pipeline
from convergence.config.processors import ps_types

_ANY: Final[Mapping[str, Any]] = {}
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number", "exclusiveMinimum": 0}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_TEXT_OR_TEXTS: Final = {"anyOf": [_TEXT, _TEXTS]}
_SCALAR_TEXT: Final = {"type": ["string", "number", "boolean"]}
_FREE: Final = {"type": "object"}
_TARGET: Final = {"anyOf": [_FREE, {"type": "string", "description": "the table"}]}

# Written keys that allow more than the field that they become.
_PIPELINE: Final[Mapping[str, Any]] = {
    "version": _SCALAR_TEXT,
    "timeout_minutes": _NUMBER,
    "timeout_seconds": _NUMBER,
    "schedule": {"$ref": "#/$defs/Schedule"},
    "parameters": {"$ref": "#/$defs/Parameters"},
    "notifications": {"$ref": "#/$defs/Notifications"},
    "pipeline": {"$ref": "#/$defs/OlderPipeline"},
    "integration_required": {"anyOf": [{"type": "boolean"}, _TEXT, _TEXTS]},
    "output_tables": {"type": "array", "items": {"anyOf": [_TEXT, _FREE]}},
    "default_date_offset": {"anyOf": [{"type": "integer", "maximum": 0}, {"type": "string", "pattern": r"^-?\d+$"}]},
    "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Step"}},
}
_STEP: Final[Mapping[str, Any]] = {
    "depends_on": _TEXT_OR_TEXTS,
    "timeout_minutes": _NUMBER,
    "timeout_seconds": _NUMBER,
    "retry": {"$ref": "#/$defs/Retry"},
    "retry_policy": {"$ref": "#/$defs/Retry"},
    "on_failure": {"enum": ["stop", "continue", "fail", "abort"]},
    "fail_on_error": {"type": ["boolean", "string"]},
    "enabled": {"anyOf": [{"type": "boolean"}, {"type": "string", "description": "true, false or a template"}]},
    "when": {"type": ["string", "boolean"]},
    "condition": {"type": ["string", "boolean"]},
    "processor": {"anyOf": [_TEXT, {"$ref": "#/$defs/OlderProcessor"}]},
    "transformation": _ANY,
    "dq_config": _ANY,
    "schema_ref": _ANY,
    **dict.fromkeys(("config", "source", "transform"), _FREE),
    "destination": _TARGET,
    "target": _TARGET,
}


def pipeline_json_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12)."""
    model = Pipeline.model_json_schema()
    step, retry = model["$defs"]["Step"]["properties"], model["$defs"]["Retry"]["properties"]
    names = {"anyOf": [{"enum": sorted(ps_types.OFFERED_NAMES | {"generic.noop"})}, _TEXT]}
    steps = {**_STEP, **dict.fromkeys(("ps_type", "type"), names), **dict.fromkeys(LOOSE_KEYS, _ANY)}
    single = {key: steps.get(key, _FREE) for key in SINGLE_KEYS}
    spec = {"type": {"enum": sorted(TYPES)}, "allowed": {"type": "array"}}
    defs = {
        "Step": {**_object(STEP_KEYS, steps, step, more=LOOSE_KEYS), "allOf": _either(STEP_KEYS, "step_id", "ps_type")},
        "Retry": {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 20},
                _object(
                    RETRY_KEYS,
                    {"max_retries": {"type": "integer", "minimum": 0}, "backoff_multiplier": _ANY},
                    retry,
                    more=("backoff_multiplier", "exponential_backoff"),
                ),
            ]
        },
        "Schedule": _schedule(model["$defs"]["Schedule"]["properties"]),
        "Parameters": {
            "anyOf": [
                {"type": "object", "additionalProperties": {"anyOf": [{"$ref": "#/$defs/Parameter"}, _ANY]}},
                {"type": "array"},
            ]
        },
        "Parameter": _object(SPEC_KEYS, spec, model["$defs"]["ParameterSpec"]["properties"]),
        "Notifications": {
            **_object({name: name for name in ("on_success", "on_failure", "on_completion")}, {}, {}),
            "additionalProperties": False,
        },
        **{name: model["$defs"][name] for name in ("Execution", "Then", "Next")},
        "OlderPipeline": _object(BLOCK_KEYS, {"version": _SCALAR_TEXT}, model["properties"]),
        "OlderProcessor": _object({"class": "", "module": ""}, {"class": _TEXT, "module": _TEXT}, {}),
    }
    following = {"anyOf": [_TEXT, {"$ref": "#/$defs/Next"}]}
    for name in ("on_success", "on_failure"):
        listed = {"type": "array", "maxItems": 20, "items": following}
        defs["Then"]["properties"][name] = {"anyOf": [*following["anyOf"], listed]}
    for name in ("on_success", "on_failure", "on_completion"):
        defs["Notifications"]["properties"][name] = {"anyOf": [_TEXT, _TEXTS, {"type": "null"}]}
    top = _object(PIPELINE_KEYS, {**single, **_PIPELINE}, model["properties"], more=SINGLE_KEYS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pipeline",
        **top,
        "patternProperties": {f"^{OWN}": {}},
        "anyOf": [{"required": ["steps"]}, {"required": ["processor"]}, {"required": ["ps_type"]}],
        "$defs": defs,
    }


def schema_text() -> str:
    """Return the schema as it is written to `configs/pipeline.schema.json`."""
    return json.dumps(pipeline_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _object(
    keys: Mapping[str, str], own: Mapping[str, Any], fields: Mapping[str, Any], *, more: Any = ()
) -> dict[str, Any]:
    """A closed object: for each written key its own schema, else that of the field it becomes."""
    properties = {key: _nullable(own.get(key, fields.get(target, _ANY))) for key, target in keys.items()}
    properties.update({key: _nullable(own.get(key, _ANY)) for key in sorted(more) if key not in properties})
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _nullable(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A key without a value counts as not written."""
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def _either(keys: Mapping[str, str], *targets: str) -> list[dict[str, Any]]:
    """One spelling of each target is required."""
    return [
        {"anyOf": [{"required": [key]} for key, target in keys.items() if target == expected]} for expected in targets
    ]


def _schedule(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a schedule; `properties` are the model's, whose keys are mostly written as they are."""
    blackout = {"type": "object", "required": ["start", "end"], "properties": dict.fromkeys(("start", "end"), _TEXT)}
    own: dict[str, Any] = {
        "cron": _TEXT,
        "default_cron": _TEXT,
        "type": {"enum": ["hourly", "daily", "monthly"]},
        "time": {"type": "string", "pattern": r"^([01]?\d|2[0-3]):[0-5]\d$"},
        "minute": {"type": "integer", "minimum": 0, "maximum": 59},
        "day_of_month": {"type": "integer", "minimum": 1, "maximum": 31},
        "timezone": _TEXT,
        "enabled": {"type": "boolean"},
        "starting_deadline": {
            "anyOf": [{"type": "integer", "minimum": 60}, {"type": "string", "pattern": "^[0-9]+ ?[smhd]$"}]
        },
        "start": _TEXT,
        "end": _TEXT,
        "blackouts": {"anyOf": [{"type": "array", "maxItems": 100, "items": blackout}, blackout]},
        "parameters": {"type": "object"},
    }
    keys = {key: key for key in sorted(schedule_dialects.KEYS)}
    return {
        "anyOf": [{"type": "string", "description": "a cron expression of five fields"}, _object(keys, own, properties)]
    }
