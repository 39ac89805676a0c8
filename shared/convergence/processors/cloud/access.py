"""The common part of all clouds' authenticators: checks whether the stored credential opens the place of the bills."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from convergence.errors import CredentialRejected
from convergence.ports.object_store import ObjectStore
from convergence.ports.processor import SUCCESS, Context
from convergence.processors.files.settings import Source
from convergence.processors.settings import Settings, settings

FILES_MAX: Final = 10_000
TRIED_MAX: Final = 64 * 2**20  # bytes of a file that are fetched because nothing can be listed


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
            files = await _files(source, store, context)
        except CredentialRejected as error:
            await context.credentials.mark(options.provider, valid=False, reason=str(error)[:200])
            raise
        await context.credentials.mark(options.provider, valid=True)
        return {"status": SUCCESS, "files": files, "rows_processed": 0, "rows_written": 0}


async def _files(source: Source, store: ObjectStore, context: Context) -> int:
    """Return how many files there are; addresses are fetched, since they cannot be listed."""
    if source.kind != "https":
        return len(await store.list(source.path, most=FILES_MAX))
    urls = source.urls_of(context.start_date)
    with tempfile.TemporaryDirectory(prefix="convergence-files-") as folder:
        for url in urls:
            await store.fetch(url, Path(folder) / "file", bytes_max=TRIED_MAX)
    return len(urls)
