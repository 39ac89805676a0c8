"""`generic.noop`: succeeds at once. For examples, joins and measurements of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

from convergence.ports.processor import SUCCESS, Context
from convergence.processors.settings import Settings


class NoopSettings(Settings):
    """Any keys."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Noop:
    """Does nothing; its `config` is returned as named outputs."""

    config_model = NoopSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:  # noqa: ARG002 - the port's signature
        """Return SUCCESS."""
        return {**step_config.get("config", {}), "status": SUCCESS}


def get_engine() -> Noop:
    """Return the processor."""
    return Noop()
