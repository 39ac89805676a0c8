"""Azure Resource Manager for the steps of this provider: an Entra token, one resource of one subscription."""

from __future__ import annotations

import re
from typing import Final

from pydantic import field_validator

from convergence.ports.processor import Context
from convergence.processors.http.auth import Auth, renewal, signed
from convergence.processors.http.client import RestClient
from convergence.processors.settings import CredentialSettings

BASE_URL: Final = "https://management.azure.com"
SCOPE: Final = "https://management.azure.com/.default"
RENEW: Final = (
    "Store client_id and client_secret of an app with the roles Monitoring Reader (usage) and Cost Management Reader"
    " (cost), then replay."
)
_RESOURCE: Final = re.compile(
    r"/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[\w.()-]{1,90}"
    r"/providers/Microsoft\.CognitiveServices/accounts/[\w.-]{2,64}",
    re.IGNORECASE,
)


class AzureSettings(CredentialSettings):
    """`resource_id`: the Azure OpenAI account, `/subscriptions/…/providers/Microsoft.CognitiveServices/accounts/…`.

    The credential is `{"client_id": …, "client_secret": …}`; `token_url` is that of the Entra tenant.
    """

    resource_id: str
    token_url: str
    api_base_url: str = BASE_URL
    secret: str = "azure"  # noqa: S105 - the name of a secret

    @field_validator("resource_id")
    @classmethod
    def _is_an_account(cls, value: str) -> str:
        if not _RESOURCE.fullmatch(value):
            raise ValueError(
                "must read /subscriptions/ID/resourceGroups/NAME/providers/Microsoft.CognitiveServices/accounts/NAME"
            )
        return value

    @property
    def subscription(self) -> str:
        """The path of the subscription."""
        return "/".join(self.resource_id.split("/")[:3])


async def connect(context: Context, options: AzureSettings, service: str) -> RestClient:
    """Return a client that sends a token of the run's app."""
    auth = Auth(type="oauth2", provider=options.secret, token_url=options.token_url, scope=SCOPE)
    headers, _ = await signed(auth, context, "loopback")
    sign_in = renewal(auth, context, "loopback")
    return RestClient(context, options.api_base_url, headers=headers, service=service, renew=RENEW, sign_in=sign_in)
