"""The files that `convergence new` writes. `NAME` and the other words in capitals are filled in."""

from __future__ import annotations

from typing import Final

PIPELINE: Final = """# yaml-language-server: $schema=SCHEMA
pipeline_id: "{org_slug}-KEBAB"
name: TITLE
provider: PROVIDER

parameters:
  note:
    type: string
    default: hello
    description: Replace it by your own parameters.

steps:
  - step_id: run_hello
    ps_type: generic.noop
    config:
      said: "{note} on {date}"
"""

PROVIDER: Final = """# The provider's line of the registry: docs/providers.md.
type: other
display_name: TITLE
api_base_url: https://api.NAME.example/v1
rate_limit_per_minute: 60
"""

SETUP: Final = """# yaml-language-server: $schema=../../pipeline.schema.json
pipeline_id: "{org_slug}-KEBAB-auth-setup"
name: TITLE set-up
description: Stores an API key encrypted.
provider: NAME
domain: auth

parameters:
  api_key:
    type: secret
    required: true
    description: API key; stored encrypted, never shown again.

steps:
  - step_id: store_credential
    ps_type: integrations.kms_store
    config: {provider: NAME, parameter: api_key}
"""

USAGE: Final = """# yaml-language-server: $schema=../../pipeline.schema.json
pipeline_id: "{org_slug}-KEBAB-usage-daily"
name: Usage of TITLE
provider: NAME
integration_required: NAME

parameters:
  api_base_url:
    type: string
    default: "https://api.NAME.example/v1"
    description: Where the API is.

steps:
  - step_id: extract_usage
    ps_type: generic.api_extractor
    retry: {max_attempts: 3, backoff_seconds: 5}
    config:
      url: "{api_base_url}/usage"
      params: {day: "{date}"}
      auth: {type: bearer, provider: NAME}
      pagination: {type: none}
      data_path: data
    destination:
      table: NAME_usage_daily_raw
      schema: {mode: infer, contract: evolve}
"""

PROCEDURE: Final = """-- What the procedure does, in a sentence. `convergence procedures sync` stores it.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.NAME(
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  SELECT p_start_date AS first_day, p_end_date AS last_day;
END;
"""

PROCESSOR: Final = '''"""PS_TYPE: what the step does, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.processors.settings import Settings, settings


class CLASSSettings(Settings):
    """Keys of the step's `config`; a run with another key is refused before it starts."""

    who: str = ""


class CLASS:
    """Returns a greeting; replace it with your own work."""

    config_model = CLASSSettings

    async def execute(self, step_config: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        """Do the step and return its result: JSON with `status`."""
        options = settings(CLASSSettings, step_config)
        return {"status": "SUCCESS", "message": f"hello {options.who or context.org_slug}"}


def get_engine() -> CLASS:
    """Return the processor."""
    return CLASS()
'''

PACKAGE: Final = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "KEBAB"
version = "0.1.0"
dependencies = ["convergence-pipelines"]

[project.entry-points."convergence.processors"]
"PS_TYPE" = "PACKAGE.MODULE"

[tool.hatch.build.targets.wheel]
packages = ["PACKAGE"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""

_ABOVE: Final = '''"""Checks NAME; run it with pytest."""

from __future__ import annotations

'''
PIPELINE_TEST: Final = (
    _ABOVE
    + """from pathlib import Path

from convergence.config.catalog import Catalog

CONFIGS = Path(__file__).parents[1] / "FOLDER"


def test_IDENTIFIER_is_valid() -> None:
    report = Catalog(CONFIGS).validate(PATHS)
    assert not report.problems
"""
)
PROCEDURE_TEST: Final = (
    _ABOVE
    + """from pathlib import Path

from convergence.bootstrap import installation
from convergence.entry.cli.main import run

CONFIGS = Path(__file__).parents[1] / "FOLDER"


def test_NAME_is_accepted_by_the_warehouse(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path / "data"), "--configs", str(CONFIGS)]
    assert run(installation(), [*place, "procedures", "sync"]) == 0
"""
)
PROCESSOR_TEST: Final = (
    _ABOVE
    + """import asyncio
from types import SimpleNamespace

from PACKAGE.MODULE import get_engine


def test_MODULE_greets() -> None:
    result = asyncio.run(get_engine().execute({"config": {"who": "you"}}, SimpleNamespace(org_slug="acme")))
    assert result == {"status": "SUCCESS", "message": "hello you"}
"""
)
