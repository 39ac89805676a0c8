"""Rows of fast pages through `generic.api_extractor`, from the first request to the visible slice."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tests.bench import pages

PIPELINE: Final = """
pipeline_id: "{{org_slug}}-bench-shape-extract"
provider: bench
domain: shape
steps:
  - step_id: extract_rows
    ps_type: generic.api_extractor
    timeout_minutes: 60
    config:
      url: "{url}/rows"
      params: {params}
      data_path: data
      pagination: {{type: cursor, param: page, response_path: next_page}}
      allow_private_addresses: true
    destination: {{table: bench_usage_daily_raw}}
"""


def measure(rows: int = 100_000) -> dict[str, Any]:
    """Return rows per second, processor time per row, and peak memory."""
    with pages.server() as url:
        text = PIPELINE.format(url=url, params=f"{{pages: {rows // pages.PAGE_ROWS}}}")
        return asyncio.run(pages.measure("extract", text, rows))
