"""Parameters that point a pipeline to the sandbox: keys and addresses, by the names of shipped parameters."""

from __future__ import annotations

from typing import Any, Final

from convergence.sandbox import anthropic, azure, deepseek, google, openai

SEATS: Final = {"seats": "5", "starts_on": "2026-01-01"}  # assumed: OpenAI has no API for seats


def parameters(provider: str, url: str) -> dict[str, Any]:
    """Return parameters for pipelines of `provider`, the secret `api_key` among them; none for one that is not here.

    `url` is the sandbox's base URL.
    """
    if provider == "openai":
        return {"api_key": openai.ADMIN_KEY, "api_base_url": url, **SEATS}
    if provider == "anthropic":
        return {"api_key": anthropic.ADMIN_KEY, "api_base_url": url}
    if provider == "deepseek":
        return {"api_key": deepseek.KEY, "api_base_url": url, "allow_private_addresses": True}
    if provider == "azure_openai":
        token_url = f"{url}/azure/token"
        where = {"resource_id": azure.RESOURCE, "token_url": token_url, "api_base_url": url}
        return {"api_key": azure.CREDENTIAL, **where}
    if provider in {"gemini", "vertex"}:
        export = {"billing_export_table": google.TABLE, "bigquery_url": f"{url}/bigquery/v2"}
        metrics = {"vertex_project": google.PROJECT, "monitoring_url": url}
        return {"api_key": google.service_account(url), **export, **metrics}
    return {}
