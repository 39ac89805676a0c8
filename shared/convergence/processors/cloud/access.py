"""What the authenticators of all clouds share: does the stored credential open the place of the bills?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convergence.errors import CredentialRejected
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.files.settings import Source
from convergence.processors.settings import Settings, settings

FILES_MAX = 10_000


class AccessSettings(Settings):
    """`provider`: whose credential is tried."""

    provider: str

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the name of the credential."""
        return ((self.provider,),)


class PlaceAuthenticator:
    """Lists the files below `source.path`, and records on the credential whether that was allowed."""

    config_model = AccessSettings
    source_model = Source
    tries_credential = True

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Return how many files there are. Raises what the place raises; a refused credential is marked invalid."""
        options = settings(AccessSettings, step_config)
        source = settings(Source, step_config, "source")
        secret = await context.secrets.open(options.provider)
        try:
            store = await context.objects.open(source.place, secret)
            files = await store.list(source.path, most=FILES_MAX)
        except CredentialRejected as error:
            await context.credentials.mark(options.provider, valid=False, reason=str(error)[:200])
            raise
        await context.credentials.mark(options.provider, valid=True)
        return {"status": SUCCESS, "files": len(files), "rows_processed": 0, "rows_written": 0}
