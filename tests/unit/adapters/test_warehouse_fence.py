"""The second wall of the embedded warehouse. These tests hand DuckDB's own SQL to it: no parser of ours looks on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.duckdb_sql.identifiers import duckdb_name
from convergence.adapters.local.warehouse.fence import Fence
from convergence.adapters.local.warehouse.job import Job
from convergence.errors import ConvergenceError, Denied, StepFailed
from convergence.ports.warehouse import Scope, Statement
from tests.unit.adapters.fence_world import World

SECRET = "(SELECT max(a) FROM globex_dev.secret)"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.warehouse.close()


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all statements that are refused."""
    world = World(tmp_path_factory.mktemp("fence"))
    yield world
    world.warehouse.close()


READS = [
    "SELECT * FROM globex_dev.secret",
    "SELECT * FROM warehouse.globex_dev.secret",
    'SELECT * FROM "GLOBEX_dev"."Secret"',
    "SELECT * FROM acme_dev.stolen",
    "SELECT acme_dev.peek(42)",
    "SELECT * FROM acme_dev.peek_all(1)",
    f"SELECT {SECRET}",
    f"SELECT a FROM acme_dev.usage WHERE a IN {SECRET}",
    "SELECT a FROM acme_dev.usage AS u WHERE EXISTS (FROM globex_dev.secret AS s WHERE s.a > u.a)",
    f"SELECT a FROM acme_dev.usage ORDER BY {SECRET}",
    f"SELECT a FROM acme_dev.usage GROUP BY a, {SECRET}",
    f"SELECT a FROM acme_dev.usage LIMIT {SECRET}",
    f"SELECT sum(a) OVER (ORDER BY {SECRET}) FROM acme_dev.usage",
    f"SELECT sum(a) FILTER (WHERE a = {SECRET}) FROM acme_dev.usage",
    f"SELECT a FROM acme_dev.usage QUALIFY row_number() OVER () = {SECRET}",
    f"SELECT 1 FROM acme_dev.usage AS x JOIN acme_dev.usage AS y ON x.a = {SECRET}",
    f"SELECT * FROM generate_series(1, {SECRET})",
    f"SELECT CASE WHEN true THEN 1 ELSE {SECRET} END",
    "SELECT array(SELECT a FROM globex_dev.secret)",
    "SELECT count(*) FROM globex_dev.secret WHERE false",
    "SELECT a FROM acme_dev.usage EXCEPT SELECT a FROM globex_dev.secret",
    "SELECT * FROM acme_dev.usage POSITIONAL JOIN globex_dev.secret",
    "SELECT u.* FROM acme_dev.usage AS u, LATERAL (SELECT * FROM globex_dev.secret) AS s",
    "WITH RECURSIVE a AS (SELECT * FROM duckdb_tables), duckdb_tables AS (SELECT 1) SELECT * FROM a",
    "WITH RECURSIVE duckdb_tables AS (SELECT * FROM duckdb_tables) SELECT * FROM duckdb_tables",
    "SELECT * FROM duckdb_tables",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_tables() WHERE schema_name = 'acme_dev'",
    "SELECT * FROM system.main.duckdb_schemas()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.tables WHERE table_schema = 'acme_dev'",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM pragma_table_info('globex_dev.secret')",
    "SELECT * FROM googlesql.tables('p', 'globex_dev')",
    "SELECT * FROM googlesql.columns('p', 'globex_dev')",
    "SELECT * FROM googlesql.table_list('p', 'globex_dev')",
    "SELECT * FROM (DESCRIBE globex_dev.secret)",
    "SELECT * FROM (SHOW TABLES)",
    "DESCRIBE globex_dev.secret",
    "SUMMARIZE globex_dev.secret",
    "SHOW ALL TABLES",
    "SELECT * FROM query('SELECT * FROM globex_dev.secret')",
    "SELECT * FROM query(if(random() < 0.5, 'SELECT 1', 'SELECT 2'))",
    "SELECT * FROM \"QUERY\" /* c */ ('SELECT 1')",
    "SELECT * FROM query_table('globex_dev.secret')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM globex_dev.secret'))",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM _convergence.jobs",
    "SELECT * FROM _convergence.migrations",
    "SELECT * FROM organizations.org_meta_step_logs",
    "PIVOT globex_dev.secret ON a",
]
WRITES = [
    "INSERT INTO globex_dev.secret VALUES (1, 'x')",
    "INSERT OR REPLACE INTO globex_dev.secret VALUES (1, 'x')",
    "insert /* c */ into -- c\n globex_dev . secret VALUES (1, 'x')",
    "WITH x AS (SELECT 1 AS a, 'b' AS b) INSERT INTO globex_dev.secret SELECT * FROM x",
    "INSERT INTO acme_dev.usage SELECT * FROM globex_dev.secret",
    f"INSERT INTO acme_dev.usage VALUES ({SECRET}, 'x')",
    "UPDATE globex_dev.secret SET a = 1",
    "UPDATE warehouse.globex_dev.secret SET a = 1",
    f"UPDATE acme_dev.usage SET a = {SECRET}",
    "UPDATE acme_dev.usage SET a = s.a FROM globex_dev.secret AS s",
    "DELETE FROM globex_dev.secret",
    "DELETE FROM acme_dev.usage USING globex_dev.secret AS s WHERE s.a = 42",
    "TRUNCATE globex_dev.secret",
    "MERGE INTO globex_dev.secret AS t USING (SELECT 1 AS a) AS s ON t.a = s.a WHEN MATCHED THEN DELETE",
    f"MERGE INTO acme_dev.usage AS t USING (SELECT 1 AS a) AS s ON t.a = s.a WHEN MATCHED THEN UPDATE SET a = {SECRET}",
    "CREATE TABLE acme_dev.loot AS SELECT * FROM globex_dev.secret",
    "CREATE TABLE acme_dev.loot AS FROM globex_dev.secret",
    "CREATE TABLE globex_dev.mine (a INTEGER)",
    "CREATE TABLE mine (a INTEGER)",
    "CREATE TABLE main.mine (a INTEGER)",
    "CREATE VIEW globex_dev.v AS SELECT 1 AS a",
    "CREATE VIEW acme_dev.v AS SELECT * FROM organizations.org_meta_step_logs",
    "CREATE MACRO acme_dev.m(x) AS x",
    "CREATE TEMP MACRO m(x) AS x",
    "CREATE SCHEMA other",
    "CREATE SEQUENCE acme_dev.s",
    "CREATE TYPE acme_dev.t AS ENUM ('a')",
    "DROP TABLE globex_dev.secret",
    "DROP VIEW IF EXISTS globex_dev.v",
    "DROP SCHEMA globex_dev CASCADE",
    "DROP MACRO acme_dev.peek",
    "ALTER TABLE globex_dev.secret RENAME TO mine",
    f"ALTER TABLE acme_dev.usage ALTER a TYPE INTEGER USING {SECRET}",
    "COPY globex_dev.secret TO '/tmp/loot.csv'",
    "EXPORT DATABASE '/tmp/loot'",
    "ATTACH ':memory:' AS other",
    "USE globex_dev",
    "SET schema = 'globex_dev'",
    "SET enable_external_access = true",
    "PRAGMA database_list",
    "CALL pragma_database_list()",
    "LOAD json",
    "INSTALL httpfs",
    "EXPLAIN SELECT * FROM globex_dev.secret",
    "EXPLAIN ANALYZE SELECT * FROM globex_dev.secret",
    "PREPARE p AS SELECT * FROM globex_dev.secret",
    "BEGIN TRANSACTION",
    "COMMIT",
    "CHECKPOINT",
    "VACUUM",
    "SELECT 1; SELECT * FROM globex_dev.secret",
    'SELECT 1 AS "a"; DROP TABLE globex_dev.secret; --',
    "",
]


