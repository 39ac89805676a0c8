"""The examples of docs/writing-pipelines.md load; its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from convergence.config.dialects.parameters import TYPES
from convergence.config.dialects.pipelines import PIPELINE_KEYS
from convergence.config.dialects.steps import STEP_KEYS
from convergence.config.loader import parse_pipeline
from convergence.config.model.pipeline import Pipeline, Step
from convergence.config.templates.builtin_names import BUILT_INS, ENDING, IMPLICIT_PARAMETERS

TEXT = (Path(__file__).parents[3] / "docs" / "writing-pipelines.md").read_text()
EXAMPLES = re.findall(r"^```yaml ?([a-z-]*)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
FIRST = "  - {step_id: first_step, ps_type: generic.noop}\n"


@pytest.mark.parametrize(("kind", "body"), EXAMPLES)
def test_each_example_loads(kind: str, body: str) -> None:
    if kind == "pipeline-keys":
        body += f"steps:\n{FIRST}"
    elif kind == "step-keys":
        step = "  - step_id: second_step\n    ps_type: generic.noop\n    depends_on: first_step\n"
        body = f"variables: {{region: eu}}\nsteps:\n{FIRST}{step}{indent(body, '    ')}"
    parse_pipeline(body, "docs/example")


def test_there_are_examples_of_each_kind() -> None:
    assert {kind for kind, _ in EXAMPLES} == {"", "pipeline-keys", "step-keys"}


@pytest.mark.parametrize(
    "word",
    sorted(
        {
            *BUILT_INS,
            *ENDING - {"failed_steps"},
            *IMPLICIT_PARAMETERS,
            *set(PIPELINE_KEYS) & set(Pipeline.model_fields),
            *set(STEP_KEYS) & set(Step.model_fields),
            *set(TYPES.values()),
        }
    ),
)
def test_the_page_names_every_key_and_every_built_in_name(word: str) -> None:
    assert re.search(rf"`{word}`|\b{word}:", TEXT)
