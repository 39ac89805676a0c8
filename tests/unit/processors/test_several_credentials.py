"""A run of several providers: each row has the credential of its own source."""

from __future__ import annotations

import asyncio
import shutil
from datetime import date
from pathlib import Path

from tests.unit.processors.installation import CONFIGS, ORG, days, installed

PIPELINE = """
pipeline_id: "{org_slug}-genai-cost-all"
provider: genai
domain: cost
parameters: {api_base_url: {type: string, required: true}}
steps:
  - step_id: extract_openai
    ps_type: genai.payg_usage
    config: {provider: openai, api_base_url: "{api_base_url}"}
  - step_id: extract_anthropic
    ps_type: anthropic.usage
    config: {api_base_url: "{api_base_url}"}
  - step_id: price_all
    ps_type: genai.payg_cost
    depends_on: [extract_openai, extract_anthropic]
    config: {on_unknown_model: warn}
  - step_id: price_again
    ps_type: genai.payg_cost
    depends_on: [price_all]
    config: {provider: anthropic, on_unknown_model: warn}
"""


def test_each_row_has_the_credential_of_its_source(tmp_path: Path) -> None:
    root = shutil.copytree(CONFIGS, tmp_path / "configs")
    (root / "genai" / "cost" / "all.yml").write_text(PIPELINE)

    async def main() -> None:
        async with installed(tmp_path / "data", configs=root) as here:
            await here.set_up("openai", "anthropic")
            credentials = here.installation.services.credentials
            own = {}
            for provider in ("openai", "anthropic"):
                found = await credentials.find(ORG, provider)
                assert found is not None
                own[provider] = found.credential_id
            day = date(2026, 11, 10)
            for _ in range(2):  # the second run replaces what the first one wrote
                results = await here.good("genai/cost/all", api_base_url=here.url, **days(day, day))
                assert set(results["price_all"]["tables"]) == {"openai_cost_daily", "anthropic_cost_daily"}
                assert results["price_again"]["rows_written"] > 0
                for provider, credential in own.items():
                    for table in (f"{provider}_usage_daily_raw", f"{provider}_cost_daily"):
                        sql = f"SELECT x_credential_id AS id, COUNT(DISTINCT x_run_id) AS runs FROM {table} GROUP BY 1"
                        assert await here.rows(sql) == [{"id": credential, "runs": 1}], table

    asyncio.run(main())
