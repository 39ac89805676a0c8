-- Statements of the embedded warehouse. Words in braces are quoted identifiers and types, values are parameters.

-- name: internals
CREATE SCHEMA IF NOT EXISTS _convergence;
CREATE TABLE IF NOT EXISTS _convergence.jobs (job_id VARCHAR PRIMARY KEY, result JSON NOT NULL, finished_at TIMESTAMPTZ NOT NULL);
ALTER TABLE _convergence.jobs ADD COLUMN IF NOT EXISTS fingerprint VARCHAR;
CREATE TABLE IF NOT EXISTS _convergence.routines (name VARCHAR PRIMARY KEY, digest VARCHAR NOT NULL, source VARCHAR NOT NULL, definition VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS _convergence.migrations (dataset VARCHAR, name VARCHAR, digest VARCHAR NOT NULL, applied_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (dataset, name));
CREATE TABLE IF NOT EXISTS _convergence.about (version VARCHAR NOT NULL);

-- name: job
SELECT result, finished_at, fingerprint FROM _convergence.jobs WHERE job_id = $job_id;

-- name: job_done
INSERT OR REPLACE INTO _convergence.jobs (job_id, result, finished_at, fingerprint) VALUES ($job_id, $result, $finished_at, $fingerprint);

-- name: columns
SELECT column_name, data_type FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = $dataset AND table_name = $table ORDER BY column_index;

-- name: described_columns
SELECT column_name, data_type, NOT is_nullable, coalesce(comment, '') FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = $dataset AND table_name = $table ORDER BY column_index;

-- name: column_names
SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = $dataset GROUP BY table_name;

-- name: describe_column
COMMENT ON COLUMN {table}.{column} IS {text};

-- name: datasets_with
SELECT schema_name FROM duckdb_tables() WHERE database_name = current_database() AND table_name = $table ORDER BY schema_name;

-- name: count_expired
SELECT count(*) FROM {table} WHERE {column} < $first;

-- name: delete_expired
DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {column} < $first LIMIT $most);

-- name: create_dataset
CREATE SCHEMA IF NOT EXISTS {dataset};

-- name: create_table
CREATE TABLE {table} ({columns});

-- name: current_view
CREATE OR REPLACE VIEW {view} AS SELECT * EXCLUDE (x_is_read) FROM (
  SELECT *, FALSE AS x_is_read FROM {table} UNION ALL BY NAME SELECT *, TRUE AS x_is_read FROM {reads}
)
QUALIFY NOT x_is_read
  AND x_pipeline_id = first_value(x_pipeline_id) OVER (PARTITION BY {parts} ORDER BY x_ingested_at DESC, x_pipeline_id);

-- name: view_of
SELECT sql FROM duckdb_views() WHERE database_name = current_database() AND schema_name = $dataset AND view_name = $view;

-- name: note_reads
INSERT INTO {reads} BY NAME
SELECT DISTINCT * REPLACE (CAST($x_run_id AS VARCHAR) AS x_run_id, CAST($x_ingested_at AS TIMESTAMPTZ) AS x_ingested_at) FROM (
  SELECT {columns} FROM {reads} UNION ALL SELECT {columns} FROM {table}{named}
)
WHERE x_org_slug = $x_org_slug AND x_pipeline_id = $x_pipeline_id AND x_credential_id = $x_credential_id{dates};

-- name: delete_older_reads
DELETE FROM {reads}
WHERE x_org_slug = $x_org_slug AND x_pipeline_id = $x_pipeline_id AND x_credential_id = $x_credential_id{dates}
  AND x_ingested_at <> $x_ingested_at;

-- name: whole_view
CREATE OR REPLACE VIEW {view} AS SELECT * FROM {table};

-- name: required_columns
SELECT column_name FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = $dataset AND table_name = $table AND NOT is_nullable;

-- name: relax_column
ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL;

-- name: add_column
ALTER TABLE {table} ADD COLUMN {column} {type};

-- name: set_type
ALTER TABLE {table} ALTER COLUMN {column} SET DATA TYPE {type};

-- name: staged
CREATE TEMP TABLE staged AS SELECT {select} FROM ({source});

-- name: insert
INSERT INTO {table} BY NAME SELECT {select} FROM ({source});

-- name: json_rows
SELECT {select} FROM read_json({files}, format = 'array', columns = {columns}, maximum_object_size = 16777216)

-- name: chunk_rows
SELECT * FROM read_parquet({files}, union_by_name = {named})

-- name: chunk
COPY ({source}) TO {file} (FORMAT parquet, COMPRESSION lz4_raw);

-- name: csv_file
SELECT * FROM read_csv({file}, auto_detect = false, header = true, columns = {columns}, delim = {delimiter},
  quote = '"', escape = '"', strict_mode = true, nullstr = {nulls})

