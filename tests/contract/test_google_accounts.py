"""Customers' accounts: both adapters against a token server that checks signatures, and BigQuery's REST API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from convergence.adapters.gcp.google_accounts.adapter import GoogleAccounts
from convergence.adapters.http.client import StepClient
from convergence.adapters.local.clock import RandomIds
from convergence.adapters.local.google_accounts.adapter import RestAccounts
from convergence.errors import ConvergenceError, CredentialRejected, StepFailed, StillRunning, Transient
from convergence.ports.google_accounts import Accounts
from convergence.ports.warehouse import Parameter
from convergence.sandbox import bigquery as stand_in
from convergence.sandbox import google
from convergence.sandbox.http import HttpServer, Request, Response
from tests.emulators.bigquery import running
from tests.unit.processors.step_world import ManualClock

EXPORT = f"SELECT * FROM `{google.TABLE}` WHERE day BETWEEN @start_date AND @end_date AND service IN UNNEST(@services)"
ASKED = {
    "start_date": Parameter("DATE", date(2026, 11, 10)),
    "end_date": Parameter("DATE", date(2026, 11, 13)),
    "services": Parameter("ARRAY<STRING>", ["Gemini API", "Vertex AI"]),
}


class Google:
    """Tokens that are all different, and the sandbox's BigQuery; `answers` replace what it says, by path's end."""

    def __init__(self) -> None:
        self.server = HttpServer(self._handle)
        self.issued: list[str] = []
        self.used: list[str] = []
        self.answers: dict[str, Response] = {}
        self._bigquery = stand_in.BigQuery()
        self.url = ""

    async def start(self) -> None:
        self.url = await self.server.start() + "/v1"

    def key(self, **changed: Any) -> str:
        return orjson.dumps({**orjson.loads(google.service_account(self.url)), **changed}).decode()

    def _handle(self, request: Request) -> Response:
        planned = next((answer for end, answer in self.answers.items() if request.path.endswith(end)), None)
        if request.path == google.TOKEN_PATH:
            answer = planned or google.answer(request)
            self.issued.append(f"ya29.number-{len(self.issued) + 1}")
            token = {"access_token": self.issued[-1], "token_type": "Bearer", "expires_in": 3599}
            return Response(200, orjson.dumps(token)) if answer.status == 200 else answer
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        assert bearer in self.issued
        self.used.append(bearer)
        return planned or self._bigquery.answer(
            request._replace(headers={**request.headers, "authorization": f"Bearer {google.TOKEN}"})
        )


Make = Callable[[Google], Accounts]
World = Callable[[Callable[[Google, Callable[[], Accounts], str], Awaitable[Any]]], Any]


@pytest.fixture(params=["rest", "google"])
def world(request: pytest.FixtureRequest) -> World:
    """Run a body against a server, a way to make accounts, and the address of BigQuery."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Google, Callable[[], Accounts]]]:
        there, made, clock, ids = Google(), list[Accounts](), ManualClock(), RandomIds()
        await there.start()
        async with httpx.AsyncClient() as http:

            def make() -> Accounts:
                if request.param == "rest":
                    made.append(RestAccounts(lambda: http, clock, ids))
                else:
                    made.append(GoogleAccounts(lambda: http, clock=clock, ids=ids, endpoint="127.0.0.1:1"))
                return made[-1]

            try:
                yield there, make
            finally:
                for accounts in made:
                    await accounts.close()
                await there.server.stop()

    def run(body: Callable[[Google, Callable[[], Accounts], str], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with opened() as (there, make):
                return await body(there, make, f"{there.url}/bigquery/v2")

        return asyncio.run(main())

    return run


def test_rows_come_typed_and_in_pages_of_bounded_size(world: World) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> Any:
        reader = await make().reader(there.key(), url=url)
        assert reader.project == google.PROJECT
        return [page async for page in reader.pages(EXPORT, ASKED, page_rows=5)]

    pages = world(body)
    assert [len(page) for page in pages] == [5, 5, 2]
    assert pages[0][0]["usage_date"] == date(2026, 11, 10)
    assert isinstance(pages[0][0]["cost"], Decimal)
    keys = [(row["usage_date"], row["sku_id"]) for page in pages for row in page]
    assert len(set(keys)) == 12


def test_a_job_goes_on_without_its_caller_and_its_rows_are_read_from_any_one_on(world: World) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> None:
        whole = [page async for page in (await make().reader(there.key(), url=url)).pages(EXPORT, ASKED)]
        job = await (await make().reader(there.key(), url=url)).begin(EXPORT, ASKED)
        reader = await make().reader(there.key(), url=url)
        pages = [page async for page in reader.result(job, first_row=3, page_rows=5, wait_s=60)]
        assert [len(page) for page in pages] == [5, 4]
        assert [row for page in pages for row in page] == whole[0][3:]
        with pytest.raises(StepFailed, match="limit for bytes billed"):
            await reader.begin(EXPORT, ASKED, bytes_max=1)

    world(body)


def test_a_job_that_goes_on_is_left_alone_when_the_wait_is_over(world: World) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> None:
        reader = await make().reader(there.key(), url=url)
        job = await reader.begin(EXPORT, ASKED)
        name = job.partition(".")[2]
        running = {"jobReference": {"projectId": google.PROJECT, "jobId": name, "location": "EU"}}
        there.answers[f"/queries/{name}"] = Response(200, orjson.dumps({"jobComplete": False, **running}))
        state = {"configuration": {"jobType": "QUERY", "query": {}}, "status": {"state": "RUNNING"}, **running}
        there.answers[f"/jobs/{name}"] = Response(200, orjson.dumps(state))
        with pytest.raises(StillRunning, match=f"job {name}"):
            [page async for page in reader.result(job, wait_s=5)]
        there.answers.clear()
        assert [len(page) async for page in reader.result(job, wait_s=5)] == [12]

    world(body)


def test_an_estimate_runs_nothing_and_a_limit_stops_a_query_before_it_reads(world: World) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> Any:
        reader = await make().reader(there.key(), url=url)
        assert await reader.estimate("SELECT 1") > 0
        with pytest.raises(StepFailed, match="limit for bytes billed"):
            [page async for page in reader.pages(EXPORT, ASKED, bytes_max=1)]

    world(body)


def test_two_executions_share_neither_token_nor_client(world: World) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> Any:
        first, second = make(), make()
        readers = [await accounts.reader(there.key(), url=url) for accounts in (first, second)]
        for reader in readers:
            await reader.estimate("SELECT 1")
        assert there.used == there.issued == ["ya29.number-1", "ya29.number-2"]
        assert await first.token(there.key(), ("https://www.googleapis.com/auth/monitoring.read",)) == "ya29.number-3"

    world(body)


def grant(description: str) -> dict[str, Response]:
    message = {"error": "invalid_grant", "error_description": description}
    return {google.TOKEN_PATH: Response(400, orjson.dumps(message))}


@pytest.mark.parametrize(
    ("changed", "answers", "kind", "message"),
    [
        ({"private_key": "-----BEGIN PRIVATE KEY"}, {}, StepFailed, "private_key.*cannot be read"),
        ({"private_key": 5}, {}, StepFailed, "private_key.*cannot be read"),
        ({"token_uri": "https://evil.example/token"}, {}, StepFailed, r"leads to 'evil\.example', which is not Google"),
        ({"token_uri": "https://googleapis.com.evil.example/"}, {}, StepFailed, "which is not Google"),
        ({"token_uri": "http://10.0.0.1/token"}, {}, StepFailed, "must begin with https"),
        ({"client_email": "other@x.iam.gserviceaccount.com"}, {}, CredentialRejected, "no longer exists.*store"),
        ({}, grant("Invalid JWT Signature."), CredentialRejected, "this key was deleted or disabled: store a new key"),
        ({}, grant("Account has been disabled"), CredentialRejected, "it is disabled: enable it"),
        ({}, grant("not in a reasonable timeframe"), ConvergenceError, "clock of this machine"),
        ({"project_id": ""}, {}, StepFailed, "set config.project"),
        ({"project_id": "other"}, {}, CredentialRejected, "BigQuery Job User.*Access denied to project other"),
        ({}, {"/queries": google.error(429, "slow", "X"), "/jobs": google.error(429, "slow", "X")}, Transient, "wait"),
    ],
)
def test_a_refusal_says_what_to_do_and_quotes_no_secret(
    world: World, changed: dict[str, Any], answers: dict[str, Response], kind: type[Exception], message: str
) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> Any:
        there.answers = answers
        key = there.key(**changed)
        with pytest.raises(kind, match=message) as caught:
            await (await make().reader(key, url=url)).estimate("SELECT 1")
        text = f"{caught.value} {caught.value.__cause__}"
        secrets = [orjson.loads(key)["private_key"], *there.issued, "assertion"]
        assert not [secret for secret in secrets if str(secret)[-40:] in text and secret != 5]

    world(body)


def test_a_table_that_is_not_there_is_final(world: World) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> Any:
        reader = await make().reader(there.key(), url=url)
        with pytest.raises(StepFailed, match="Not found: Table"):
            [page async for page in reader.pages("SELECT * FROM `p.d.t`")]

    world(body)


def test_what_is_not_json_is_not_a_key(world: World) -> None:
    async def body(there: Google, make: Callable[[], Accounts], url: str) -> Any:
        for secret in ("AIza-secret-of-another-kind", '["x"]', "null", "5", '{"client_email": "a"}'):
            with pytest.raises(StepFailed, match="not a JSON key of a service account") as caught:
                await make().token(secret, ("scope",))
            assert secret not in str(caught.value)

    world(body)


def test_a_deployed_function_follows_no_key_to_its_own_machine() -> None:
    async def main() -> None:
        there = Google()
        there.url = "http://127.0.0.1:9/v1"
        accounts = GoogleAccounts(StepClient, clock=ManualClock(), ids=RandomIds())
        with pytest.raises(StepFailed, match=r"leads to '127\.0\.0\.1', which is not Google's"):
            await accounts.token(there.key(), ("scope",))
        key = there.key(token_uri="https://oauth2.googleapis.com/token")
        with pytest.raises(StepFailed, match="which is not Google's"):
            await accounts.reader(key, url="https://evil.example/bigquery/v2")

    asyncio.run(main())


ELSEWHERE = [
    *("http://127.0.0.1:9/token", "http://localhost:9/token", "https://127.0.0.1/token", "https://10.0.0.1/token"),
    *("https://storage.googleapis.com/bucket/token", "https://bigquery.googleapis.com.evil.example/token"),
    *("https://oauth2.googleapis.com:8443/token", "https://oauth2.evil.example/token", "http://oauth2.googleapis.com/"),
]


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("kind", ["rest", "google"])
def test_in_production_a_key_leads_to_googles_services_alone(kind: str, url: str) -> None:
    clock, ids = ManualClock(), RandomIds()
    called: list[str] = []

    def http() -> httpx.AsyncClient:
        called.append("http")
        raise AssertionError("nothing is called")

    async def main() -> None:
        there = Google()
        there.url = "https://unused.example"
        rest = RestAccounts(http, clock, ids, here=False)
        accounts: Accounts = rest if kind == "rest" else GoogleAccounts(http, clock=clock, ids=ids)
        with pytest.raises(StepFailed, match="Google"):
            await accounts.token(there.key(token_uri=url), ("scope",))
        with pytest.raises(StepFailed, match="Google"):
            await accounts.reader(there.key(token_uri="https://oauth2.googleapis.com/token"), url=url)

    asyncio.run(main())
    assert not called


def test_a_reader_ends_with_its_execution() -> None:
    async def main() -> None:
        there = Google()
        await there.start()
        async with StepClient() as http:
            accounts = GoogleAccounts(lambda: http, clock=ManualClock(), ids=RandomIds(), endpoint="127.0.0.1:1")
            reader = await accounts.reader(there.key(), url=f"{there.url}/bigquery/v2")
            await accounts.close()
            with pytest.raises(StepFailed, match="execution that ended"):
                await reader.estimate("SELECT 1")
        await there.server.stop()

    asyncio.run(main())


VALUES: dict[str, tuple[str, Any]] = {
    "text": ("STRING", 'ü "quoted"\n'),
    "whole": ("INT64", 2**63 - 1),
    "share": ("FLOAT64", 0.1),
    "open": ("BOOL", False),
    "cost": ("NUMERIC", Decimal("0.123456789")),
    "day": ("DATE", date(2026, 1, 2)),
    "at": ("TIMESTAMP", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
    "data": ("BYTES", b"\x00\xff"),
    "tags": ("ARRAY<STRING>", ["a", "b"]),
    "none": ("STRING", None),
}


@pytest.mark.emulator
def test_every_value_comes_back_as_it_was_given(world: World, tmp_path: Path) -> None:
    with running(tmp_path) as address:

        async def body(there: Google, make: Callable[[], Accounts], url: str) -> Any:
            reader = await make().reader(there.key(), project="p", url=f"http://{address}/bigquery/v2")
            given = {name: Parameter(*value) for name, value in VALUES.items()}
            sql = f"SELECT {', '.join(f'@{name} AS {name}' for name in VALUES)}"
            (page,) = [page async for page in reader.pages(sql, given)]
            assert page == [{name: value for name, (_, value) in VALUES.items()}]
            numbers = "SELECT number FROM UNNEST(GENERATE_ARRAY(1, 25)) AS number ORDER BY number"
            pages = [[row["number"] for row in page] async for page in reader.pages(numbers, page_rows=10)]
            assert pages == [list(range(1, 11)), list(range(11, 21)), list(range(21, 26))]
            assert [page async for page in reader.pages("SELECT 1 AS one FROM UNNEST([1]) WHERE FALSE")] == []

        world(body)
