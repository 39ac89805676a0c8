-- What GoogleSQL means and DuckDB has no single function for. Written into the schema `googlesql` of each database.
-- A value that is used more than once is bound by a lambda, so that nested calls stay small.

CREATE OR REPLACE MACRO googlesql.nonzero(b) AS CASE WHEN b = 0 THEN error('division by zero') ELSE b END;
CREATE OR REPLACE MACRO googlesql.nonzero_or_null(b) AS nullif(b, 0);

-- Division of decimals, exact, rounded half away from zero at the last place: long division on HUGEINT.
CREATE OR REPLACE MACRO googlesql.units9(x) AS
  CAST(trunc(x) AS HUGEINT) * 1000000000 + CAST(CAST(x - trunc(x) AS DECIMAL(10, 9)) * 1000000000::DECIMAL(10, 0) AS HUGEINT);
CREATE OR REPLACE MACRO googlesql.units18(x) AS
  CAST(trunc(x) AS HUGEINT) * 1000000000000000000
  + CAST(CAST(x - trunc(x) AS DECIMAL(19, 18)) * 1000000000000000000::DECIMAL(19, 0) AS HUGEINT);
CREATE OR REPLACE MACRO googlesql.divide9(a, b) AS list_transform(list_transform(list_transform(
  [{'a': CAST(a AS DECIMAL(38, 9)), 'b': CAST(b AS DECIMAL(38, 9))}],
  lambda x: {'n': googlesql.units9(abs(x.a)), 'd': nullif(googlesql.units9(abs(x.b)), 0), 's': sign(x.a) * sign(x.b)}),
  lambda x: {'q': x.n // x.d, 'f': (x.n % x.d) * 1000000000 // x.d, 'r': (x.n % x.d) * 1000000000 % x.d, 'd': x.d, 's': x.s}),
  lambda x: CAST(x.s AS INTEGER) * (CAST(x.q AS DECIMAL(38, 9))
    + CAST(x.f + CASE WHEN x.r >= x.d - x.r THEN 1 ELSE 0 END AS DECIMAL(10, 0)) * 0.000000001::DECIMAL(10, 9)))[1];
CREATE OR REPLACE MACRO googlesql.numeric_divide_or_null(a, b) AS CAST(googlesql.divide9(a, b) AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO googlesql.numeric_divide(a, b) AS CAST(googlesql.divide9(a, googlesql.nonzero(b)) AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO googlesql.bignumeric_divide_or_null(a, b) AS list_transform(list_transform(list_transform(list_transform(
  [{'a': CAST(a AS DECIMAL(38, 18)), 'b': CAST(b AS DECIMAL(38, 18))}],
  lambda x: {'n': googlesql.units18(abs(x.a)), 'd': nullif(googlesql.units18(abs(x.b)), 0), 's': sign(x.a) * sign(x.b)}),
  lambda x: {'q': x.n // x.d, 'f': (x.n % x.d) * 1000000000 // x.d, 'r': (x.n % x.d) * 1000000000 % x.d, 'd': x.d, 's': x.s}),
  lambda x: {'q': x.q, 'f': x.f, 'g': x.r * 1000000000 // x.d, 'r': x.r * 1000000000 % x.d, 'd': x.d, 's': x.s}),
  lambda x: CAST(CAST(x.s AS INTEGER) * (CAST(x.q AS DECIMAL(38, 18))
    + CAST(x.f * 1000000000 + x.g + CASE WHEN x.r >= x.d - x.r THEN 1 ELSE 0 END AS DECIMAL(19, 0))
      * 0.000000000000000001::DECIMAL(18, 18)) AS DECIMAL(38, 18)))[1];
CREATE OR REPLACE MACRO googlesql.bignumeric_divide(a, b) AS googlesql.bignumeric_divide_or_null(a, googlesql.nonzero(b));
-- Where types are not known before: DuckDB's own decide.
CREATE OR REPLACE MACRO googlesql.divide
  (a DECIMAL(38, 9), b DECIMAL(38, 9)) AS googlesql.numeric_divide(a, b),
  (a DECIMAL(38, 9), b BIGINT) AS googlesql.numeric_divide(a, b),
  (a BIGINT, b DECIMAL(38, 9)) AS googlesql.numeric_divide(a, b),
  (a DOUBLE, b DECIMAL(38, 9)) AS a / googlesql.nonzero(CAST(b AS DOUBLE)),
  (a DECIMAL(38, 9), b DOUBLE) AS CAST(a AS DOUBLE) / googlesql.nonzero(b),
  (a DOUBLE, b DOUBLE) AS a / googlesql.nonzero(b),
  (a BIGINT, b BIGINT) AS a / googlesql.nonzero(b);
CREATE OR REPLACE MACRO googlesql.divide_or_null
  (a DECIMAL(38, 9), b DECIMAL(38, 9)) AS googlesql.numeric_divide_or_null(a, b),
  (a DECIMAL(38, 9), b BIGINT) AS googlesql.numeric_divide_or_null(a, b),
  (a BIGINT, b DECIMAL(38, 9)) AS googlesql.numeric_divide_or_null(a, b),
  (a DOUBLE, b DECIMAL(38, 9)) AS a / googlesql.nonzero_or_null(CAST(b AS DOUBLE)),
  (a DECIMAL(38, 9), b DOUBLE) AS CAST(a AS DOUBLE) / googlesql.nonzero_or_null(b),
  (a DOUBLE, b DOUBLE) AS a / googlesql.nonzero_or_null(b),
  (a BIGINT, b BIGINT) AS a / googlesql.nonzero_or_null(b);
CREATE OR REPLACE MACRO googlesql.multiply
  (a DECIMAL(38, 9), b DECIMAL(38, 9)) AS CAST(a * b AS DECIMAL(38, 9)),
  (a DECIMAL(38, 9), b BIGINT) AS CAST(a * b AS DECIMAL(38, 9)),
  (a BIGINT, b DECIMAL(38, 9)) AS CAST(a * b AS DECIMAL(38, 9)),
  (a DOUBLE, b DECIMAL(38, 9)) AS a * CAST(b AS DOUBLE),
  (a DECIMAL(38, 9), b DOUBLE) AS CAST(a AS DOUBLE) * b,
  (a DOUBLE, b DOUBLE) AS a * b,
  (a BIGINT, b BIGINT) AS a * b;
-- DuckDB rounds decimals to a constant number of places only.
CREATE OR REPLACE MACRO googlesql.round_decimal(x, n) AS list_transform([{'x': x, 'n': n}], lambda e:
  CASE e.n WHEN -3 THEN CAST(round(e.x, -3) AS DECIMAL(38, 9)) WHEN -2 THEN CAST(round(e.x, -2) AS DECIMAL(38, 9)) WHEN -1 THEN CAST(round(e.x, -1) AS DECIMAL(38, 9)) 
  WHEN 0 THEN CAST(round(e.x, 0) AS DECIMAL(38, 9)) WHEN 1 THEN CAST(round(e.x, 1) AS DECIMAL(38, 9)) WHEN 2 THEN CAST(round(e.x, 2) AS DECIMAL(38, 9)) 
  WHEN 3 THEN CAST(round(e.x, 3) AS DECIMAL(38, 9)) WHEN 4 THEN CAST(round(e.x, 4) AS DECIMAL(38, 9)) WHEN 5 THEN CAST(round(e.x, 5) AS DECIMAL(38, 9)) 
  WHEN 6 THEN CAST(round(e.x, 6) AS DECIMAL(38, 9)) WHEN 7 THEN CAST(round(e.x, 7) AS DECIMAL(38, 9)) WHEN 8 THEN CAST(round(e.x, 8) AS DECIMAL(38, 9))
  ELSE CASE WHEN e.n > 8 THEN e.x WHEN e.n < -3 THEN error('ROUND: the number of places is out of range') END END)[1];
CREATE OR REPLACE MACRO googlesql.integral
  (a DECIMAL(38, 9)) AS a, (a DOUBLE) AS a, (a HUGEINT) AS CAST(a AS BIGINT), (a BIGINT) AS a;

-- Text of values.
CREATE OR REPLACE MACRO googlesql.numeric_text(x) AS regexp_replace(CAST(x AS VARCHAR), '\.?0+$', '');
CREATE OR REPLACE MACRO googlesql.float_text(x) AS replace(regexp_replace(CAST(CAST(x AS DOUBLE) AS VARCHAR), '\.0$', ''), 'nan', 'NaN');
CREATE OR REPLACE MACRO googlesql.text
  (x DECIMAL(38, 18)) AS googlesql.numeric_text(x), (x DOUBLE) AS googlesql.float_text(x), (x BIGINT) AS CAST(x AS VARCHAR),
  (x HUGEINT) AS CAST(x AS VARCHAR), (x VARCHAR) AS x, (x BOOLEAN) AS CAST(x AS VARCHAR), (x DATE) AS CAST(x AS VARCHAR),
  (x TIMESTAMP) AS CAST(x AS VARCHAR), (x TIMESTAMPTZ) AS CAST(x AS VARCHAR), (x TIME) AS CAST(x AS VARCHAR), (x BLOB) AS decode(x);
CREATE OR REPLACE MACRO googlesql.int64_of(t) AS
  CASE WHEN t IS NULL THEN NULL WHEN regexp_full_match(trim(t), '[+-]?[0-9]+') THEN CAST(t AS BIGINT)
  ELSE error('Bad int64 value: ' || t) END;
CREATE OR REPLACE MACRO googlesql.int64_of_or_null(t) AS
  CASE WHEN regexp_full_match(trim(t), '[+-]?[0-9]+') THEN CAST(t AS BIGINT) END;
CREATE OR REPLACE MACRO googlesql.bool_of_or_null(t) AS CASE lower(trim(t)) WHEN 'true' THEN true WHEN 'false' THEN false END;
CREATE OR REPLACE MACRO googlesql.bool_of(t) AS
  CASE lower(trim(t)) WHEN 'true' THEN true WHEN 'false' THEN false ELSE CASE WHEN t IS NULL THEN NULL ELSE error('Bad bool value: ' || t) END END;
CREATE OR REPLACE MACRO googlesql.int32(n) AS CAST(n AS INTEGER);
CREATE OR REPLACE MACRO googlesql.pad_left(s, n) AS CASE WHEN length(s) >= n THEN s ELSE lpad(s, n, ' ') END;
CREATE OR REPLACE MACRO googlesql.pad_right(s, n) AS CASE WHEN length(s) >= n THEN s ELSE rpad(s, n, ' ') END;
-- A position of 0 or before the beginning means the beginning.
CREATE OR REPLACE MACRO googlesql.tail(s, p) AS CASE WHEN p > 0 OR (p < 0 AND -p <= length(s)) THEN substr(s, p) ELSE s END;
CREATE OR REPLACE MACRO googlesql.initcap(s) AS
  array_to_string(list_transform(regexp_extract_all(lower(s), '[^\s\[\](){}/|<>!?@"^#$&~_,.:;*%+\-]+|[\s\[\](){}/|<>!?@"^#$&~_,.:;*%+\-]+'),
    lambda w: upper(left(w, 1)) || substr(w, 2)), '');
CREATE OR REPLACE MACRO googlesql.session_user() AS 'embedded';

-- JSON held as text: what is no JSON gives NULL, as JSON_EXTRACT_SCALAR does.
CREATE OR REPLACE MACRO googlesql.json_scalar(j, p) AS
  json_extract_string(json_value(CASE WHEN json_valid(j) THEN j END, p), '$');
CREATE OR REPLACE MACRO googlesql.json_fragment(j, p) AS json_extract(CASE WHEN json_valid(j) THEN j END, p);
CREATE OR REPLACE MACRO googlesql.json_strings(j, p) AS
  CASE WHEN json_type(googlesql.json_fragment(j, p)) = 'ARRAY'
  THEN list_transform(CAST(googlesql.json_fragment(j, p) AS JSON[]), lambda e: json_extract_string(e, '$')) END;
CREATE OR REPLACE MACRO googlesql.json_list(j, p) AS
  CASE WHEN json_type(googlesql.json_fragment(j, p)) = 'ARRAY' THEN CAST(googlesql.json_fragment(j, p) AS JSON[]) END;
CREATE OR REPLACE MACRO googlesql.json_type(j) AS
  CASE json_type(j) WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' WHEN 'OBJECT' THEN 'object'
  WHEN 'ARRAY' THEN 'array' ELSE CASE WHEN j IS NULL THEN NULL ELSE 'number' END END;
CREATE OR REPLACE MACRO googlesql.json_int64(j) AS
  CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') THEN googlesql.int64_of(regexp_replace(CAST(j AS VARCHAR), '\.0$', ''))
  WHEN j IS NULL THEN NULL ELSE error('The provided JSON input is not an integer') END;
CREATE OR REPLACE MACRO googlesql.json_float64(j) AS
  CASE WHEN json_type(j) IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') THEN CAST(CAST(j AS VARCHAR) AS DOUBLE)
  WHEN j IS NULL THEN NULL ELSE error('The provided JSON input is not a number') END;
CREATE OR REPLACE MACRO googlesql.json_string(j) AS
  CASE WHEN json_type(j) = 'VARCHAR' THEN json_extract_string(j, '$')
  WHEN j IS NULL THEN NULL ELSE error('The provided JSON input is not a string') END;
CREATE OR REPLACE MACRO googlesql.json_bool(j) AS
  CASE WHEN json_type(j) = 'BOOLEAN' THEN CAST(CAST(j AS VARCHAR) AS BOOLEAN)
  WHEN j IS NULL THEN NULL ELSE error('The provided JSON input is not a boolean') END;
CREATE OR REPLACE MACRO googlesql.json_time(x) AS
  to_json(strftime(x, '%Y-%m-%dT%H:%M:%S') || rtrim(rtrim(strftime(x, '.%f'), '0'), '.'));

-- Dates and times.
CREATE OR REPLACE MACRO googlesql.moved
  (d DATE, i INTERVAL) AS CAST(d + i AS DATE), (d TIMESTAMP, i INTERVAL) AS d + i, (d TIMESTAMPTZ, i INTERVAL) AS d + i;
CREATE OR REPLACE MACRO googlesql.shifted(d, n) AS CAST(d + CAST(n AS INTEGER) AS DATE);
-- Months from the first date on, not from the one before: 31 January, 28 February, 31 March.
CREATE OR REPLACE MACRO googlesql.month_dates(a, b, k) AS
  list_filter(list_transform(generate_series(0, abs(date_diff('month', a, b)) // abs(k)),
    lambda n: CAST(a + to_months(CAST(n * k AS INTEGER)) AS DATE)), lambda d: CASE WHEN k > 0 THEN d <= b ELSE d >= b END);
CREATE OR REPLACE MACRO googlesql.truncated
  (part, d DATE) AS CAST(date_trunc(part, d) AS DATE), (part, d TIMESTAMP) AS date_trunc(part, d), (part, d TIMESTAMPTZ) AS date_trunc(part, d);
CREATE OR REPLACE MACRO googlesql.week_begin
  (d DATE, first) AS CAST(d - CAST((dayofweek(d) - first + 7) % 7 AS INTEGER) AS DATE),
  (d TIMESTAMP, first) AS date_trunc('day', d) - to_days(CAST((dayofweek(d) - first + 7) % 7 AS INTEGER)),
  (d TIMESTAMPTZ, first) AS date_trunc('day', d) - to_days(CAST((dayofweek(d) - first + 7) % 7 AS INTEGER));
CREATE OR REPLACE MACRO googlesql.isoyear_begin(d) AS CAST(date_trunc('week', make_date(isoyear(d), 1, 4)) AS DATE);
CREATE OR REPLACE MACRO googlesql.timestamp_of
  (x VARCHAR) AS CAST(x AS TIMESTAMPTZ), (x DATE) AS CAST(x AS TIMESTAMPTZ), (x TIMESTAMP) AS CAST(x AS TIMESTAMPTZ),
  (x TIMESTAMPTZ) AS x;
CREATE OR REPLACE MACRO googlesql.timestamp_in
  (x VARCHAR, zone) AS timezone(zone, CAST(x AS TIMESTAMP)), (x DATE, zone) AS timezone(zone, CAST(x AS TIMESTAMP)),
  (x TIMESTAMP, zone) AS timezone(zone, x);
CREATE OR REPLACE MACRO googlesql.date_in(x, zone) AS CAST(timezone(zone, CAST(x AS TIMESTAMPTZ)) AS DATE);
CREATE OR REPLACE MACRO googlesql.last_day_of(d, part) AS
  CASE part WHEN 'YEAR' THEN make_date(year(d), 12, 31) WHEN 'QUARTER' THEN last_day(CAST(date_trunc('quarter', d) + INTERVAL 2 MONTH AS DATE))
  WHEN 'WEEK' THEN googlesql.week_begin(CAST(d AS DATE), 0) + 6 WHEN 'ISOWEEK' THEN CAST(date_trunc('week', d) AS DATE) + 6
  ELSE last_day(d) END;

-- Arrays.
CREATE OR REPLACE MACRO googlesql.element(a, i) AS
  CASE WHEN i < 1 OR i > len(a) THEN error('Array index ' || (i - 1) || ' is out of bounds') ELSE a[i] END;

CREATE OR REPLACE MACRO googlesql.element_or_null(a, i) AS CASE WHEN i >= 1 THEN a[i] END;

-- Catalog views, as `dataset.INFORMATION_SCHEMA.*` and `dataset.__TABLES__`.
-- Each reads one dataset: the second wall (`warehouse.plan`) looks for the condition right above the catalogue's list.
CREATE OR REPLACE MACRO googlesql.tables(project, dataset) AS TABLE
  SELECT project AS table_catalog, schema_name AS table_schema, table_name, 'BASE TABLE' AS table_type,
    'YES' AS is_insertable_into, 'NO' AS is_typed
  FROM duckdb_tables() WHERE schema_name = dataset AND database_name = current_database()
  UNION ALL BY NAME
  SELECT project AS table_catalog, schema_name AS table_schema, view_name AS table_name, 'VIEW' AS table_type,
    'NO' AS is_insertable_into, 'NO' AS is_typed
  FROM duckdb_views() WHERE schema_name = dataset AND database_name = current_database();
CREATE OR REPLACE MACRO googlesql.type_name(t) AS
  CASE WHEN t = 'VARCHAR' THEN 'STRING' WHEN t IN ('BIGINT', 'INTEGER', 'HUGEINT') THEN 'INT64' WHEN t = 'DOUBLE' THEN 'FLOAT64'
  WHEN t = 'BOOLEAN' THEN 'BOOL' WHEN t = 'DECIMAL(38,9)' THEN 'NUMERIC' WHEN t = 'DECIMAL(38,18)' THEN 'BIGNUMERIC'
  WHEN t = 'TIMESTAMP WITH TIME ZONE' THEN 'TIMESTAMP' WHEN t = 'TIMESTAMP' THEN 'DATETIME' WHEN t = 'BLOB' THEN 'BYTES' ELSE t END;
CREATE OR REPLACE MACRO googlesql.columns(project, dataset) AS TABLE
  SELECT project AS table_catalog, schema_name AS table_schema, table_name, column_name, column_index AS ordinal_position,
    CASE WHEN is_nullable THEN 'YES' ELSE 'NO' END AS is_nullable,
    CASE WHEN ends_with(data_type, '[]') THEN 'ARRAY<' || googlesql.type_name(replace(data_type, '[]', '')) || '>'
      ELSE googlesql.type_name(data_type) END AS data_type,
    'NEVER' AS is_generated, 'NO' AS is_hidden, 'NO' AS is_system_defined,
    CASE WHEN column_name = 'x_ingestion_date' THEN 'YES' ELSE 'NO' END AS is_partitioning_column,
    CAST(NULL AS BIGINT) AS clustering_ordinal_position, COALESCE(column_default, 'NULL') AS column_default
  FROM duckdb_columns() WHERE schema_name = dataset AND database_name = current_database();
-- Procedures have one name in all datasets: the view shows them in each.
CREATE OR REPLACE MACRO googlesql.routines(project, dataset) AS TABLE
  SELECT project AS specific_catalog, dataset AS specific_schema, name AS specific_name, project AS routine_catalog,
    dataset AS routine_schema, name AS routine_name, 'PROCEDURE' AS routine_type, CAST(NULL AS VARCHAR) AS data_type,
    'SQL' AS routine_body, definition AS routine_definition, CAST(NULL AS VARCHAR) AS external_language,
    CAST(NULL AS VARCHAR) AS is_deterministic, CAST(NULL AS VARCHAR) AS security_type,
    CAST(NULL AS TIMESTAMPTZ) AS created, CAST(NULL AS TIMESTAMPTZ) AS last_altered, definition AS ddl
  FROM _convergence.routines;
CREATE OR REPLACE MACRO googlesql.schemata(project, dataset) AS TABLE
  SELECT project AS catalog_name, dataset AS schema_name, 'US' AS location;
CREATE OR REPLACE MACRO googlesql.table_list(project, dataset) AS TABLE
  SELECT project AS project_id, schema_name AS dataset_id, table_name AS table_id, estimated_size AS row_count,
    CAST(NULL AS BIGINT) AS creation_time, CAST(NULL AS BIGINT) AS last_modified_time, estimated_size * 8 * column_count AS size_bytes, 1 AS type
  FROM duckdb_tables() WHERE schema_name = dataset AND database_name = current_database()
  UNION ALL BY NAME
  SELECT project AS project_id, schema_name AS dataset_id, view_name AS table_id, 0 AS row_count, CAST(NULL AS BIGINT) AS creation_time,
    CAST(NULL AS BIGINT) AS last_modified_time, 0 AS size_bytes, 2 AS type
  FROM duckdb_views() WHERE schema_name = dataset AND database_name = current_database();
