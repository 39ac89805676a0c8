"""Every client of a step meets an answer that swells: the step ends, and memory stays bounded."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any, cast

import pytest

from convergence.adapters.gcp.google_accounts.adapter import GoogleAccounts
from convergence.adapters.http.client import StepClient
from convergence.adapters.local.clock import RandomIds
from convergence.adapters.local.google_accounts.adapter import RestAccounts
from convergence.adapters.local.warehouse.adapter import DuckDbWarehouse
from convergence.errors import StepFailed
from convergence.processors.http.auth import Auth, signed
from convergence.processors.http.client import RestClient
from convergence.processors.notify_systems.slack_notification import SlackProcessor
from convergence.sandbox import google
from convergence.sandbox.http import HttpServer, Response
from tests.unit.adapters.bombs import bomb, peak_mib
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext


async def extraction(context: WorldContext, url: str) -> None:
    await RestClient(context, url, headers={}, service="API", bytes_max=2**20).get("/rows")


async def token(context: WorldContext, url: str) -> None:
    await signed(Auth(type="oauth2", provider="acme", token_url=url), context, "loopback")


async def slack(context: WorldContext, url: str) -> None:
    config = {"message": "m", "webhook_url": url, "allow_private_addresses": True}
    await SlackProcessor().execute({"config": config}, context)


async def google_token(context: WorldContext, url: str) -> None:
    accounts = RestAccounts(lambda: context.http, ManualClock(), RandomIds())
    await accounts.token(google.service_account(url), ["scope"])


async def google_token_of_a_function(context: WorldContext, url: str) -> None:
    accounts = GoogleAccounts(lambda: context.http, clock=ManualClock(), ids=RandomIds(), endpoint="127.0.0.1:1")
    await accounts.token(google.service_account(url), ["scope"])


@pytest.mark.parametrize("call", [extraction, token, slack, google_token, google_token_of_a_function])
@pytest.mark.parametrize("twice", [False, True])
def test_an_answer_that_swells_ends_the_step_in_bounded_memory(call: Any, twice: bool) -> None:
    small = bomb(300)
    body, coding = (gzip.compress(small), "gzip, gzip") if twice else (small, "gzip")

    async def main() -> None:
        server = HttpServer(lambda _: Response(200, body, {"content-encoding": coding}))
        url = await server.start()
        try:
            async with StepClient() as client:
                context = WorldContext(
                    client, cast("DuckDbWarehouse", None), ManualClock(), secrets=Vault({"acme": "id:secret"})
                )
                await call(context, url)
        finally:
            await server.stop()

    def run() -> None:
        with pytest.raises(StepFailed, match=r"sends more than 1 MiB|only gzip is understood"):
            asyncio.run(main())

    assert peak_mib(run) < 24
