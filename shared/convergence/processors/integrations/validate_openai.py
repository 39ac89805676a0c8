"""`integrations.validate_openai`: tries the stored key of OpenAI, as `openai.validation` does."""

from __future__ import annotations

from convergence.processors.openai.validation import ValidationProcessor


def get_engine() -> ValidationProcessor:
    """Return the processor."""
    return ValidationProcessor()
