"""Parameters that point a provider's pipelines to the sandbox: the registry names them, with placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.sandbox import google


def parameters(declared: Mapping[str, str | bool], url: str) -> dict[str, Any]:
    """Return a provider's `sandbox` parameters with `{url}` and `{service_account}` filled in.

    `url` is the sandbox's base URL; a service account is a JSON key that this sandbox knows.
    """
    return {name: _filled(value, url) if isinstance(value, str) else value for name, value in declared.items()}


def _filled(value: str, url: str) -> str:
    if value == "{service_account}":
        return google.service_account(url)
    return value.replace("{url}", url)
