"""The JSON Schema is fresh, and knows what the loader knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from yaml import safe_load

from convergence.config.catalog import Catalog
from convergence.config.model.json_schema import pipeline_json_schema, schema_text

CONFIGS = Path(__file__).parents[3] / "configs"
VALIDATOR = jsonschema.Draft202012Validator(pipeline_json_schema())


def test_the_file_in_configs_is_fresh() -> None:
    assert (CONFIGS / "pipeline.schema.json").read_text() == schema_text(), "run `convergence schema`"


def test_it_is_a_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(pipeline_json_schema())


@pytest.mark.parametrize("name", Catalog(CONFIGS).names())
def test_each_pipeline_names_it_in_its_first_line(name: str) -> None:
    file = next(CONFIGS.glob(f"{name}.y*ml"))
    first = file.read_text().splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (file.parent / first.removeprefix(prefix)).resolve() == (CONFIGS / "pipeline.schema.json").resolve()


STEP = "{step_id: a, ps_type: generic.noop"


@pytest.mark.parametrize(
    "body",
    [
        "shedule: x",
        "timeout_minutes: '30'",
        "tags: daily",
        "requires_auth: 'no'",
        "schedule: {type: weekly}",
        "schedule: {type: daily, time: '25:00'}",
        "notifications: {on_fail: [a]}",
        "steps: []",
        "steps: [{ps_type: generic.noop}]",
        "steps: [{step_id: a}]",
        f"steps: [{STEP}, depend_on: b}}]",
        f"steps: [{STEP}, trigger: on_fail}}]",
        f"steps: [{STEP}, retry: {{max_attempts: 0}}}}]",
        f"steps: [{STEP}, config: [1]}}]",
        f"steps: [{STEP}, on_failure: ignore}}]",
    ],
)
def test_it_refuses_what_the_loader_refuses(body: str) -> None:
    data: dict[str, Any] = {"pipeline_id": "x", "steps": [{"step_id": "a", "ps_type": "generic.noop"}]}
    VALIDATOR.validate(data)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**data, **safe_load(body)})
