"""`integrations.validate_claude`: tries the stored key of Anthropic, as `anthropic.validation` does."""

from __future__ import annotations

from convergence.processors.anthropic import validation
from convergence.processors.anthropic.api import ApiSettings
from convergence.processors.credential_trial import CredentialTrial


def get_engine() -> CredentialTrial[ApiSettings]:
    """Return the processor."""
    return validation.get_engine()
