"""`integrations.validate_openai`: tries the stored key of OpenAI, as `openai.validation` does."""

from __future__ import annotations

from convergence.processors.credential_trial import CredentialTrial
from convergence.processors.openai import validation
from convergence.processors.openai.api import ApiSettings


def get_engine() -> CredentialTrial[ApiSettings]:
    """Return the processor."""
    return validation.get_engine()
