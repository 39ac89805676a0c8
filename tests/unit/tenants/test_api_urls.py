"""Which addresses a tenant's parameters may name in production."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.files.providers import load_providers
from convergence.errors import InvalidInput
from convergence.tenants.api_urls import check_api_urls

REGISTRY = load_providers(Path(__file__).parents[3] / "configs")


@pytest.mark.parametrize(
    "given",
    [
        {"api_base_url": "https://api.openai.com/v1"},
        {"api_base_url": "https://API.openai.com:443/v1"},
        {"token_url": "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"},
        {"note": "http://127.0.0.1/"},
        {},
    ],
)
def test_what_the_registry_names_and_what_is_not_an_address_may_pass(given: dict[str, str]) -> None:
    check_api_urls(REGISTRY, given)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "https://api.openai.com:8443/v1",
        "https://me@api.openai.com/v1",
        "https://api.openai.com.evil.example/v1",
        "https://evil.example/api.openai.com",
        "https://api.openai.com@evil.example/v1",
        "https://127.0.0.1/v1",
        "https://[::1]/v1",
        "https://10.0.0.5/v1",
        "https://169.254.169.254/latest",
        "https://metadata.google.internal/v1",
        "https://localhost",
        "https://[broken",
        "ftp://api.openai.com",
        "",
        "//api.openai.com",
    ],
)
def test_any_other_address_is_refused_by_the_parameters_name(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^api_base_url"):
        check_api_urls(REGISTRY, {"api_base_url": url})