-- name: json_keys
SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects({file}, format = 'newline_delimited') ORDER BY 1 LIMIT {most};

-- name: json_odd
SELECT number FROM (SELECT row_number() OVER () AS number, json FROM read_json_objects({file}, format = 'newline_delimited'))
WHERE json_type(json) <> 'OBJECT' ORDER BY number LIMIT 1;

-- name: json_lines
SELECT {names} FROM read_json_objects({file}, format = 'newline_delimited', maximum_object_size = 16777216)

-- name: json_file
SELECT {names} FROM read_json({file}, format = 'newline_delimited', columns = {columns}, maximum_object_size = 16777216)

-- name: parquet_columns
DESCRIBE SELECT * FROM read_parquet({file});

-- name: parquet_file
SELECT {names} FROM read_parquet({file})

-- name: file_chunk
COPY (SELECT {select} FROM ({source}) WHERE {test}) TO {file} (
  FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE {rows}, PRESERVE_ORDER {ordered}
);

-- name: file_days
SELECT DISTINCT CAST({day} AS DATE) AS day FROM read_parquet({file}) WHERE day IS NOT NULL ORDER BY day LIMIT {most};

-- name: bad_rows
SELECT number, flags, {columns}
FROM (SELECT *, [{tests}] AS flags, {inside} AS inside FROM (SELECT row_number() OVER () AS number, * FROM ({source})))
WHERE inside AND list_contains(flags, true) ORDER BY number LIMIT {most};

-- name: result_file
COPY (SELECT * FROM ({source}) LIMIT {rows}) TO {file} (FORMAT parquet);

-- name: insert_staged
INSERT INTO {table} BY NAME SELECT * FROM staged
QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY rowid DESC) = 1;

-- name: insert_groups
INSERT INTO {table} BY NAME SELECT * FROM staged;

-- name: delete_slice
DELETE FROM {table}
WHERE x_org_slug = $x_org_slug AND x_pipeline_id = $x_pipeline_id AND x_credential_id = $x_credential_id{dates};

-- name: delete_merged
DELETE FROM {table} AS kept USING staged
WHERE kept.x_org_slug = $x_org_slug AND kept.x_pipeline_id = $x_pipeline_id AND kept.x_credential_id = $x_credential_id{dates}
  AND {match};

-- name: table_rows
SELECT estimated_size FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name = $dataset AND table_name = $table;

-- name: tables
SELECT table_name FROM information_schema.tables WHERE table_schema = $dataset ORDER BY table_name;

-- name: temporary_columns
SELECT column_name, data_type, NOT is_nullable, coalesce(comment, '') FROM duckdb_columns()
WHERE database_name = 'temp' AND table_name = $table ORDER BY column_index;

