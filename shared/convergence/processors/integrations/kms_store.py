"""`integrations.kms_store`: keeps a provider's key encrypted. The plaintext leaves this step in no form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.settings import Settings, settings


class StoreSettings(Settings):
    """`parameter`: the declared parameter of type secret; `name` distinguishes several keys of one provider."""

    provider: str
    parameter: str = "api_key"
    name: str = "default"

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the parameter that holds the key."""
        return ((self.parameter,),)

    def stores(self) -> str:
        """Return the provider whose credential exists afterwards."""
        return self.provider


class StoreProcessor:
    """Opens a secret parameter of the run and stores it as a credential of the org; the same name rotates it."""

    config_model = StoreSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return the credential id."""
        options = settings(StoreSettings, step_config)
        plaintext = (await context.secrets.open(options.parameter)).strip()
        written_as_json = plaintext.startswith("{")  # a service account: its private key contains spaces
        if not plaintext or (not written_as_json and any(character.isspace() for character in plaintext)):
            raise StepFailed(f"the parameter {options.parameter!r} is empty or contains spaces: that is not a key")
        credential_id = await context.credentials.store(options.provider, plaintext, name=options.name)
        return {"status": SUCCESS, "credential_id": credential_id, "provider": options.provider, "rows_written": 1}


def get_engine() -> StoreProcessor:
    """Return the processor."""
    return StoreProcessor()
