"""The API without an installation behind it: enough for its document."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from fastapi import FastAPI

from convergence.config.settings.deployment import Settings
from convergence.entry.api.app import create_app
from convergence.entry.api.runtime import Runtime


def app() -> FastAPI:
    """An application whose routes cannot be called; production's has no development routes."""
    return create_app(cast("Runtime", SimpleNamespace(settings=Settings(ENVIRONMENT="production"))))
