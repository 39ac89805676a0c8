"""What Google's documentation leaves open about BigQuery: `--run-integration` asks a real project, in one run.

Each question prints its answer, and fails where the adapter relies on another one. The stand-in is asked as well where
it can answer, so that the questions themselves stay right; what it says about BigQuery counts for nothing. Question 3,
rows that a handler inserted without a COMMIT, is asked by test_procedures.py (`sp_swallow`, `sp_log_in_handler`,
`sp_commit_in_handler`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import Conflict, Forbidden, GoogleAPICallError, TooManyRequests
from google.api_core.retry import Retry
from google.auth import default, impersonated_credentials
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from convergence.adapters.gcp.warehouse.errors import job_error
from convergence.adapters.local.clock import RandomIds
from convergence.errors import Transient

PROJECT, OTHER_PROJECT = "CONVERGENCE_GCP_PROJECT", "CONVERGENCE_GCP_OTHER_PROJECT"
OTHER_ACCOUNT = "CONVERGENCE_GCP_OTHER_ACCOUNT"  # a service account without rights, whose tokens the caller may mint
GRANT_MAX_S = 600.0
pause = threading.Event().wait  # seconds; nothing sets it
NEVER = Retry(predicate=lambda _: False)
Answer = Callable[[object], None]
REAL = pytest.mark.integration


class Place:
    """A dataset of its own, with a table `t` of one row."""

    def __init__(self, client: bigquery.Client) -> None:
        self.client, self.name = client, RandomIds().new("questions")
        self.dataset = f"{client.project}.{self.name}"
        client.create_dataset(self.dataset)
        self.script("CREATE TABLE t (id INT64, day DATE); INSERT INTO t (id, day) VALUES (1, '2026-01-01');")

    def begin(self, sql: str, **config: Any) -> bigquery.QueryJob:
        config.setdefault("default_dataset", self.dataset)
        return self.client.query(sql, job_config=bigquery.QueryJobConfig(**config))

    def script(self, sql: str, **config: Any) -> bigquery.QueryJob:
        job = self.begin(sql, **config)
        job.result(timeout=300)
        return job

    def value(self, sql: str) -> Any:
        (row,) = self.script(sql).result()
        return row[0]

    def error(self, sql: str, **config: Any) -> dict[str, Any]:
        """Return the errorResult of a script that must fail."""
        job = self.begin(sql, **config)
        with pytest.raises(GoogleAPICallError):
            job.result(timeout=300)
        job.reload()
        return dict(job.error_result)


@pytest.fixture(params=[pytest.param("stand-in", marks=pytest.mark.emulator), pytest.param("real", marks=REAL)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "real":
        yield from _removed(bigquery.Client(project=os.environ[PROJECT]))
        return
    address = request.getfixturevalue("bigquery")
    options = ClientOptions(api_endpoint=f"http://{address}")
    project = RandomIds().new("questions").replace("_", "-")
    yield from _removed(bigquery.Client(project, AnonymousCredentials(), client_options=options))


@pytest.fixture
def real() -> Iterator[Place]:
    yield from _removed(bigquery.Client(project=os.environ[PROJECT]))


def _removed(client: bigquery.Client) -> Iterator[Place]:
    made = Place(client)
    yield made
    client.delete_dataset(made.dataset, delete_contents=True, not_found_ok=True)
    client.close()


@pytest.fixture
def answer(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Answer:
    def say(found: object) -> None:
        with capsys.disabled():
            print(f"\n{request.node.name}: {found}")

    return say


def test_1_a_bare_name_is_of_the_default_dataset_in_a_script(place: Place) -> None:
    """The adapter sends procedures as scripts, so it relies on this; the next one is about stored ones."""
    place.script("BEGIN INSERT INTO t (id) SELECT 2; END;")
    assert place.value("SELECT COUNT(*) FROM t") == 2


@REAL
def test_1_a_bare_name_in_a_stored_procedure(real: Place, answer: Answer) -> None:
    real.script(f"CREATE PROCEDURE `{real.dataset}.p`() OPTIONS (strict_mode = FALSE) BEGIN SELECT id FROM t; END;")
    try:
        real.script(f"CALL `{real.dataset}.p`()")
        answer("of the caller's default dataset")
    except GoogleAPICallError as error:
        answer(error.message)


def test_2_a_transaction_inside_a_transaction_is_refused(place: Place, answer: Answer) -> None:
    found = place.error("BEGIN TRANSACTION; BEGIN TRANSACTION; COMMIT TRANSACTION;")
    answer(found)
    assert "transaction" in found["message"].lower()


HELD = (
    "DECLARE until TIMESTAMP DEFAULT TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 60 SECOND);"
    " BEGIN TRANSACTION; {change}; WHILE CURRENT_TIMESTAMP() < until DO SELECT 1; END WHILE; COMMIT TRANSACTION;"
)


@REAL
@pytest.mark.parametrize("held", ["UPDATE t SET id = 2 WHERE id = 1", "UPDATE t SET id = 2 WHERE FALSE"])
def test_2_and_7_two_transactions_conflict_also_where_no_row_matches(real: Place, answer: Answer, held: str) -> None:
    first = real.begin(HELD.format(change=held))
    pause(20)  # until its UPDATE is done
    caught = "BEGIN BEGIN TRANSACTION; {0}; COMMIT TRANSACTION; EXCEPTION WHEN ERROR THEN SELECT @@error.message; END;"
    answer([tuple(row) for row in real.script(caught.format("UPDATE t SET id = 3 WHERE id = 1")).result()])
    second = real.begin("BEGIN TRANSACTION; UPDATE t SET id = 3 WHERE id = 1; COMMIT TRANSACTION;")
    for job in (second, first):
        try:
            job.result(timeout=300)
        except GoogleAPICallError:
            job.reload()
            answer(job.error_result)
            assert isinstance(job_error(job.error_result, what="t"), Transient)


@REAL
def test_4_children_of_a_script_say_what_they_changed_and_read(real: Place, answer: Answer) -> None:
    job = real.script("BEGIN TRANSACTION; INSERT INTO t (id) SELECT id FROM t; COMMIT TRANSACTION;")
    children = {child.statement_type: child for child in real.client.list_jobs(parent_job=job.job_id)}
    for kind, child in children.items():
        answer((kind, child.dml_stats, child.referenced_tables, child.transaction_info))
    assert children["INSERT"].dml_stats.inserted_row_count == 1, "call.py counts the rows of a call so"


@REAL
def test_5_the_limit_of_bytes_billed_of_a_script(real: Place, answer: Answer) -> None:
    two = "SELECT COUNT(*) FROM t; SELECT MAX(id) FROM t;"  # each is billed 10 MiB at least
    real.script("SELECT COUNT(*) FROM t", maximum_bytes_billed=15 << 20, use_query_cache=False)
    job = real.begin(two, maximum_bytes_billed=15 << 20, use_query_cache=False)
    try:
        job.result(timeout=300)
        answer("of each statement")
    except GoogleAPICallError:
        job.reload()
        answer(("of the whole job", job.error_result))
        assert "bytes billed" in job_error(job.error_result, what="t").args[0]


@REAL
def test_6_what_was_committed_before_a_cancellation_stays(real: Place, answer: Answer) -> None:
    """The ledger decides whether a job that reports a failure was committed: it must not have been undone."""
    job = real.begin(
        "DECLARE until TIMESTAMP DEFAULT TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 120 SECOND);"
        " BEGIN TRANSACTION; INSERT INTO t (id) VALUES (2); COMMIT TRANSACTION;"
        " WHILE CURRENT_TIMESTAMP() < until DO SELECT 1; END WHILE;"
    )
    end = time.monotonic() + 60
    while real.value("SELECT COUNT(*) FROM t") < 2:
        assert time.monotonic() < end
        pause(1)
    job.cancel()
    with pytest.raises(GoogleAPICallError):
        job.result(timeout=120)
    job.reload()
    answer((job.state, job.error_result))
    assert real.value("SELECT COUNT(*) FROM t") == 2
    assert isinstance(job_error(job.error_result, what="t"), Transient), "a cancelled job is tried again"


@REAL
@pytest.mark.skipif(not os.environ.get(OTHER_PROJECT), reason=f"{OTHER_PROJECT} names no second project")
def test_8_a_job_of_another_project_finds_names_of_two_parts_here(real: Place) -> None:
    pays = bigquery.Client(project=os.environ[OTHER_PROJECT])
    here = bigquery.ConnectionProperty("dataset_project_id", real.client.project)
    config = bigquery.QueryJobConfig(connection_properties=[here])
    (row,) = pays.query(f"SELECT COUNT(*) FROM {real.name}.t", job_config=config).result(timeout=300)
    assert row[0] == 1


@REAL
def test_9_dates_of_a_parameter_prune_partitions(real: Place, answer: Answer) -> None:
    real.script(
        "CREATE TABLE days (id INT64, day DATE) PARTITION BY day; INSERT INTO days"
        " SELECT 1, DATE_ADD(DATE '2026-01-01', INTERVAL n DAY) FROM UNNEST(GENERATE_ARRAY(0, 9)) AS n;"
    )
    given = [bigquery.ArrayQueryParameter("dates", "DATE", ["2026-01-02"])]
    read = {
        bound: real.begin(
            f"SELECT id FROM days WHERE day {bound}", dry_run=True, query_parameters=given
        ).total_bytes_processed
        for bound in ("IS NOT NULL", "BETWEEN '2026-01-02' AND '2026-01-02'", "IN UNNEST(@dates)")
    }
    answer(read)
    assert read["BETWEEN '2026-01-02' AND '2026-01-02'"] * 10 == read["IS NOT NULL"], "statements are bounded so"


@REAL
@pytest.mark.skipif(not os.environ.get(OTHER_ACCOUNT), reason=f"{OTHER_ACCOUNT} names no second account")
def test_10_how_long_a_grant_on_a_dataset_takes(real: Place, answer: Answer) -> None:
    own, _ = default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    token = impersonated_credentials.Credentials(
        own, os.environ[OTHER_ACCOUNT], ["https://www.googleapis.com/auth/bigquery"]
    )
    reader = bigquery.Client(real.client.project, token)
    dataset = real.client.get_dataset(real.dataset)
    dataset.access_entries = [
        *dataset.access_entries,
        bigquery.AccessEntry("READER", "userByEmail", os.environ[OTHER_ACCOUNT]),
    ]
    real.client.update_dataset(dataset, ["access_entries"])
    begun = time.monotonic()
    while time.monotonic() - begun < GRANT_MAX_S:
        try:
            reader.get_table(f"{real.dataset}.t")
            break
        except Forbidden:
            pause(1)
    seconds = time.monotonic() - begun
    answer(f"{seconds:.0f} s")
    assert seconds < GRANT_MAX_S


def test_11_a_dataset_that_is_there_ten_times_at_once(place: Place, answer: Answer) -> None:
    def again(_: int) -> int:
        try:
            place.client.create_dataset(place.dataset, retry=NEVER)
        except (Conflict, Forbidden, TooManyRequests) as error:
            return int(error.code)
        return 200

    with ThreadPoolExecutor(10) as pool:
        codes = sorted(pool.map(again, range(10)))
    answer(codes)
    assert 200 not in codes


@REAL
def test_12_a_routine_that_is_updated_without_its_mode(real: Place, answer: Answer) -> None:
    """The adapter sends the mode with every update, so whatever the answer is will do."""
    real.script(f"CREATE PROCEDURE `{real.dataset}.p`() OPTIONS (strict_mode = FALSE) BEGIN SELECT id FROM t; END;")
    routine = real.client.get_routine(f"{real.dataset}.p")
    before = routine.to_api_repr().get("strictMode")
    routine.description = "changed"
    after = real.client.update_routine(routine, ["description"]).to_api_repr().get("strictMode")
    answer((before, after))
