"""Selection of a run's credential: the caller's choice, or the provider's default or only one."""

from __future__ import annotations

import re
from typing import Final

from convergence.config.model.pipeline import Pipeline
from convergence.errors import IntegrationInactive, InvalidInput
from convergence.tenants.credentials import CredentialStore, credential_id_of
from convergence.tenants.orgs import Org

NAME: Final = re.compile(r"[A-Za-z0-9._-][A-Za-z0-9 ._-]{0,99}")


async def choose_credential(
    credentials: CredentialStore, org: Org, pipeline: Pipeline, expected: str, *, named: str = ""
) -> str:
    """Return the credential id of a run, empty when the pipeline uses none. Nothing has been stored yet.

    `named` is the name of the credential that the run is about to store: its later steps try that one, whichever is
    the default.

    Raises:
        InvalidInput: the requested one does not exist or is another provider's, or there are several and no default.
        IntegrationInactive: a provider that the pipeline needs (`integration_required`) has no working credential.
    """
    if named and not expected:
        if not NAME.fullmatch(named):
            raise InvalidInput(
                "credential_name must have 1 to 100 letters, digits, spaces and . _ - and must not begin with a space"
            )
        return credential_id_of(org.slug, pipeline.provider, named)
    chosen = expected or org.default_credentials.get(pipeline.provider, "")
    if expected:
        found = await credentials.find(org.slug, pipeline.provider, expected)
        if found is None or found.provider != pipeline.provider:
            raise InvalidInput(f"{org.slug} has no {pipeline.provider} credential {expected[:100]!r}")
    for provider in pipeline.integration_required:
        own = provider == pipeline.provider
        usable = await credentials.find(org.slug, provider, chosen if own else "")
        if usable is None:
            several = [each.credential_id for each in await credentials.all(org.slug, provider)]
            if several:
                raise InvalidInput(
                    f"{org.slug} has {len(several)} {provider} credentials and no default; name one as credential_id: "
                    + ", ".join(several)
                )
        if usable is None or usable.status == "invalid":
            raise IntegrationInactive(f"{provider} integration not active; set it up with {provider}/auth/setup")
        if own:
            chosen = usable.credential_id
    return chosen
