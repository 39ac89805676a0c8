"""One cheap call with a stored credential, whose outcome is recorded with it: the processor `{provider}.validation`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from convergence.errors import CredentialRejected
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.http.client import RestClient
from convergence.processors.settings import CredentialSettings, settings

Options = TypeVar("Options", bound=CredentialSettings)


class CredentialTrial(Generic[Options]):
    """Tries the credential that `secret` names, and marks it valid, or invalid with the reason."""

    tries_credential = True

    def __init__(self, model: type[Options], ask: Callable[[Context, Options], Awaitable[RestClient]]) -> None:
        """`ask` makes the call with the step's options, and returns the client that made it."""
        self.config_model = model
        self._ask = ask

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Make the call and mark the credential.

        Raises:
            CredentialRejected: the provider refuses the credential; it is marked first.
        """
        options = settings(self.config_model, step_config)
        try:
            client = await self._ask(context, options)
        except CredentialRejected as refusal:
            await context.credentials.mark(options.secret, valid=False, reason=str(refusal))
            raise
        await context.credentials.mark(options.secret, valid=True)
        return {"status": SUCCESS, "valid": True, "http_retries": client.retries}
