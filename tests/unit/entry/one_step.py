"""The text of a pipeline's file with one step, for tests of `validate`."""

from __future__ import annotations

from typing import Final

HEAD: Final = 'pipeline_id: "{org_slug}-shop-slip"\nprovider: shop\n'


def step(ps_type: str, config: str, rest: str = "") -> str:
    """Return a file with one step."""
    return f"{HEAD}steps:\n  - step_id: load_slip\n    ps_type: {ps_type}\n    config: {config}\n{rest}"