-- name: log_events
CREATE TEMP TABLE event AS
SELECT * FROM read_json($file, format := 'newline_delimited', maximum_object_size := 262144, ignore_errors := true, columns := {
  id: 'VARCHAR', type: 'VARCHAR', "time": 'TIMESTAMPTZ', org: 'VARCHAR', data: 'STRUCT(run_id VARCHAR, pipeline VARCHAR,
  pipeline_id VARCHAR, step_id VARCHAR, ps_type VARCHAR, status VARCHAR, why VARCHAR, "trigger" VARCHAR, error VARCHAR,
  epoch VARCHAR, attempt VARCHAR, duration_ms VARCHAR, rows_processed VARCHAR, rows_written VARCHAR,
  request_id VARCHAR, actor VARCHAR, action VARCHAR, target_org VARCHAR, target VARCHAR, client VARCHAR,
  http_status VARCHAR, outcome VARCHAR, code VARCHAR, provider VARCHAR, domain VARCHAR, started_at VARCHAR,
  completed_at VARCHAR, created_at VARCHAR, created_by VARCHAR, records_processed VARCHAR, parameters JSON)'});

-- name: log_orgs
SELECT DISTINCT org FROM event WHERE org IS NOT NULL;

-- name: log_runs
INSERT INTO organizations.org_meta_pipeline_runs BY NAME
SELECT id AS event_id, "time" AS event_time, data.run_id, data.pipeline, data.pipeline_id, data.status, data.why,
  TRY_CAST(data.epoch AS BIGINT) AS epoch, data."trigger", TRY_CAST(data.duration_ms AS BIGINT) AS duration_ms, data.error,
  org AS org_slug, data.provider, data.domain, TRY_CAST(data.started_at AS TIMESTAMPTZ) AS started_at,
  TRY_CAST(data.completed_at AS TIMESTAMPTZ) AS completed_at, TRY_CAST(data.records_processed AS BIGINT) AS records_processed,
  data.error AS error_message, data.parameters, data.created_by, TRY_CAST(data.created_at AS TIMESTAMPTZ) AS created_at,
  org AS x_org_slug, data.pipeline_id AS x_pipeline_id, '' AS x_credential_id, CAST("time" AS DATE) AS x_pipeline_run_date,
  data.run_id AS x_run_id, $at AS x_ingested_at, CAST($at AS DATE) AS x_ingestion_date
FROM event WHERE starts_with(type, 'run.');

-- name: log_steps
INSERT INTO organizations.org_meta_step_logs BY NAME
SELECT id AS event_id, "time" AS event_time, data.run_id, data.pipeline, data.pipeline_id, data.step_id, data.ps_type,
  data.status, data.why, TRY_CAST(data.epoch AS BIGINT) AS epoch, TRY_CAST(data.attempt AS BIGINT) AS attempt,
  TRY_CAST(data.duration_ms AS BIGINT) AS duration_ms, TRY_CAST(data.rows_processed AS BIGINT) AS rows_processed,
  TRY_CAST(data.rows_written AS BIGINT) AS rows_written, data.error,
  org AS x_org_slug, data.pipeline_id AS x_pipeline_id, '' AS x_credential_id, CAST("time" AS DATE) AS x_pipeline_run_date,
  data.run_id AS x_run_id, $at AS x_ingested_at, CAST($at AS DATE) AS x_ingestion_date
FROM event WHERE starts_with(type, 'step.');

-- name: log_audit
INSERT INTO organizations.org_audit_logs BY NAME
SELECT id AS event_id, "time" AS event_time, data.request_id, data.actor, data.action, data.target_org, data.target,
  data.client, TRY_CAST(data.http_status AS BIGINT) AS http_status, data.outcome, data.code,
  org AS x_org_slug, '' AS x_pipeline_id, '' AS x_credential_id, CAST("time" AS DATE) AS x_pipeline_run_date,
  '' AS x_run_id, $at AS x_ingested_at, CAST($at AS DATE) AS x_ingestion_date
FROM event WHERE starts_with(type, 'audit.');

-- name: log_view
CREATE OR REPLACE VIEW {table} AS SELECT * FROM {source} WHERE x_org_slug = {org}
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY x_ingested_at) = 1{written};

-- name: routine_stored
INSERT OR REPLACE INTO _convergence.routines VALUES ($name, $digest, $source, $definition);

-- name: routines
SELECT name, digest, source, definition FROM _convergence.routines ORDER BY name;

-- name: routine
SELECT name, digest, source, definition FROM _convergence.routines WHERE name = $name;

-- name: routine_deleted
DELETE FROM _convergence.routines WHERE name = $name;

-- name: lineage_check
SELECT count_if(x_org_slug <> $org), count_if((x_run_id = $run OR x_run_id IS NULL) AND x_pipeline_run_date IS NULL),
  count_if((x_run_id = $run OR x_run_id IS NULL)
    AND (x_run_id IS NULL OR x_org_slug IS NULL OR x_pipeline_id IS NULL OR x_credential_id IS NULL
      OR x_ingested_at IS NULL OR x_ingestion_date IS NULL))
FROM {table};

-- name: lineage_today
UPDATE {table} SET x_pipeline_run_date = $day
WHERE x_pipeline_run_date IS NULL AND (x_run_id = $run OR x_run_id IS NULL);

-- name: lineage_fill
UPDATE {table} SET
  x_run_id = $run, x_org_slug = $org, x_pipeline_id = COALESCE(x_pipeline_id, $pipeline),
  x_credential_id = COALESCE(x_credential_id, $credential), x_ingested_at = COALESCE(x_ingested_at, $at),
  x_ingestion_date = COALESCE(x_ingestion_date, $day)
WHERE (x_run_id = $run OR x_run_id IS NULL)
  AND (x_run_id IS NULL OR x_org_slug IS NULL OR x_pipeline_id IS NULL OR x_credential_id IS NULL
    OR x_ingested_at IS NULL OR x_ingestion_date IS NULL);

-- name: probe
CREATE OR REPLACE TABLE _convergence.probe AS SELECT now() AS written_at;

-- name: used_bytes
SELECT block_size * used_blocks FROM pragma_database_size() WHERE database_name = current_database();

-- name: pin
SELECT 1 FROM _convergence.about LIMIT 0;

-- name: macros_version
SELECT version FROM _convergence.about;

-- name: macros_begin
BEGIN TRANSACTION;
DROP SCHEMA IF EXISTS googlesql CASCADE;
CREATE SCHEMA googlesql;
DELETE FROM _convergence.about;

-- name: macros_done
INSERT INTO _convergence.about VALUES ($version);

-- name: migrations
SELECT name, digest FROM _convergence.migrations WHERE dataset = $dataset;

-- name: migrated
INSERT INTO _convergence.migrations VALUES ($dataset, $name, $digest, $at);
