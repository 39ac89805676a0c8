"""Names and types of providers as older files and callers write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OLDER: Final[Mapping[str, str]] = {
    "OPENAI": "openai",
    "ANTHROPIC": "anthropic",
    "CLAUDE": "anthropic",
    "GCP": "gcp",
    "GCP_SA": "gcp",
    "AWS": "aws",
    "AWS_IAM": "aws",
    "AWS_KEYS": "aws",
    "AZURE": "azure",
    "OCI": "oci",
}


def current(name: str) -> str:
    """Return today's name of a provider; others are returned unchanged."""
    return OLDER.get(name, name)
