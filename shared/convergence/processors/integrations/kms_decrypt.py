"""`integrations.kms_decrypt`: checks that a stored credential opens. Its plaintext never leaves this step.

Older files decrypt a key here and use it later; today each step opens the key itself, when it needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convergence.config.processors import ps_types
from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.settings import Settings, settings


class DecryptSettings(Settings):
    """`require_valid`: the credential must have been tried and found valid, where the provider has a way to try it.

    `context_key` of older files is no longer used: a credential is opened by its provider.
    """

    provider: str
    context_key: str = ""
    require_valid: bool = False

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the provider."""
        return ((self.provider,),)


class DecryptProcessor:
    """Opens the credential and discards it."""

    config_model = DecryptSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return a reference with which later steps open the same credential.

        Raises `StepFailed` when there is no credential, or when it does not open.
        """
        options = settings(DecryptSettings, step_config)
        if not (await context.secrets.open(options.provider)).strip():
            raise StepFailed(f"the credential of {options.provider!r} is empty; store it again")
        known = await context.credentials.status(options.provider) if options.require_valid else "valid"
        if known != "valid" and (known != "stored" or _can_be_tried(options.provider)):
            raise StepFailed(
                f"the credential of {options.provider!r} is {known}, and config.require_valid needs a valid one; try it"
                f" with: convergence integration validate {context.org_slug} {options.provider}"
            )
        never_tried = [f"the credential of {options.provider!r} was never validated: nothing here can do that"]
        return {
            "status": SUCCESS,
            "provider": options.provider,
            "credential_id": await context.credentials.credential_id(options.provider),
            "opens": True,
            "warnings": never_tried if known == "stored" else [],
        }


def _can_be_tried(provider: str) -> bool:
    return any(map(ps_types.is_installed, (f"{provider}.validation", f"integrations.validate_{provider}")))


def get_engine() -> DecryptProcessor:
    """Return the processor."""
    return DecryptProcessor()
