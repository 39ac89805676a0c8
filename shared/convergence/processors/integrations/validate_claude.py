"""`integrations.validate_claude`: tries the stored key of Anthropic, as `anthropic.validation` does."""

from __future__ import annotations

from convergence.processors.anthropic.validation import ValidationProcessor


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
