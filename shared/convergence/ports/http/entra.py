"""Apps of Entra: the forms of their credential, and what a request for a token holds.

Sources: RFC 6749, section 4.4 (client_secret); RFC 7523, section 2.2 (client_assertion: a JWT that Entra trusts by a
federated credential of the app).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from convergence.errors import StepFailed

LOGIN: Final = "https://login.microsoftonline.com"
FORMS: Final = (
    frozenset({"tenant_id", "client_id", "client_secret"}),
    frozenset({"tenant_id", "client_id", "client_assertion"}),
)
_NAMES: Final = frozenset({"tenant_id", "client_id"})
_TENANT: Final = re.compile(r"[A-Za-z0-9.-]{1,100}")
_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def is_app(fields: Any) -> bool:
    """Return whether `fields` are those of an app. Raises `StepFailed`, without quoting them, for an app without a
    tenant, and for one without a secret or assertion.
    """
    if isinstance(fields, Mapping) and fields.keys() == _NAMES:
        raise StepFailed(
            "tenant_id and client_id alone are not a credential: add client_secret or client_assertion. The"
            " installation does not sign in to Azure as itself, because one org could then name another's app"
        )
    if not isinstance(fields, Mapping) or fields.keys() not in FORMS or not all(map(_is_text, fields.values())):
        return False
    if not _TENANT.fullmatch(fields["tenant_id"]):
        raise StepFailed("tenant_id is not the id or domain of an Entra tenant")
    return True


def token_url(app: Mapping[str, str], login: str = LOGIN) -> str:
    """Return where the app's tenant issues tokens."""
    return f"{login}/{app['tenant_id']}/oauth2/v2.0/token"


def token_form(app: Mapping[str, str], scope: str) -> dict[str, str]:
    """Return the fields of a request for a token."""
    form = {"grant_type": "client_credentials", "client_id": app["client_id"], "scope": scope}
    if "client_secret" in app:
        return {**form, "client_secret": app["client_secret"]}
    return {**form, "client_assertion_type": _JWT_BEARER, "client_assertion": app["client_assertion"]}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
