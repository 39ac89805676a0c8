"""`{provider}/auth/setup` and `validate` of all LLM providers: a good key is marked valid, a refused one invalid."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from convergence.sandbox import azure
from tests.unit.processors.installation import ORG, Here, installed

# What the validation asks for, beside the credential.
ASKED = {
    "openai": ("api_base_url",),
    "anthropic": ("api_base_url",),
    "deepseek": ("api_base_url",),
    "gemini": ("bigquery_url",),
    "vertex": ("vertex_project", "monitoring_url", "bigquery_url"),
    "azure_openai": ("resource_id", "token_url", "api_base_url"),
}


def given(here: Here, provider: str) -> dict[str, Any]:
    known = here.asks(provider)
    return {name: known[name] for name in ASKED[provider]}


def refused(here: Here, provider: str) -> str:
    """Return a credential of the right form that the provider does not know."""
    if provider == "azure_openai":
        return azure.CREDENTIAL.replace("sandbox-secret", "n0t-the-secret")
    if provider in {"gemini", "vertex"}:
        return orjson.dumps({**orjson.loads(here.key(provider)), "client_email": "n0t-the-secret@x.test"}).decode()
    return "n0t-the-secret"


async def status(here: Here, provider: str) -> str:
    (found,) = await here.installation.services.credentials.all(ORG, provider)
    return found.status


@pytest.mark.parametrize("provider", ASKED)
def test_a_key_is_tried(provider: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with installed(tmp_path) as here:
            await here.set_up(provider)
            results = await here.good(f"{provider}/auth/validate", **given(here, provider))
            assert results["validate_credential"]["valid"] is True
            assert await status(here, provider) == "valid"

            more = {"api_base_url": here.url} if provider in {"openai", "anthropic"} else {}
            await here.run(f"{provider}/auth/setup", api_key=refused(here, provider), **more)
            run = await here.run(f"{provider}/auth/validate", **given(here, provider))
            assert run.status == "failed"
            assert await status(here, provider) == "invalid"
            assert "n0t-the-secret" not in str(run.error)

    asyncio.run(main())


def test_an_account_that_may_not_read_the_metrics_is_marked_by_the_last_word(tmp_path: Path) -> None:
    """BigQuery accepts it, Cloud Monitoring of another project does not."""

    async def main() -> None:
        async with installed(tmp_path) as here:
            await here.set_up("vertex")
            asked = {**given(here, "vertex"), "vertex_project": "another"}
            run = await here.run("vertex/auth/validate", **asked)
            assert (run.status, await status(here, "vertex")) == ("failed", "invalid")
            assert "Monitoring Viewer" in str(run.error)

    asyncio.run(main())