@pytest.mark.parametrize("sql", READS + WRITES)
def test_duckdbs_own_sql_stays_inside_of_one_org(same: World, sql: str) -> None:
    with pytest.raises((Denied, StepFailed)):
        same.inside(sql)
    assert same.secret() == [(42, "hidden")]
    assert same.do(lambda job: job.execute("SELECT count(*) FROM duckdb_tables()").fetchone())[0] == TABLES


TABLES = 6  # usage, secret, and the warehouse's own four


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT a FROM acme_dev.usage", [(1,)]),
        ("SELECT a FROM acme_dev.own", [(1,)]),
        ("WITH secret AS (SELECT a FROM acme_dev.usage) SELECT * FROM secret", [(1,)]),
        ("SELECT 1 AS query, 'globex_dev.secret' AS duckdb_name", [(1, "globex_dev.secret")]),
        ("SELECT table_name FROM googlesql.tables('p', 'acme_dev') ORDER BY 1", [("own",), ("stolen",), ("usage",)]),
        ("SELECT count(*) FROM googlesql.routines('p', 'acme_dev')", [(0,)]),
        ("INSERT INTO acme_dev.usage SELECT a + 1, b FROM acme_dev.usage", [(1,)]),
        ('UPDATE "acme_dev"."usage" SET a = 5', [(1,)]),
        ("DELETE FROM acme_dev.usage WHERE a = 1", [(1,)]),
        ("CREATE TABLE acme_dev.more AS SELECT * FROM acme_dev.usage", [(1,)]),
        ("CREATE TEMP TABLE mine AS SELECT * FROM acme_dev.usage", [(1,)]),
        ("DROP VIEW acme_dev.own", []),
        ("ALTER TABLE acme_dev.usage ADD COLUMN c INTEGER", []),
    ],
)
def test_what_is_the_orgs_own_runs(world: World, sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert world.inside(sql) == rows


def test_a_reader_writes_nothing_and_temporary_tables_are_the_jobs(world: World) -> None:
    reader = Fence("acme_dev")
    for sql in ("DELETE FROM acme_dev.usage", "CREATE TABLE acme_dev.t AS SELECT 1 AS a", "INSERT INTO usage SELECT 1"):
        with pytest.raises(Denied):
            world.inside(sql, reader)
    with pytest.raises(Denied, match="globex_dev"):
        world.inside("INSERT INTO globex_dev.secret SELECT 1, 'x'", Fence("acme_dev", ("globex_dev",), writable=True))
    assert world.inside("SELECT a FROM globex_dev.secret", Fence("acme_dev", ("globex_dev",))) == [(42,)]


def test_a_read_runs_in_a_transaction_that_cannot_write(world: World) -> None:
    def work(job: Job) -> None:
        with job.transaction(read_only=True):
            job.execute("DELETE FROM acme_dev.usage")

    with pytest.raises(ConvergenceError, match="read-only"):
        world.do(work)


def test_a_name_with_quotes_in_it_is_a_name(world: World) -> None:
    hostile = 'a" SET DATA TYPE BIGINT; CREATE TABLE acme_dev.loot AS SELECT * FROM globex_dev.secret; --'
    sql = f"CREATE TABLE z AS SELECT 1 AS a, 1 AS `{hostile}`"
    asyncio.run(world.warehouse.query(Statement(sql, scope=Scope(dataset="acme_dev", writable=True))))
    columns = world.do(lambda job: job.execute("SELECT * FROM acme_dev.z").description)
    assert [(name, str(kind)) for name, kind, *_ in columns] == [("a", "BIGINT"), (hostile, "BIGINT")]
    assert world.do(lambda job: job.execute("SELECT count(*) FROM duckdb_tables()").fetchone())[0] == TABLES + 1
    assert duckdb_name('a"b', "c") == '"a""b"."c"'


def test_one_call_is_one_statement(world: World) -> None:
    for sql in ("SELECT 1; SELECT 2", "", "-- nothing"):
        with pytest.raises(StepFailed, match="one statement at a time"):
            world.execute(sql)


def test_the_connection_reaches_no_file_no_extension_and_no_variable(world: World) -> None:
    expected = {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        "python_enable_replacements": "false",
    }
    read = "SELECT name, value FROM duckdb_settings() WHERE list_contains($names, name)"
    found = dict(world.do(lambda job: job.execute(read, {"names": list(expected)}).fetchall()))
    assert found == expected
    for sql in (
        "SET threads = 1",
        "SET enable_external_access = true",
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO '/tmp/loot.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "INSTALL httpfs",
        "FROM sql",
    ):
        with pytest.raises(ConvergenceError):
            world.execute(sql)


def test_an_org_reads_its_own_log_only(world: World) -> None:
    """Its view reads the log of all orgs, with its own slug as condition: nothing else may."""
    for sql in (
        "CREATE SCHEMA organizations",
        "CREATE TABLE organizations.org_meta_step_logs AS SELECT * FROM"
        " (VALUES ('e1', 'acme', now()), ('e2', 'globex', now())) AS t(event_id, x_org_slug, x_ingested_at)",
        *(
            f"CREATE VIEW {org}_dev.org_meta_step_logs AS SELECT * FROM organizations.org_meta_step_logs"
            f" WHERE x_org_slug = '{org}' QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY x_ingested_at) = 1"
            for org in ("acme", "globex")
        ),
    ):
        world.execute(sql)
    assert world.inside("SELECT event_id FROM acme_dev.org_meta_step_logs") == [("e1",)]
    for sql in (
        "SELECT event_id FROM globex_dev.org_meta_step_logs",
        "SELECT event_id FROM organizations.org_meta_step_logs WHERE x_org_slug = 'acme'",
        "SELECT l.* FROM (SELECT 'acme') AS o(x_org_slug),"
        " LATERAL (SELECT * FROM organizations.org_meta_step_logs AS l(a, b, c) WHERE o.x_org_slug = 'acme') AS l",
        "SELECT x FROM organizations.org_meta_step_logs AS l(x_org_slug, x, c) WHERE x_org_slug = 'acme'",
        # A plan of CREATE VIEW does not show what the view reads, and a view of this name would be trusted.
        "CREATE OR REPLACE VIEW acme_dev.org_meta_step_logs AS SELECT * FROM globex_dev.org_meta_step_logs",
        "CREATE OR REPLACE VIEW acme_dev.ORG_meta_step_logs AS SELECT * FROM globex_dev.org_meta_step_logs",
        "ALTER TABLE acme_dev.own RENAME TO org_meta_step_logs",
        "ALTER TABLE acme_dev.own RENAME TO org_meta_step_logs_written",
        "CREATE TABLE acme_dev.org_meta_step_logs_Written (event_id BIGINT)",
    ):
        with pytest.raises(Denied):
            world.inside(sql)
    assert world.inside("SELECT event_id FROM acme_dev.org_meta_step_logs") == [("e1",)]


ROWS = "(SELECT * FROM organizations.org_meta_step_logs WHERE x_org_slug = 'acme')"


def test_central_tables_are_read_in_subqueries_of_the_orgs_rows_only(world: World) -> None:
    """The words are those of `googlesql.own_rows`, and the plan has their condition right above the table."""
    for sql in (
        "CREATE SCHEMA organizations",
        "CREATE TABLE organizations.org_meta_step_logs AS SELECT * FROM"
        " (VALUES ('e1', 'acme'), ('e2', 'globex')) AS t(event_id, x_org_slug)",
        "CREATE TABLE organizations.other AS SELECT * FROM organizations.org_meta_step_logs",
    ):
        world.execute(sql)
    fence = Fence("acme_dev", writable=True, org="acme")
    assert world.inside(f"SELECT event_id FROM {ROWS} AS l", fence) == [("e1",)]
    for sql in (
        f"SELECT event_id FROM {ROWS.replace('acme', 'globex')} AS l",
        f"SELECT event_id FROM {ROWS.replace('org_meta_step_logs', 'other')} AS l",
        f"SELECT event_id FROM {ROWS.replace(')', ' OR TRUE)')} AS l",
        f"SELECT event_id FROM {ROWS.replace('logs', 'logs AS l(x_org_slug, event_id)')} AS l",
        f"SELECT l.* FROM (SELECT 'acme') AS o(x_org_slug), LATERAL {ROWS.replace('logs', 'logs AS l(a, b)')} AS l",
        f"SELECT event_id FROM {ROWS} AS l UNION ALL SELECT event_id FROM organizations.org_meta_step_logs",
        f"CREATE VIEW acme_dev.v AS SELECT * FROM {ROWS} AS l",
        f"INSERT INTO organizations.org_meta_step_logs SELECT * FROM {ROWS} AS l",
    ):
        with pytest.raises(Denied):
            world.inside(sql, fence)
    with pytest.raises(Denied):
        world.inside(f"SELECT event_id FROM {ROWS} AS l")
