-- Statements of the embedded warehouse. Words in braces are checked identifiers and types, values are parameters.

-- name: internals
CREATE SCHEMA IF NOT EXISTS _convergence;
CREATE TABLE IF NOT EXISTS _convergence.jobs (job_id VARCHAR PRIMARY KEY, result JSON NOT NULL, finished_at TIMESTAMPTZ NOT NULL);
CREATE TABLE IF NOT EXISTS _convergence.routines (name VARCHAR PRIMARY KEY, digest VARCHAR NOT NULL, source VARCHAR NOT NULL, definition VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS _convergence.migrations (name VARCHAR PRIMARY KEY, digest VARCHAR NOT NULL, applied_at TIMESTAMPTZ NOT NULL);
CREATE TABLE IF NOT EXISTS _convergence.about (version VARCHAR NOT NULL);

-- name: job
SELECT result FROM _convergence.jobs WHERE job_id = $job_id;

-- name: job_done
INSERT INTO _convergence.jobs VALUES ($job_id, $result, $finished_at);

-- name: columns
SELECT column_name, data_type FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = $dataset AND table_name = $table ORDER BY column_index;

-- name: create_dataset
CREATE SCHEMA IF NOT EXISTS "{dataset}";

-- name: create_table
CREATE TABLE "{dataset}"."{table}" ({columns});

-- name: add_column
ALTER TABLE "{dataset}"."{table}" ADD COLUMN "{column}" {type};

-- name: staged
CREATE TEMP TABLE staged AS SELECT {select}
FROM read_json($files, format = 'array', columns = {columns}, maximum_object_size = 16777216);

-- name: insert
INSERT INTO "{dataset}"."{table}" BY NAME SELECT {select}
FROM read_json($files, format = 'array', columns = {columns}, maximum_object_size = 16777216);

-- name: insert_staged
INSERT INTO "{dataset}"."{table}" BY NAME SELECT * FROM staged
QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY rowid DESC) = 1;

-- name: delete_slice
DELETE FROM "{dataset}"."{table}"
WHERE x_org_slug = $x_org_slug AND x_pipeline_id = $x_pipeline_id AND x_credential_id = $x_credential_id{dates};

-- name: delete_merged
DELETE FROM "{dataset}"."{table}" AS kept USING staged
WHERE kept.x_org_slug = $x_org_slug AND kept.x_pipeline_id = $x_pipeline_id AND kept.x_credential_id = $x_credential_id{dates}
  AND {match};

-- name: table_size
SELECT t.estimated_size, c.data_type FROM duckdb_tables() AS t
JOIN duckdb_columns() AS c USING (database_name, schema_name, table_name)
WHERE database_name = current_database() AND schema_name = $dataset AND table_name = $table;

