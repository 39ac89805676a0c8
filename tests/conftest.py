"""`--run-integration` adds the real services to the adapters under test."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

PROJECT = "CONVERGENCE_GCP_PROJECT"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--run-integration",
        action="store_true",
        help=f"also run against the Google Cloud project named by {PROJECT}; resources are removed afterwards",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to pretend: the option without a project tests nothing. No property fails because a machine is slow."""
    settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("unhurried")
    if config.getoption("--run-integration") and not os.environ.get(PROJECT):
        raise pytest.UsageError(f"--run-integration needs {PROJECT}, the id of a project for tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without the option the real services are deselected, not skipped by the hundred."""
    if config.getoption("--run-integration"):
        return
    real = [item for item in items if item.get_closest_marker("integration") is not None]
    if real:
        config.hook.pytest_deselected(items=real)
        items[:] = [item for item in items if item.get_closest_marker("integration") is None]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: compressed ones differ from process to process, and ids must not."""
    return argname if isinstance(val, bytes) else None
