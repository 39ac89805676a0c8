"""`integrations.validate_gcp` against a token server that checks the signature, and a dry run of BigQuery."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import orjson
import pytest

from convergence.adapters.http.transport import CheckedTransport
from convergence.errors import ConvergenceError
from convergence.processors.integrations import validate_gcp
from convergence.sandbox import bigquery, google
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext


def tried(
    edit: Mapping[str, Any] | None = None, *, key: str = "", status: int = 200
) -> tuple[Mapping[str, Any] | str, Vault]:
    """Validate the sandbox's key, changed by `edit`; return the result or the error's text."""

    queries = bigquery.BigQuery()

    def handler(request: Request) -> Response:
        if not request.path.endswith("/queries"):
            return google.answer(request)
        assert orjson.loads(request.body)["dryRun"] is True
        return queries.answer(request) if status == 200 else google.error(status, "no", "PERMISSION_DENIED")

    async def main() -> tuple[Mapping[str, Any] | str, Vault]:
        server = HttpServer(handler)
        url = await server.start()
        whole = {**orjson.loads(google.service_account(url)), **(edit or {})}
        whole["token_uri"] = f"{url}{google.TOKEN_PATH}"
        vault = Vault({"gcp": key or orjson.dumps(whole).decode()})
        try:
            async with httpx.AsyncClient(transport=CheckedTransport()) as client:
                context = WorldContext(client, None, ManualClock(), secrets=vault, credentials=vault)
                step = {"config": {"api_base_url": f"{url}{bigquery.ROOT}"}}
                return await validate_gcp.get_engine().execute(step, context), vault
        except ConvergenceError as error:
            return f"{type(error).__name__}: {error}", vault
        finally:
            await server.stop()

    return asyncio.run(main())


def test_a_good_key_gets_a_token_and_an_answer_and_is_marked_valid() -> None:
    result, vault = tried()
    assert result == {"status": "SUCCESS", "valid": True, "project": google.PROJECT}
    assert vault.marks == [("gcp", True, "")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": "AIza-not-a-service-account"}, "StepFailed.*not a JSON key of a service account"),
        ({"edit": {"private_key": "-----BEGIN"}}, "StepFailed.*private_key.*cannot be read"),
        ({"edit": {"client_email": "other@x.iam.gserviceaccount.com"}}, "CredentialRejected.*store a (new )?key"),
        ({"edit": {"project_id": ""}}, "StepFailed.*set config.project"),
        ({"status": 403}, "CredentialRejected.*BigQuery Job User"),
    ],
)
def test_a_bad_key_is_marked_with_what_to_do_and_never_quoted(given: dict[str, Any], message: str) -> None:
    import re

    found, vault = tried(**given)
    assert isinstance(found, str)
    assert re.search(message, found), found
    ((provider, valid, reason),) = vault.marks
    assert (provider, valid) == ("gcp", False)
    assert vault.secrets["gcp"] not in reason
    assert "PRIVATE KEY" not in found + reason


def test_a_busy_service_says_nothing_about_the_key() -> None:
    found, vault = tried(status=503)
    assert isinstance(found, str)
    assert found.startswith("Transient")
    assert vault.marks == []
