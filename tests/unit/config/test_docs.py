"""The examples of the docs are valid without a warning; the tables of docs/writing-pipelines.md name what there is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from textwrap import indent

import pytest

from convergence.config.checks.validation import validate
from convergence.config.dialects.parameters import TYPES
from convergence.config.dialects.pipelines import PIPELINE_KEYS
from convergence.config.dialects.steps import STEP_KEYS
from convergence.config.model.pipeline import Pipeline, Step
from convergence.config.templates.builtin_names import BUILT_INS, ENDING, IMPLICIT_PARAMETERS

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "writing-pipelines.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(kind, body, id=f"{page.name} {number}")
    for page in PAGES
    for number, (kind, body) in enumerate(
        re.findall(r"^```yaml ?([a-z-]*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE), 1
    )
]
OWN_PROCEDURES = {
    name: text
    for page in PAGES
    for text, name in re.findall(
        r"^```sql\n(CREATE OR REPLACE PROCEDURE \S+?(sp_\w+)\(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    )
    if not any((ROOT / "configs" / "system" / "procedures").rglob(f"{name}.sql"))
}
FIRST = "  - {step_id: extract_usage, ps_type: generic.noop}\n"
OWN_PROCESSORS = ("acme.invoices", "initech.greeting")  # the reader writes them on the page


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(ROOT / "configs", tmp_path_factory.mktemp("docs") / "configs")


@pytest.mark.parametrize(("kind", "body"), EXAMPLES)
def test_each_example_is_valid_and_draws_no_warning(configs: Path, kind: str, body: str) -> None:
    if kind == "pipeline-keys":
        body += f"steps:\n{FIRST}"
    elif kind == "step-keys":
        step = "  - step_id: load_usage\n    ps_type: generic.noop\n    depends_on: extract_usage\n"
        body = f"variables: {{region: eu}}\nsteps:\n{FIRST}{step}{indent(body, '    ')}"
    file = configs / (f"system/{kind}.yml" if kind in {"precedence", "allocation"} else "docs/example.yml")
    file.parent.mkdir(exist_ok=True)
    for name in OWN_PROCESSORS:
        body = re.sub(rf"ps_type: {re.escape(name)}\n( +config: .*\n)?", "ps_type: generic.noop\n", body)
    file.write_text(body)
    for name, text in OWN_PROCEDURES.items():
        procedure = configs / "system" / "procedures" / "docs" / f"{name}.sql"
        procedure.parent.mkdir(exist_ok=True)
        procedure.write_text(text)
    for table in re.findall(r"table: (acme_\w+)", body):  # the reader describes it in a file of its own
        schema = configs / "docs" / "schemas" / f"{table}.json"
        schema.parent.mkdir(exist_ok=True)
        named = re.findall(r"(?:date_field|column): (\w+)", body)
        keys = [key for listed in re.findall(r"key_fields: \[(.*?)\]", body) for key in re.findall(r"\w+", listed)]
        added = [key for listed in re.findall(r"add_fields: \{(.*?)\}", body) for key in re.findall(r"(\w+):", listed)]
        mapped = [key for each in re.findall(r"field_mapping: \{(.*?)\}", body) for key in re.findall(r": (\w+)", each)]
        names = sorted({"id", *named, *keys, *added, *mapped} - {"day"})
        columns = [{"name": "day", "type": "DATE"}, *({"name": name, "type": "STRING"} for name in names)]
        schema.write_text(json.dumps(columns))
    if "provider: acme" in body:  # the reader has registered it
        (configs / "acme").mkdir(exist_ok=True)
    report = validate(configs, [file])
    assert report.problems == ()
    assert [str(warning) for warning in report.warnings] == []


def test_there_are_examples_of_each_kind() -> None:
    assert {example.values[0] for example in EXAMPLES} == {"", "pipeline-keys", "step-keys", "precedence", "allocation"}
    assert len(EXAMPLES) >= 17


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
