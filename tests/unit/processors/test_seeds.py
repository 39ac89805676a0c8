"""A set-up loads the shipped price list, and leaves one that was refreshed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.unit.processors.installation import installed


def test_a_set_up_keeps_a_price_list_that_was_loaded_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with installed(tmp_path) as here:
            await here.set_up("openai")
            asks = {"api_key": here.key("openai"), "api_base_url": here.url}
            again = (await here.good("openai/auth/setup", **asks))["seed_model_pricing"]
            assert again["rows_written"] > 100  # its own list is loaded again
            await here.good("genai/reprice/openai", apply=True, start_date="2026-11-10", end_date="2026-11-10")
            kept = (await here.good("openai/auth/setup", **asks))["seed_model_pricing"]
            assert (kept["rows_written"], kept["kept"].partition(" loaded")[0]) == (
                0,
                "openai_model_pricing: kept as acme-genai-reprice-openai",
            )

    asyncio.run(main())
