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
  lambda our_x: {'n': googlesql.units9(abs(our_x.a)), 'd': nullif(googlesql.units9(abs(our_x.b)), 0), 's': sign(our_x.a) * sign(our_x.b)}),
  lambda our_x: {'q': our_x.n // our_x.d, 'f': (our_x.n % our_x.d) * 1000000000 // our_x.d, 'r': (our_x.n % our_x.d) * 1000000000 % our_x.d, 'd': our_x.d, 's': our_x.s}),
  lambda our_x: CAST(our_x.s AS INTEGER) * (CAST(our_x.q AS DECIMAL(38, 9))
    + CAST(our_x.f + CASE WHEN our_x.r >= our_x.d - our_x.r THEN 1 ELSE 0 END AS DECIMAL(10, 0)) * 0.000000001::DECIMAL(10, 9)))[1];
CREATE OR REPLACE MACRO googlesql.numeric_divide_or_null(a, b) AS CAST(googlesql.divide9(a, b) AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO googlesql.numeric_divide(a, b) AS CAST(googlesql.divide9(a, googlesql.nonzero(b)) AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO googlesql.bignumeric_divide_or_null(a, b) AS list_transform(list_transform(list_transform(list_transform(
  [{'a': CAST(a AS DECIMAL(38, 18)), 'b': CAST(b AS DECIMAL(38, 18))}],
  lambda our_x: {'n': googlesql.units18(abs(our_x.a)), 'd': nullif(googlesql.units18(abs(our_x.b)), 0), 's': sign(our_x.a) * sign(our_x.b)}),
  lambda our_x: {'q': our_x.n // our_x.d, 'f': (our_x.n % our_x.d) * 1000000000 // our_x.d, 'r': (our_x.n % our_x.d) * 1000000000 % our_x.d, 'd': our_x.d, 's': our_x.s}),
  lambda our_x: {'q': our_x.q, 'f': our_x.f, 'g': our_x.r * 1000000000 // our_x.d, 'r': our_x.r * 1000000000 % our_x.d, 'd': our_x.d, 's': our_x.s}),
  lambda our_x: CAST(CAST(our_x.s AS INTEGER) * (CAST(our_x.q AS DECIMAL(38, 18))
    + CAST(our_x.f * 1000000000 + our_x.g + CASE WHEN our_x.r >= our_x.d - our_x.r THEN 1 ELSE 0 END AS DECIMAL(19, 0))
      * 0.000000000000000001::DECIMAL(18, 18)) AS DECIMAL(38, 18)))[1];
-- DuckDB's product has the places of both factors, 36, and so room for two digits before the point: the whole and the
-- broken parts are multiplied apart.
CREATE OR REPLACE MACRO googlesql.bignumeric_multiply(a, b) AS list_transform(
  [{'a': CAST(a AS DECIMAL(38, 18)), 'b': CAST(b AS DECIMAL(38, 18))}], lambda our_e:
  CAST(trunc(our_e.a) * our_e.b AS DECIMAL(38, 18))
  + CAST(CAST(our_e.a - trunc(our_e.a) AS DECIMAL(38, 18)) * trunc(our_e.b) AS DECIMAL(38, 18))
  + CAST(CAST(our_e.a - trunc(our_e.a) AS DECIMAL(38, 18)) * CAST(our_e.b - trunc(our_e.b) AS DECIMAL(38, 18))
    AS DECIMAL(38, 18)))[1];
CREATE OR REPLACE MACRO googlesql.bignumeric_divide(a, b) AS googlesql.bignumeric_divide_or_null(a, googlesql.nonzero(b));
-- A FLOAT64 that is not finite although what it was computed of is (`ok`).
CREATE OR REPLACE MACRO googlesql.bounded(r, ok) AS CASE WHEN isfinite(r) OR r IS NULL OR NOT (ok) THEN r ELSE error('FLOAT64 overflow') END;
CREATE OR REPLACE MACRO googlesql.bounded_or_null(r, ok) AS CASE WHEN isfinite(r) OR NOT (ok) THEN r END;
-- Whether a value of a type that is not known before is NaN.
CREATE OR REPLACE MACRO googlesql.is_nan(x) AS CASE WHEN x IS NOT NULL THEN typeof(x) = 'DOUBLE' AND CAST(x AS VARCHAR) = 'nan' END;
-- DuckDB's cube root is off in the last place; one step of Newton's corrects it.
CREATE OR REPLACE MACRO googlesql.cube_root(x) AS list_transform([{'x': x, 'r': cbrt(x)}], lambda our_x:
  CASE WHEN our_x.r = 0 OR NOT isfinite(our_x.r) THEN our_x.r ELSE our_x.r - (our_x.r * our_x.r * our_x.r - our_x.x) / (3 * our_x.r * our_x.r) END)[1];
-- Shifts of 64 bits, without the sign.
CREATE OR REPLACE MACRO googlesql.signed(u) AS CAST(CASE WHEN u >= 9223372036854775808 THEN u - 18446744073709551616 ELSE u END AS BIGINT);
CREATE OR REPLACE MACRO googlesql.unsigned(x) AS CASE WHEN x < 0 THEN CAST(x AS HUGEINT) + 18446744073709551616 ELSE CAST(x AS HUGEINT) END;
CREATE OR REPLACE MACRO googlesql.shift_left_or_null(x, n) AS
  CASE WHEN n >= 64 THEN x * 0 WHEN n >= 0 THEN googlesql.signed((googlesql.unsigned(x) << CAST(n AS INTEGER)) % 18446744073709551616) END;
CREATE OR REPLACE MACRO googlesql.shift_left(x, n) AS
  CASE WHEN n < 0 THEN error('a shift cannot be negative') ELSE googlesql.shift_left_or_null(x, n) END;
CREATE OR REPLACE MACRO googlesql.shift_right_or_null(x, n) AS
  CASE WHEN n >= 64 THEN x * 0 WHEN n >= 0 THEN googlesql.signed(googlesql.unsigned(x) >> CAST(n AS INTEGER)) END;
CREATE OR REPLACE MACRO googlesql.shift_right(x, n) AS
  CASE WHEN n < 0 THEN error('a shift cannot be negative') ELSE googlesql.shift_right_or_null(x, n) END;
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
  (a DOUBLE, b DOUBLE) AS googlesql.bounded(a * b, isfinite(a) AND isfinite(b)),
  (a BIGINT, b BIGINT) AS a * b;
-- DuckDB rounds decimals to a constant number of places only.
CREATE OR REPLACE MACRO googlesql.round_decimal(x, n) AS list_transform([{'x': x, 'n': n}], lambda our_e:
  CASE our_e.n WHEN -3 THEN CAST(round(our_e.x, -3) AS DECIMAL(38, 9)) WHEN -2 THEN CAST(round(our_e.x, -2) AS DECIMAL(38, 9)) WHEN -1 THEN CAST(round(our_e.x, -1) AS DECIMAL(38, 9)) 
  WHEN 0 THEN CAST(round(our_e.x, 0) AS DECIMAL(38, 9)) WHEN 1 THEN CAST(round(our_e.x, 1) AS DECIMAL(38, 9)) WHEN 2 THEN CAST(round(our_e.x, 2) AS DECIMAL(38, 9)) 
  WHEN 3 THEN CAST(round(our_e.x, 3) AS DECIMAL(38, 9)) WHEN 4 THEN CAST(round(our_e.x, 4) AS DECIMAL(38, 9)) WHEN 5 THEN CAST(round(our_e.x, 5) AS DECIMAL(38, 9)) 
  WHEN 6 THEN CAST(round(our_e.x, 6) AS DECIMAL(38, 9)) WHEN 7 THEN CAST(round(our_e.x, 7) AS DECIMAL(38, 9)) WHEN 8 THEN CAST(round(our_e.x, 8) AS DECIMAL(38, 9))
  ELSE CASE WHEN our_e.n > 8 THEN our_e.x WHEN our_e.n < -3 THEN error('ROUND: the number of places is out of range') END END)[1];
CREATE OR REPLACE MACRO googlesql.integral
  (a DECIMAL(38, 9)) AS a, (a DOUBLE) AS a, (a HUGEINT) AS CAST(a AS BIGINT), (a BIGINT) AS a;

-- Functions whose value is not finite although their arguments (whose sum is `a`) are, and lengths below zero.
CREATE OR REPLACE MACRO googlesql.finite(r, a) AS
  CASE WHEN r IS NULL THEN NULL WHEN isfinite(r) OR NOT isfinite(a) THEN r ELSE error('the function has no value for its argument') END;
CREATE OR REPLACE MACRO googlesql.finite_or_null(r, a) AS CASE WHEN isfinite(r) OR NOT isfinite(a) THEN r END;
CREATE OR REPLACE MACRO googlesql.sized(n) AS
  CASE WHEN n IS NULL THEN NULL WHEN n < 0 THEN error('a length cannot be negative') ELSE n END;
CREATE OR REPLACE MACRO googlesql.sized_or_null(n) AS CASE WHEN n >= 0 THEN n END;
-- Types with bounds: NUMERIC(p, s) rounds to s places, and has a limit; STRING(n) and BYTES(n) have n characters or bytes.
CREATE OR REPLACE MACRO googlesql.numeric_fitted(x, s, l) AS CASE WHEN abs(round(x, s)) >= l THEN error('the number has more digits than its type') ELSE CAST(round(x, s) AS DECIMAL(38, 9)) END;
CREATE OR REPLACE MACRO googlesql.numeric_fitted_or_null(x, s, l) AS CASE WHEN (abs(round(x, s)) >= l) IS NOT TRUE THEN CAST(round(x, s) AS DECIMAL(38, 9)) END;
CREATE OR REPLACE MACRO googlesql.bignumeric_fitted(x, s, l) AS CASE WHEN abs(round(x, s)) >= l THEN error('the number has more digits than its type') ELSE CAST(round(x, s) AS DECIMAL(38, 18)) END;
CREATE OR REPLACE MACRO googlesql.bignumeric_fitted_or_null(x, s, l) AS CASE WHEN (abs(round(x, s)) >= l) IS NOT TRUE THEN CAST(round(x, s) AS DECIMAL(38, 18)) END;
CREATE OR REPLACE MACRO googlesql.within
  (x VARCHAR, n) AS CASE WHEN length(x) > n THEN error('the text is longer than its type') ELSE x END,
  (x BLOB, n) AS CASE WHEN octet_length(x) > n THEN error('the bytes are more than their type has') ELSE x END;
CREATE OR REPLACE MACRO googlesql.within_or_null
  (x VARCHAR, n) AS CASE WHEN length(x) <= n THEN x END, (x BLOB, n) AS CASE WHEN octet_length(x) <= n THEN x END;
-- What is written into a column with bounds; `c` is its name and type.
CREATE OR REPLACE MACRO googlesql.numeric_stored(x, s, l, c) AS CASE WHEN abs(round(x, s)) >= l THEN error('the number ' || x || ' has more digits than the column ' || c) ELSE CAST(round(x, s) AS DECIMAL(38, 9)) END;
CREATE OR REPLACE MACRO googlesql.bignumeric_stored(x, s, l, c) AS CASE WHEN abs(round(x, s)) >= l THEN error('the number ' || x || ' has more digits than the column ' || c) ELSE CAST(round(x, s) AS DECIMAL(38, 18)) END;
CREATE OR REPLACE MACRO googlesql.stored_within
  (x VARCHAR, n, c) AS CASE WHEN length(x) > n THEN error('a text of ' || length(x) || ' characters is too long for the column ' || c) ELSE x END,
  (x BLOB, n, c) AS CASE WHEN octet_length(x) > n THEN error('a value of ' || octet_length(x) || ' bytes is too long for the column ' || c) ELSE x END;
-- REPEAT, LPAD and RPAD give at most 1 MiB, as in BigQuery.
CREATE OR REPLACE MACRO googlesql.pad_length(n) AS CAST(CASE WHEN n > 1048576 THEN error('LPAD and RPAD give 1 MB at most') ELSE googlesql.sized(n) END AS INTEGER);
CREATE OR REPLACE MACRO googlesql.pad_length_or_null(n) AS CAST(CASE WHEN n BETWEEN 0 AND 1048576 THEN n END AS INTEGER);
CREATE OR REPLACE MACRO googlesql.repeated(s, n) AS
  repeat(s, CASE WHEN CAST(strlen(s) AS HUGEINT) * n > 1048576 THEN error('REPEAT gives 1 MB at most') ELSE googlesql.sized(n) END);
CREATE OR REPLACE MACRO googlesql.repeated_or_null(s, n) AS repeat(s, CASE WHEN CAST(strlen(s) AS HUGEINT) * n <= 1048576 AND n >= 0 THEN n END);
CREATE OR REPLACE MACRO googlesql.grows(s, new) AS strlen(s) > 0 AND CAST(strlen(s) + 1 AS HUGEINT) * strlen(new) > 67108864;
CREATE OR REPLACE MACRO googlesql.replaced(s, old, new) AS
  replace(s, old, CASE WHEN strlen(new) > strlen(old) AND googlesql.grows(s, new) THEN error('REPLACE would give more than 64 MB') ELSE new END);
CREATE OR REPLACE MACRO googlesql.replaced_or_null(s, old, new) AS replace(s, old, CASE WHEN strlen(new) <= strlen(old) OR NOT googlesql.grows(s, new) THEN new END);
CREATE OR REPLACE MACRO googlesql.replacement(s, new) AS CASE WHEN googlesql.grows(s, new) THEN error('REGEXP_REPLACE would give more than 64 MB') ELSE new END;
CREATE OR REPLACE MACRO googlesql.replacement_or_null(s, new) AS CASE WHEN NOT googlesql.grows(s, new) THEN new END;
CREATE OR REPLACE MACRO googlesql.row_offset(n, least) AS CASE WHEN n >= least THEN n ELSE error('an offset in a window is not NULL and at least ' || least) END;
CREATE OR REPLACE MACRO googlesql.ascii_or_null(s) AS CASE WHEN s = '' THEN 0 WHEN unicode(s) < 128 THEN CAST(unicode(s) AS BIGINT) END;
CREATE OR REPLACE MACRO googlesql.ascii(s) AS
  CASE WHEN s <> '' AND unicode(s) > 127 THEN error('ASCII: the first character is not an ASCII character') ELSE googlesql.ascii_or_null(s) END;
CREATE OR REPLACE MACRO googlesql.character(n) AS CASE WHEN n = 0 THEN '' ELSE chr(CAST(n AS INTEGER)) END;
CREATE OR REPLACE MACRO googlesql.distinct_characters_or_null(s) AS
  CASE WHEN len(list_distinct(regexp_extract_all(s, '(?s).'))) = length(s) THEN s END;
CREATE OR REPLACE MACRO googlesql.distinct_characters(s) AS CASE WHEN len(list_distinct(regexp_extract_all(s, '(?s).'))) < length(s)
  THEN error('TRANSLATE: a source character is there twice') ELSE s END;

-- Text of values.
CREATE OR REPLACE MACRO googlesql.numeric_text(x) AS regexp_replace(CAST(x AS VARCHAR), '\.?0+$', '');
-- CAST(… AS STRING) gives 0 no sign, JSON does; it has 15 digits where they are enough and 17 otherwise.
CREATE OR REPLACE MACRO googlesql.float_digits(x) AS replace(regexp_replace(CAST(CAST(x AS DOUBLE) AS VARCHAR), '\.0$', ''), 'nan', 'NaN');
CREATE OR REPLACE MACRO googlesql.float_15_digits(x) AS CASE WHEN CAST(printf('%.15g', x) AS DOUBLE) = x THEN printf('%.15g', x) ELSE printf('%.17g', x) END;
CREATE OR REPLACE MACRO googlesql.float_text(x) AS
  CASE WHEN x = 0 THEN '0' ELSE replace(googlesql.float_15_digits(CAST(x AS DOUBLE)), 'nan', 'NaN') END;
CREATE OR REPLACE MACRO googlesql.float_literal(x) AS
  CASE WHEN isfinite(x) THEN CAST(CAST(x AS DOUBLE) AS VARCHAR) ELSE 'CAST("' || googlesql.float_text(x) || '" AS FLOAT64)' END;
CREATE OR REPLACE MACRO googlesql.float_shown(x) AS CASE WHEN isfinite(x) THEN CAST(CAST(x AS DOUBLE) AS VARCHAR) ELSE googlesql.float_text(x) END;
-- FORMAT: a text in quotes that it does not hold, digits in threes, and a number of its sign and digits.
CREATE OR REPLACE MACRO googlesql.string_literal(s) AS CASE WHEN contains(s, '"') AND NOT contains(s, '''')
  THEN '''' || replace(substr(CAST(to_json(s) AS VARCHAR), 2, length(CAST(to_json(s) AS VARCHAR)) - 2), '\"', '"') || '''' ELSE CAST(to_json(s) AS VARCHAR) END;
CREATE OR REPLACE MACRO googlesql.thousands(t) AS
  ltrim(reverse(regexp_replace(reverse(split_part(t, '.', 1)), '([0-9]{3})', '\1,', 'g')), ',') || substr(t, length(split_part(t, '.', 1)) + 1);
CREATE OR REPLACE MACRO googlesql.sign_of(x, plus) AS CASE WHEN starts_with(CAST(x AS VARCHAR), '-') THEN '-' ELSE plus END;
CREATE OR REPLACE MACRO googlesql.zeros_left(t, n) AS CASE WHEN length(t) >= n THEN t ELSE lpad(t, CAST(n AS INTEGER), '0') END;
CREATE OR REPLACE MACRO googlesql.number_text(sign, digits, n) AS
  sign || CASE WHEN n = 0 OR NOT regexp_matches(digits, '^[0-9]') THEN digits ELSE googlesql.zeros_left(digits, n - length(sign)) END;
-- Fractions of a second have three digits or six.
CREATE OR REPLACE MACRO googlesql.moment_text(t) AS
  regexp_replace(regexp_replace(regexp_replace(t, '(\.(?:\d{3})?\d)([+-]|$)', '\100\2'), '(\.(?:\d{3})?\d\d)([+-]|$)', '\10\2'), '\.000$', '');
-- Years and months, days, and hours to seconds, each with its sign.
CREATE OR REPLACE MACRO googlesql.interval_text(i) AS list_transform([{
    'm': datepart('year', i) * 12 + datepart('month', i), 'd': datepart('day', i),
    'u': datepart('hour', i) * 3600000000 + datepart('minute', i) * 60000000 + datepart('microsecond', i)}],
  lambda our_x: CASE WHEN our_x.m IS NULL THEN NULL ELSE
    CASE WHEN our_x.m < 0 THEN '-' ELSE '' END || (abs(our_x.m) // 12) || '-' || (abs(our_x.m) % 12) || ' ' || our_x.d || ' '
    || CASE WHEN our_x.u < 0 THEN '-' ELSE '' END || (abs(our_x.u) // 3600000000) || ':' || (abs(our_x.u) // 60000000 % 60) || ':'
    || (abs(our_x.u) // 1000000 % 60) || CASE WHEN our_x.u % 1000000 = 0 THEN '' WHEN our_x.u % 1000 = 0
      THEN '.' || lpad(CAST(abs(our_x.u) % 1000000 // 1000 AS VARCHAR), 3, '0')
      ELSE '.' || lpad(CAST(abs(our_x.u) % 1000000 AS VARCHAR), 6, '0') END END)[1];
CREATE OR REPLACE MACRO googlesql.text
  (x DECIMAL(38, 18)) AS googlesql.numeric_text(x), (x DOUBLE) AS googlesql.float_text(x), (x BIGINT) AS CAST(x AS VARCHAR),
  (x HUGEINT) AS CAST(x AS VARCHAR), (x VARCHAR) AS x, (x BOOLEAN) AS CAST(x AS VARCHAR), (x DATE) AS CAST(x AS VARCHAR),
  (x TIMESTAMP) AS googlesql.moment_text(CAST(x AS VARCHAR)), (x TIMESTAMPTZ) AS googlesql.moment_text(CAST(x AS VARCHAR)),
  (x TIME) AS googlesql.moment_text(CAST(x AS VARCHAR)), (x BLOB) AS decode(x);
CREATE OR REPLACE MACRO googlesql.only_int64
  (x BIGINT) AS x, (x DOUBLE) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x DECIMAL(38, 9)) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x VARCHAR) AS error('FORMAT: the value does not have the type of the conversion; CAST it');
CREATE OR REPLACE MACRO googlesql.only_float64
  (x DOUBLE) AS x, (x BIGINT) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x DECIMAL(38, 9)) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x VARCHAR) AS error('FORMAT: the value does not have the type of the conversion; CAST it');
CREATE OR REPLACE MACRO googlesql.only_string
  (x VARCHAR) AS x, (x BIGINT) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x DOUBLE) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x DECIMAL(38, 9)) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x DATE) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x TIMESTAMP) AS error('FORMAT: the value does not have the type of the conversion; CAST it'), (x TIMESTAMPTZ) AS error('FORMAT: the value does not have the type of the conversion; CAST it');
CREATE OR REPLACE MACRO googlesql.literal
  (x DECIMAL(38, 18)) AS 'NUMERIC "' || googlesql.numeric_text(x) || '"', (x DOUBLE) AS googlesql.float_literal(x), (x BIGINT) AS CAST(x AS VARCHAR),
  (x VARCHAR) AS googlesql.string_literal(x), (x BOOLEAN) AS CAST(x AS VARCHAR), (x DATE) AS 'DATE "' || x || '"',
  (x BLOB) AS error('FORMAT: %T of BYTES cannot be used here'), (x TIMESTAMP) AS 'DATETIME "' || googlesql.text(x) || '"', (x TIMESTAMPTZ) AS 'TIMESTAMP "' || googlesql.text(x) || '"';
CREATE OR REPLACE MACRO googlesql.shown
  (x DOUBLE) AS googlesql.float_shown(x), (x DECIMAL(38, 18)) AS googlesql.numeric_text(x), (x BIGINT) AS CAST(x AS VARCHAR), (x VARCHAR) AS x,
  (x BOOLEAN) AS CAST(x AS VARCHAR), (x DATE) AS CAST(x AS VARCHAR), (x TIMESTAMP) AS googlesql.text(x), (x TIMESTAMPTZ) AS googlesql.text(x),
  (x TIME) AS googlesql.text(x), (x BLOB) AS decode(x);
CREATE OR REPLACE MACRO googlesql.hexadecimal(t) AS
  CAST(CASE WHEN starts_with(t, '-') THEN -1 ELSE 1 END * CAST(lower(ltrim(t, '+-')) AS HUGEINT) AS BIGINT);
CREATE OR REPLACE MACRO googlesql.int64_of(t) AS
  CASE WHEN t IS NULL THEN NULL WHEN regexp_full_match(trim(t), '[+-]?[0-9]+') THEN CAST(t AS BIGINT)
  WHEN regexp_full_match(trim(t), '[+-]?0[xX][0-9a-fA-F]+') THEN googlesql.hexadecimal(trim(t))
  ELSE error('Bad int64 value: ' || t) END;
CREATE OR REPLACE MACRO googlesql.int64_of_or_null(t) AS
  CASE WHEN regexp_full_match(trim(t), '[+-]?[0-9]+') THEN CAST(t AS BIGINT)
  WHEN regexp_full_match(trim(t), '[+-]?0[xX][0-9a-fA-F]+') THEN googlesql.hexadecimal(trim(t)) END;
CREATE OR REPLACE MACRO googlesql.bool_of_or_null(t) AS CASE lower(t) WHEN 'true' THEN true WHEN 'false' THEN false END;
CREATE OR REPLACE MACRO googlesql.bool_of(t) AS
  CASE lower(t) WHEN 'true' THEN true WHEN 'false' THEN false ELSE CASE WHEN t IS NULL THEN NULL ELSE error('Bad bool value: ' || t) END END;
-- A time of clocks in a named zone. One that they show twice is the first of its instants, DuckDB's is the second; one that
-- they leave out has the offset before, as DuckDB's has.
CREATE OR REPLACE MACRO googlesql.instant_in(zone, x) AS list_transform(list_transform([{'z': zone, 'x': x, 't': timezone(zone, x)}],
  lambda our_x: {'z': our_x.z, 'x': our_x.x, 't': our_x.t, 'first': timezone('UTC', our_x.x)
    - (timezone(our_x.z, our_x.t - INTERVAL 1 DAY) - timezone('UTC', our_x.t - INTERVAL 1 DAY))}),
  lambda our_x: CASE WHEN timezone(our_x.z, our_x.first) = our_x.x THEN our_x.first ELSE our_x.t END)[1];
CREATE OR REPLACE MACRO googlesql.instant_of_text(x) AS googlesql.instant_in(regexp_extract(x, '[A-Za-z][A-Za-z0-9_/+-]*$'),
  CAST(upper(regexp_replace(x, ' [A-Za-z][A-Za-z0-9_/+-]*$', '')) AS TIMESTAMP));
-- Texts that are read as values: only what GoogleSQL reads (`rules.casts` has the same patterns for literals).
CREATE OR REPLACE MACRO googlesql.date_of
  (x VARCHAR) AS CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}') THEN CAST(x AS DATE) ELSE error('Invalid date: ' || x) END,
  (x DATE) AS CAST(x AS DATE), (x TIMESTAMP) AS CAST(x AS DATE), (x TIMESTAMPTZ) AS CAST(x AS DATE);
CREATE OR REPLACE MACRO googlesql.date_of_or_null
  (x VARCHAR) AS CASE WHEN regexp_full_match(x, '(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}') THEN TRY_CAST(x AS DATE) END,
  (x DATE) AS CAST(x AS DATE), (x TIMESTAMP) AS CAST(x AS DATE), (x TIMESTAMPTZ) AS CAST(x AS DATE);
CREATE OR REPLACE MACRO googlesql.datetime_of
  (x VARCHAR) AS CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}([Tt ]([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,6})?)?') THEN CAST(upper(x) AS TIMESTAMP) ELSE error('Invalid datetime: ' || x) END,
  (x DATE) AS CAST(x AS TIMESTAMP), (x TIMESTAMP) AS CAST(x AS TIMESTAMP), (x TIMESTAMPTZ) AS CAST(x AS TIMESTAMP);
CREATE OR REPLACE MACRO googlesql.datetime_of_or_null
  (x VARCHAR) AS CASE WHEN regexp_full_match(x, '(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}([Tt ]([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,6})?)?') THEN TRY_CAST(upper(x) AS TIMESTAMP) END,
  (x DATE) AS CAST(x AS TIMESTAMP), (x TIMESTAMP) AS CAST(x AS TIMESTAMP), (x TIMESTAMPTZ) AS CAST(x AS TIMESTAMP);
CREATE OR REPLACE MACRO googlesql.time_of
  (x VARCHAR) AS CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,6})?') THEN CAST(x AS TIME) ELSE error('Invalid time: ' || x) END,
  (x TIME) AS x, (x TIMESTAMP) AS CAST(x AS TIME), (x TIMESTAMPTZ) AS CAST(x AS TIME);
CREATE OR REPLACE MACRO googlesql.time_of_or_null
  (x VARCHAR) AS CASE WHEN regexp_full_match(x, '([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,6})?') THEN TRY_CAST(x AS TIME) END,
  (x TIME) AS x, (x TIMESTAMP) AS CAST(x AS TIME), (x TIMESTAMPTZ) AS CAST(x AS TIME);
CREATE OR REPLACE MACRO googlesql.timestamp_of
  (x VARCHAR) AS CASE WHEN x IS NULL THEN NULL WHEN regexp_full_match(x, '(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}([Tt ]([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,6})?([Zz]|( UTC)?[+-](0?[0-9]|1[0-4])(:?[0-5][0-9])?| [A-Za-z][A-Za-z0-9_/+-]*)?)?') THEN CASE WHEN regexp_matches(x, ' [A-Za-z][A-Za-z0-9_/+-]*$') AND NOT regexp_matches(x, ' UTC[+-]') THEN googlesql.instant_of_text(x) ELSE CAST(regexp_replace(replace(x, 'z', 'Z'), '^([0-9-]+)t', '\1T') AS TIMESTAMPTZ) END ELSE error('Invalid timestamp: ' || x) END,
  (x DATE) AS CAST(x AS TIMESTAMPTZ), (x TIMESTAMP) AS CAST(x AS TIMESTAMPTZ), (x TIMESTAMPTZ) AS CAST(x AS TIMESTAMPTZ);
CREATE OR REPLACE MACRO googlesql.timestamp_of_or_null
  (x VARCHAR) AS CASE WHEN regexp_full_match(x, '(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{1,2}-[0-9]{1,2}([Tt ]([01]?[0-9]|2[0-3]):[0-5]?[0-9]:[0-5]?[0-9](\.[0-9]{1,6})?([Zz]|( UTC)?[+-](0?[0-9]|1[0-4])(:?[0-5][0-9])?| [A-Za-z][A-Za-z0-9_/+-]*)?)?') THEN CASE WHEN regexp_matches(x, ' [A-Za-z][A-Za-z0-9_/+-]*$') AND NOT regexp_matches(x, ' UTC[+-]') AND TRY_CAST(x AS TIMESTAMPTZ) IS NOT NULL THEN googlesql.instant_of_text(x) ELSE TRY_CAST(regexp_replace(replace(x, 'z', 'Z'), '^([0-9-]+)t', '\1T') AS TIMESTAMPTZ) END END,
  (x DATE) AS CAST(x AS TIMESTAMPTZ), (x TIMESTAMP) AS CAST(x AS TIMESTAMPTZ), (x TIMESTAMPTZ) AS CAST(x AS TIMESTAMPTZ);
CREATE OR REPLACE MACRO googlesql.float64_of(t) AS
  CASE WHEN t IS NULL THEN NULL WHEN (regexp_full_match(t, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*') OR regexp_full_match(t, '\s*[+-]?(?i:nan|inf|infinity)\s*')) THEN CAST(trim(t, e' \t\n\v\f\r') AS DOUBLE) ELSE error('Invalid float64: ' || t) END;
CREATE OR REPLACE MACRO googlesql.float64_of_or_null(t) AS
  CASE WHEN (regexp_full_match(t, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*') OR regexp_full_match(t, '\s*[+-]?(?i:nan|inf|infinity)\s*')) THEN TRY_CAST(trim(t, e' \t\n\v\f\r') AS DOUBLE) END;
CREATE OR REPLACE MACRO googlesql.numeric_of(t) AS
  CASE WHEN t IS NULL THEN NULL WHEN (regexp_full_match(t, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*')) THEN CAST(trim(t, e' \t\n\v\f\r') AS DECIMAL(38, 9)) ELSE error('Invalid numeric: ' || t) END;
CREATE OR REPLACE MACRO googlesql.numeric_of_or_null(t) AS
  CASE WHEN (regexp_full_match(t, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*')) THEN TRY_CAST(trim(t, e' \t\n\v\f\r') AS DECIMAL(38, 9)) END;
CREATE OR REPLACE MACRO googlesql.bignumeric_of(t) AS
  CASE WHEN t IS NULL THEN NULL WHEN (regexp_full_match(t, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*')) THEN CAST(trim(t, e' \t\n\v\f\r') AS DECIMAL(38, 18)) ELSE error('Invalid bignumeric: ' || t) END;
CREATE OR REPLACE MACRO googlesql.bignumeric_of_or_null(t) AS
  CASE WHEN (regexp_full_match(t, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*')) THEN TRY_CAST(trim(t, e' \t\n\v\f\r') AS DECIMAL(38, 18)) END;
-- A FLOAT64 as a decimal: its exact value, rounded half away from zero at the last place. DuckDB's own cast multiplies as
-- DOUBLE. What is behind the point is an integer of 2^-96, exact from 2^-43 on; less is 0 with 9 places.
CREATE OR REPLACE MACRO googlesql.numeric_of_float(x) AS list_transform(
  [{'w': CAST(trunc(abs(x)) AS HUGEINT), 'f': CAST((abs(x) - trunc(abs(x))) * 79228162514264337593543950336 AS HUGEINT), 's': CAST(sign(x) AS INTEGER)}],
  lambda our_x: CAST(our_x.s * (CAST(our_x.w AS DECIMAL(38, 9))
    + CAST((our_x.f * 1000000000 + 39614081257132168796771975168) // 79228162514264337593543950336 AS DECIMAL(10, 0)) * 0.000000001::DECIMAL(10, 9))
    AS DECIMAL(38, 9)))[1];
CREATE OR REPLACE MACRO googlesql.bignumeric_of_float(x) AS CASE WHEN abs(x) < 1.1368683772161603e-13
  THEN CAST(printf('%.60f', x) AS DECIMAL(38, 18)) ELSE list_transform(list_transform(
  [{'w': CAST(trunc(abs(x)) AS HUGEINT), 'f': CAST((abs(x) - trunc(abs(x))) * 79228162514264337593543950336 AS HUGEINT) * 1000000000, 's': CAST(sign(x) AS INTEGER)}],
  lambda our_x: {'w': our_x.w, 's': our_x.s, 'q': our_x.f // 79228162514264337593543950336, 'r': our_x.f % 79228162514264337593543950336}),
  lambda our_x: CAST(our_x.s * (CAST(our_x.w AS DECIMAL(38, 18))
    + CAST(our_x.q * 1000000000 + (our_x.r * 1000000000 + 39614081257132168796771975168) // 79228162514264337593543950336 AS DECIMAL(19, 0))
      * 0.000000000000000001::DECIMAL(18, 18)) AS DECIMAL(38, 18)))[1] END;
CREATE OR REPLACE MACRO googlesql.to_int64
  (x VARCHAR) AS googlesql.int64_of(x), (x BIGINT) AS x, (x HUGEINT) AS CAST(x AS BIGINT), (x DOUBLE) AS CAST(round(x) AS BIGINT), (x DECIMAL(38, 9)) AS CAST(x AS BIGINT), (x BOOLEAN) AS CAST(x AS BIGINT);
CREATE OR REPLACE MACRO googlesql.to_float64
  (x VARCHAR) AS googlesql.float64_of(x), (x BIGINT) AS CAST(x AS DOUBLE), (x HUGEINT) AS CAST(x AS DOUBLE), (x DOUBLE) AS CAST(x AS DOUBLE), (x DECIMAL(38, 9)) AS CAST(x AS DOUBLE);
CREATE OR REPLACE MACRO googlesql.to_numeric
  (x VARCHAR) AS googlesql.numeric_of(x), (x BIGINT) AS CAST(x AS DECIMAL(38, 9)), (x HUGEINT) AS CAST(x AS DECIMAL(38, 9)), (x DOUBLE) AS googlesql.numeric_of_float(x), (x DECIMAL(38, 9)) AS CAST(x AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO googlesql.to_bignumeric
  (x VARCHAR) AS googlesql.bignumeric_of(x), (x BIGINT) AS CAST(x AS DECIMAL(38, 18)), (x HUGEINT) AS CAST(x AS DECIMAL(38, 18)), (x DOUBLE) AS googlesql.bignumeric_of_float(x), (x DECIMAL(38, 9)) AS CAST(x AS DECIMAL(38, 18));
CREATE OR REPLACE MACRO googlesql.to_bool
  (x VARCHAR) AS googlesql.bool_of(x), (x BIGINT) AS CAST(x AS BOOLEAN), (x BOOLEAN) AS x;
CREATE OR REPLACE MACRO googlesql.to_int64_or_null
  (x VARCHAR) AS googlesql.int64_of_or_null(x), (x BIGINT) AS x, (x HUGEINT) AS CAST(x AS BIGINT), (x DOUBLE) AS CAST(round(x) AS BIGINT), (x DECIMAL(38, 9)) AS CAST(x AS BIGINT), (x BOOLEAN) AS CAST(x AS BIGINT);
CREATE OR REPLACE MACRO googlesql.to_float64_or_null
  (x VARCHAR) AS googlesql.float64_of_or_null(x), (x BIGINT) AS CAST(x AS DOUBLE), (x HUGEINT) AS CAST(x AS DOUBLE), (x DOUBLE) AS CAST(x AS DOUBLE), (x DECIMAL(38, 9)) AS CAST(x AS DOUBLE);
CREATE OR REPLACE MACRO googlesql.to_numeric_or_null
  (x VARCHAR) AS googlesql.numeric_of_or_null(x), (x BIGINT) AS CAST(x AS DECIMAL(38, 9)), (x HUGEINT) AS CAST(x AS DECIMAL(38, 9)), (x DOUBLE) AS googlesql.numeric_of_float(x), (x DECIMAL(38, 9)) AS CAST(x AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO googlesql.to_bignumeric_or_null
  (x VARCHAR) AS googlesql.bignumeric_of_or_null(x), (x BIGINT) AS CAST(x AS DECIMAL(38, 18)), (x HUGEINT) AS CAST(x AS DECIMAL(38, 18)), (x DOUBLE) AS googlesql.bignumeric_of_float(x), (x DECIMAL(38, 9)) AS CAST(x AS DECIMAL(38, 18));
CREATE OR REPLACE MACRO googlesql.to_bool_or_null
  (x VARCHAR) AS googlesql.bool_of_or_null(x), (x BIGINT) AS CAST(x AS BOOLEAN), (x BOOLEAN) AS x;
CREATE OR REPLACE MACRO googlesql.int32(n) AS CAST(n AS INTEGER);
CREATE OR REPLACE MACRO googlesql.pad_left(s, n) AS CASE WHEN length(s) >= n THEN s ELSE lpad(s, n, ' ') END;
CREATE OR REPLACE MACRO googlesql.pad_right(s, n) AS CASE WHEN length(s) >= n THEN s ELSE rpad(s, n, ' ') END;
-- A position of 0 or before the beginning means the beginning.
CREATE OR REPLACE MACRO googlesql.tail(s, p) AS CASE WHEN p > 0 OR (p < 0 AND -p <= length(s)) THEN substr(s, p) ELSE s END;
CREATE OR REPLACE MACRO googlesql.bytes_from(b, p) AS CASE WHEN p > 0 THEN p WHEN p < 0 AND -p <= octet_length(b) THEN octet_length(b) + p + 1 ELSE 1 END;
CREATE OR REPLACE MACRO googlesql.bytes_tail(b, p) AS CASE WHEN p IS NOT NULL THEN array_slice(b, googlesql.bytes_from(b, p), octet_length(b)) END;
CREATE OR REPLACE MACRO googlesql.bytes_part(b, p, n) AS CASE WHEN n = 0 AND p IS NOT NULL AND b IS NOT NULL THEN CAST('' AS BLOB)
  WHEN n > 0 AND p IS NOT NULL THEN array_slice(b, googlesql.bytes_from(b, p), googlesql.bytes_from(b, p) - 1 + least(n, octet_length(b))) END;
-- The group of a pattern that is extracted: its only one, or all. Escaped signs and classes hold no groups.
CREATE OR REPLACE MACRO googlesql.pattern_groups(p) AS
  len(regexp_extract_all(regexp_replace(p, '\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]', 'c', 'g'), '\((?:\?P?<|[^?]|$)'));
CREATE OR REPLACE MACRO googlesql.pattern_group_or_null(p) AS CASE WHEN googlesql.pattern_groups(p) < 2 THEN googlesql.pattern_groups(p) END;
CREATE OR REPLACE MACRO googlesql.pattern_group(p) AS CASE WHEN googlesql.pattern_groups(p) > 1
  THEN error('REGEXP_EXTRACT: a pattern may have one group') ELSE coalesce(googlesql.pattern_groups(p), 0) END;
-- The nth occurrence from a position on; a negative position counts and searches from the end.
CREATE OR REPLACE MACRO googlesql.occurrences(s, t) AS
  list_filter(range(1, length(s) - length(t) + 2), lambda our_i: substr(s, our_i, length(t)) = t);
CREATE OR REPLACE MACRO googlesql.instr_or_null(s, t, p, n) AS CASE WHEN s IS NULL OR t IS NULL OR p = 0 OR n < 1 OR p IS NULL OR n IS NULL THEN NULL
  WHEN p > 0 THEN coalesce(list_extract(list_filter(googlesql.occurrences(s, t), lambda our_i: our_i >= p), n), 0)
  ELSE coalesce(list_extract(list_reverse(list_filter(googlesql.occurrences(s, t), lambda our_i: our_i <= length(s) + p + 1)), n), 0) END;
CREATE OR REPLACE MACRO googlesql.instr(s, t, p, n) AS
  CASE WHEN p = 0 OR n < 1 THEN error('INSTR: position is not 0 and occurrence at least 1') ELSE googlesql.instr_or_null(s, t, p, n) END;
-- Unicode's full mappings, as BigQuery's (ICU, no language): 'ß' becomes 'SS', the last Σ of a word 'ς'. DuckDB maps character by character.
CREATE OR REPLACE MACRO googlesql.upper(x) AS CASE WHEN NOT regexp_matches(x, '[ßŉǰΐΰևẖẗẘẙẚὐὒὔὖᾀᾁᾂᾃᾄᾅᾆᾇᾈᾉᾊᾋᾌᾍᾎᾏᾐᾑᾒᾓᾔᾕᾖᾗᾘᾙᾚᾛᾜᾝᾞᾟᾠᾡᾢᾣᾤᾥᾦᾧᾨᾩᾪᾫᾬᾭᾮᾯᾲᾳᾴᾶᾷᾼῂῃῄῆῇῌῒΐῖῗῢΰῤῦῧῲῳῴῶῷῼﬀﬁﬂﬃﬄﬅﬆﬓﬔﬕﬖﬗ]') THEN upper(x)
  ELSE array_to_string(list_transform(regexp_extract_all(x, '(?s).'), lambda our_c: coalesce(MAP {'ß': 'SS', 'ŉ': 'ʼN', 'ǰ': 'J̌', 'ΐ': 'Ϊ́', 'ΰ': 'Ϋ́', 'և': 'ԵՒ', 'ẖ': 'H̱', 'ẗ': 'T̈', 'ẘ': 'W̊', 'ẙ': 'Y̊', 'ẚ': 'Aʾ', 'ὐ': 'Υ̓', 'ὒ': 'Υ̓̀', 'ὔ': 'Υ̓́', 'ὖ': 'Υ̓͂', 'ᾀ': 'ἈΙ', 'ᾁ': 'ἉΙ', 'ᾂ': 'ἊΙ', 'ᾃ': 'ἋΙ', 'ᾄ': 'ἌΙ', 'ᾅ': 'ἍΙ', 'ᾆ': 'ἎΙ', 'ᾇ': 'ἏΙ', 'ᾈ': 'ἈΙ', 'ᾉ': 'ἉΙ', 'ᾊ': 'ἊΙ', 'ᾋ': 'ἋΙ', 'ᾌ': 'ἌΙ', 'ᾍ': 'ἍΙ', 'ᾎ': 'ἎΙ', 'ᾏ': 'ἏΙ', 'ᾐ': 'ἨΙ', 'ᾑ': 'ἩΙ', 'ᾒ': 'ἪΙ', 'ᾓ': 'ἫΙ', 'ᾔ': 'ἬΙ', 'ᾕ': 'ἭΙ', 'ᾖ': 'ἮΙ', 'ᾗ': 'ἯΙ', 'ᾘ': 'ἨΙ', 'ᾙ': 'ἩΙ', 'ᾚ': 'ἪΙ', 'ᾛ': 'ἫΙ', 'ᾜ': 'ἬΙ', 'ᾝ': 'ἭΙ', 'ᾞ': 'ἮΙ', 'ᾟ': 'ἯΙ', 'ᾠ': 'ὨΙ', 'ᾡ': 'ὩΙ', 'ᾢ': 'ὪΙ', 'ᾣ': 'ὫΙ', 'ᾤ': 'ὬΙ', 'ᾥ': 'ὭΙ', 'ᾦ': 'ὮΙ', 'ᾧ': 'ὯΙ', 'ᾨ': 'ὨΙ', 'ᾩ': 'ὩΙ', 'ᾪ': 'ὪΙ', 'ᾫ': 'ὫΙ', 'ᾬ': 'ὬΙ', 'ᾭ': 'ὭΙ', 'ᾮ': 'ὮΙ', 'ᾯ': 'ὯΙ', 'ᾲ': 'ᾺΙ', 'ᾳ': 'ΑΙ', 'ᾴ': 'ΆΙ', 'ᾶ': 'Α͂', 'ᾷ': 'Α͂Ι', 'ᾼ': 'ΑΙ', 'ῂ': 'ῊΙ', 'ῃ': 'ΗΙ', 'ῄ': 'ΉΙ', 'ῆ': 'Η͂', 'ῇ': 'Η͂Ι', 'ῌ': 'ΗΙ', 'ῒ': 'Ϊ̀', 'ΐ': 'Ϊ́', 'ῖ': 'Ι͂', 'ῗ': 'Ϊ͂', 'ῢ': 'Ϋ̀', 'ΰ': 'Ϋ́', 'ῤ': 'Ρ̓', 'ῦ': 'Υ͂', 'ῧ': 'Ϋ͂', 'ῲ': 'ῺΙ', 'ῳ': 'ΩΙ', 'ῴ': 'ΏΙ', 'ῶ': 'Ω͂', 'ῷ': 'Ω͂Ι', 'ῼ': 'ΩΙ', 'ﬀ': 'FF', 'ﬁ': 'FI', 'ﬂ': 'FL', 'ﬃ': 'FFI', 'ﬄ': 'FFL', 'ﬅ': 'ST', 'ﬆ': 'ST', 'ﬓ': 'ՄՆ', 'ﬔ': 'ՄԵ', 'ﬕ': 'ՄԻ', 'ﬖ': 'ՎՆ', 'ﬗ': 'ՄԽ'}[our_c], upper(our_c))), '') END;
CREATE OR REPLACE MACRO googlesql.lower(x) AS CASE WHEN NOT regexp_matches(x, '[İΣ]') THEN lower(x)
  ELSE lower(regexp_replace(replace(x, 'İ', 'i̇'), '([\p{Lu}\p{Ll}\p{Lt}][\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}''.:·’]*)Σ([\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}''.:·’]*(?:[^\p{Lu}\p{Ll}\p{Lt}\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}''.:·’]|$))', '\1ς\2', 'g')) END;
-- What CONTAINS_SUBSTR compares: NFKC with folded case. Of the characters that this changes only the usual ones are known
-- (spaces, full-width forms, small digits, …, ™, what UPPER spells out); any other is an error, not another answer.
CREATE OR REPLACE MACRO googlesql.plain(x) AS replace(replace(translate(x, '              　‑！＂＃＄％＆＇（）＊＋，－．／０１２３４５６７８９：；＜＝＞？＠ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ［＼］＾＿｀ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ｛｜｝～²³¹ªº⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉µ', '               ‐!"#$%&''()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmnopqrstuvwxyz{|}~231ao04567890123456789μ'), '…', '...'), '™', 'TM');
CREATE OR REPLACE MACRO googlesql.taken_apart(x) AS regexp_matches(x, '[\x{A8}\x{AF}\x{B4}\x{B8}\x{BC}-\x{BE}\x{130}-\x{133}\x{13F}-\x{140}\x{1C4}-\x{1CC}\x{1F0}-\x{1F3}\x{2B0}-\x{2B8}\x{2D8}-\x{2DD}\x{2E0}-\x{2E4}\x{37A}\x{384}-\x{385}\x{390}\x{3B0}\x{3D2}-\x{3D4}\x{3F2}\x{3F9}\x{675}-\x{678}\x{E33}\x{EB3}\x{EDC}-\x{EDD}\x{F0C}\x{F77}\x{F79}\x{10FC}\x{13A0}-\x{13FD}\x{1D2C}-\x{1D2E}\x{1D30}-\x{1D3A}\x{1D3C}-\x{1D4D}\x{1D4F}-\x{1D6A}\x{1D78}\x{1D9B}-\x{1DBF}\x{1E96}-\x{1E99}\x{1E9E}\x{1F50}\x{1F52}\x{1F54}\x{1F56}\x{1FB6}-\x{1FB7}\x{1FBD}\x{1FBF}-\x{1FC1}\x{1FC6}-\x{1FC7}\x{1FCD}-\x{1FCF}\x{1FD2}-\x{1FD7}\x{1FDD}-\x{1FDF}\x{1FE2}-\x{1FE4}\x{1FE6}-\x{1FE7}\x{1FED}-\x{1FEE}\x{1FF6}-\x{1FF7}\x{1FFD}-\x{1FFE}\x{2017}\x{2024}-\x{2025}\x{2033}-\x{2034}\x{2036}-\x{2037}\x{203C}\x{203E}\x{2047}-\x{2049}\x{2057}\x{2071}\x{207A}-\x{207F}\x{208A}-\x{209C}\x{20A8}\x{2100}-\x{2103}\x{2105}-\x{2107}\x{2109}-\x{2113}\x{2115}-\x{2116}\x{2119}-\x{211D}\x{2120}-\x{2121}\x{2124}\x{2128}\x{212C}-\x{212D}\x{212F}-\x{2131}\x{2133}-\x{2139}\x{213B}-\x{2140}\x{2145}-\x{2149}\x{2150}-\x{217F}\x{2189}\x{222C}-\x{222D}\x{222F}-\x{2230}\x{2460}-\x{24EA}\x{2A0C}\x{2A74}-\x{2A76}\x{2C7C}-\x{2C7D}\x{2D6F}\x{2E9F}\x{2EF3}-\x{2FD5}\x{3036}\x{3038}-\x{303A}\x{309B}-\x{309C}\x{309F}\x{30FF}\x{3131}-\x{318E}\x{3192}-\x{319F}\x{3200}-\x{3247}\x{3250}-\x{327E}\x{3280}-\x{33FF}\x{A69C}-\x{A69D}\x{A770}\x{A7F2}-\x{A7F4}\x{A7F8}-\x{A7F9}\x{AB5C}-\x{AB5F}\x{AB69}\x{AB70}-\x{ABBF}\x{FB20}-\x{FB29}\x{FB4F}-\x{FBB1}\x{FBD3}-\x{FD3D}\x{FD50}-\x{FDC7}\x{FDF0}-\x{FDFC}\x{FE10}-\x{FE19}\x{FE30}-\x{FE44}\x{FE47}-\x{FE72}\x{FE74}-\x{FEFC}\x{FF5F}-\x{FFEE}\x{10781}-\x{107BA}\x{1D400}-\x{1D7FF}\x{1EE00}-\x{1EEBB}\x{1F100}-\x{1F10A}\x{1F110}-\x{1F12E}\x{1F130}-\x{1F14F}\x{1F16A}-\x{1F16C}\x{1F190}\x{1F200}-\x{1F251}\x{1FBF0}-\x{1FBF9}]');
CREATE OR REPLACE MACRO googlesql.folded_or_null(x) AS CASE WHEN NOT regexp_matches(x, '[^\x00-\x7F]') THEN lower(x)
  WHEN NOT googlesql.taken_apart(x) THEN lower(googlesql.upper(nfc_normalize(googlesql.plain(x)))) END;
CREATE OR REPLACE MACRO googlesql.contains_substr_or_null(x, y) AS contains(googlesql.folded_or_null(x), googlesql.folded_or_null(y));
CREATE OR REPLACE MACRO googlesql.contains_substr(x, y) AS
  CASE WHEN googlesql.taken_apart(x) OR googlesql.taken_apart(y) THEN error('CONTAINS_SUBSTR: a character that NFKC takes apart is known on BigQuery only; use STRPOS or LIKE') ELSE googlesql.contains_substr_or_null(x, y) END;
CREATE OR REPLACE MACRO googlesql.initcap(s) AS
  array_to_string(list_transform(regexp_extract_all(lower(s), '[^\s\[\](){}/|<>!?@"^#$&~_,.:;*%+\-]+|[\s\[\](){}/|<>!?@"^#$&~_,.:;*%+\-]+'),
    lambda our_w: upper(left(our_w, 1)) || substr(our_w, 2)), '');
CREATE OR REPLACE MACRO googlesql.session_user() AS 'embedded';

-- JSON held as text: what is no JSON gives NULL, as JSON_EXTRACT_SCALAR does.
-- DuckDB takes NaN and Infinity for JSON.
CREATE OR REPLACE MACRO googlesql.has_words(t) AS regexp_matches(regexp_replace(t, '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i)nan|inf');
CREATE OR REPLACE MACRO googlesql.json_scalar(j, p) AS
  json_extract_string(json_value(CASE WHEN NOT json_valid(j) THEN NULL WHEN NOT regexp_matches(j, '(?i)nan|inf') THEN j WHEN NOT googlesql.has_words(j) THEN j END, p), '$');
CREATE OR REPLACE MACRO googlesql.json_fragment(j, p) AS json_extract(CASE WHEN json_valid(j) THEN j END, p);
CREATE OR REPLACE MACRO googlesql.json_strings(j, p) AS
  CASE WHEN json_type(googlesql.json_fragment(j, p)) = 'ARRAY'
    AND len(list_filter(CAST(googlesql.json_fragment(j, p) AS JSON[]), lambda our_e: json_type(our_e) IN ('OBJECT', 'ARRAY'))) = 0
  THEN list_transform(CAST(googlesql.json_fragment(j, p) AS JSON[]), lambda our_e: json_extract_string(our_e, '$')) END;
CREATE OR REPLACE MACRO googlesql.json_list(j, p) AS
  CASE WHEN json_type(googlesql.json_fragment(j, p)) = 'ARRAY' THEN CAST(googlesql.json_fragment(j, p) AS JSON[]) END;
-- JSON held as text keeps the text of its numbers: DuckDB reads fractions as DOUBLE. Numbers outside of strings become
-- strings that begin with a noncharacter, which goes again at the end.
CREATE OR REPLACE MACRO googlesql.json_marked(j) AS
  replace(regexp_replace(j, '((?:"(?:[^"\\]|\\.)*"|[^"\-0-9])*)(-?[0-9][0-9.eE+-]*|$)', '\1"' || chr(64976) || '\2"', 'g'), '"' || chr(64976) || '"', '');
CREATE OR REPLACE MACRO googlesql.json_unmarked(j) AS regexp_replace(j, '"' || chr(64976) || '([^"]*)"', '\1', 'g');
CREATE OR REPLACE MACRO googlesql.json_careful_scalar(j, p) AS
  CASE WHEN NOT starts_with(json_value(CASE WHEN json_valid(j) THEN j END, p), '"')
    AND regexp_matches(json_value(CASE WHEN json_valid(j) THEN j END, p), '[0-9][.eE]')
  THEN ltrim(json_extract_string(googlesql.json_marked(j), p), chr(64976)) ELSE googlesql.json_scalar(j, p) END;
-- One look decides whether the document may hold a number whose text changes, or NaN; most do not.
CREATE OR REPLACE MACRO googlesql.json_text_scalar(j, p) AS CASE WHEN regexp_matches(j, '(?i)nan|inf|[0-9][.e]') THEN googlesql.json_careful_scalar(j, p)
  ELSE json_extract_string(json_value(CASE WHEN json_valid(j) THEN j END, p), '$') END;
CREATE OR REPLACE MACRO googlesql.json_text_fragment(j, p) AS
  CASE WHEN json_type(CASE WHEN json_valid(j) THEN j END, p) = 'NULL' THEN NULL
  WHEN regexp_matches(j, '[0-9][.eE]')
  THEN googlesql.json_unmarked(CAST(json_extract(googlesql.json_marked(CASE WHEN json_valid(j) THEN j END), p) AS VARCHAR))
  ELSE CAST(googlesql.json_fragment(j, p) AS VARCHAR) END;
CREATE OR REPLACE MACRO googlesql.json_text_strings(j, p) AS
  list_transform(googlesql.json_strings(googlesql.json_marked(CASE WHEN json_valid(j) THEN j END), p), lambda our_e: ltrim(our_e, chr(64976)));
CREATE OR REPLACE MACRO googlesql.json_text_list(j, p) AS
  list_transform(googlesql.json_list(googlesql.json_marked(CASE WHEN json_valid(j) THEN j END), p), lambda our_e: googlesql.json_unmarked(CAST(our_e AS VARCHAR)));
-- Numbers of JSON that neither INT64, UINT64 nor FLOAT64 gives back digit by digit.
CREATE OR REPLACE MACRO googlesql.digits(n) AS trim(regexp_replace(regexp_replace(n, '[eE].*', ''), '[-+.]', '', 'g'), '0');
CREATE OR REPLACE MACRO googlesql.inexact(t) AS len(list_filter(
  regexp_extract_all(regexp_replace(t, '"(?:[^"\\]|\\.)*"', '""', 'g'), '-?[0-9][0-9.eE+-]*'),
  lambda our_n: googlesql.digits(our_n) <> googlesql.digits(CAST(TRY_CAST(our_n AS DOUBLE) AS VARCHAR))
    AND NOT (regexp_full_match(our_n, '-?[0-9]+') AND coalesce(TRY_CAST(our_n AS HUGEINT) BETWEEN -9223372036854775808 AND 18446744073709551615, false))
    OR coalesce(NOT isfinite(TRY_CAST(our_n AS DOUBLE)), true))) > 0;
CREATE OR REPLACE MACRO googlesql.parse_json(t) AS
  CASE WHEN googlesql.has_words(t) THEN error('PARSE_JSON: NaN and Infinity are not JSON') WHEN googlesql.inexact(t) THEN error('PARSE_JSON: a number cannot be held exactly; wide_number_mode=>"round" rounds it') ELSE json(t) END;
CREATE OR REPLACE MACRO googlesql.parse_json_or_null(t) AS CASE WHEN NOT googlesql.has_words(t) AND NOT googlesql.inexact(t) THEN json(t) END;
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
CREATE OR REPLACE MACRO googlesql.json_time(x) AS to_json(replace(googlesql.moment_text(CAST(x AS VARCHAR)), ' ', 'T'));
-- Numbers as TO_JSON and TO_JSON_STRING write them: text for what is not finite; for the latter also beyond 2^53 and with a fraction.
CREATE OR REPLACE MACRO googlesql.json_float(x) AS CASE WHEN isfinite(x) OR x IS NULL THEN googlesql.float_digits(x)
  ELSE '"' || replace(googlesql.float_text(x), 'inf', 'Infinity') || '"' END;
CREATE OR REPLACE MACRO googlesql.json_wide(x, t) AS
  CASE WHEN x BETWEEN -9007199254740992 AND 9007199254740992 AND x = trunc(x) THEN t ELSE '"' || t || '"' END;

-- Dates and times.
-- GoogleSQL has the years 1 to 9999.
CREATE OR REPLACE MACRO googlesql.in_range
  (x DATE) AS CASE WHEN (year(x) BETWEEN 1 AND 9999) IS NOT FALSE THEN x ELSE error('a date before the year 1 or after 9999') END,
  (x TIMESTAMP) AS CASE WHEN (year(x) BETWEEN 1 AND 9999) IS NOT FALSE THEN x ELSE error('a date before the year 1 or after 9999') END,
  (x TIMESTAMPTZ) AS CASE WHEN (year(x) BETWEEN 1 AND 9999) IS NOT FALSE THEN x ELSE error('a date before the year 1 or after 9999') END;
CREATE OR REPLACE MACRO googlesql.in_range_or_null
  (x DATE) AS CASE WHEN year(x) BETWEEN 1 AND 9999 THEN x END, (x TIMESTAMP) AS CASE WHEN year(x) BETWEEN 1 AND 9999 THEN x END, (x TIMESTAMPTZ) AS CASE WHEN year(x) BETWEEN 1 AND 9999 THEN x END;
CREATE OR REPLACE MACRO googlesql.moved
  (d DATE, i INTERVAL) AS googlesql.in_range(CAST(d + i AS DATE)), (d TIMESTAMP, i INTERVAL) AS googlesql.in_range(d + i),
  (d TIMESTAMPTZ, i INTERVAL) AS googlesql.in_range(d + i);
CREATE OR REPLACE MACRO googlesql.shifted(d, n) AS googlesql.in_range(CAST(d + CAST(n AS INTEGER) AS DATE));
CREATE OR REPLACE MACRO googlesql.moved_or_null
  (d DATE, i INTERVAL) AS googlesql.in_range_or_null(CAST(d + i AS DATE)), (d TIMESTAMP, i INTERVAL) AS googlesql.in_range_or_null(d + i),
  (d TIMESTAMPTZ, i INTERVAL) AS googlesql.in_range_or_null(d + i);
CREATE OR REPLACE MACRO googlesql.shifted_or_null(d, n) AS googlesql.in_range_or_null(CAST(d + CAST(n AS INTEGER) AS DATE));
CREATE OR REPLACE MACRO googlesql.date_from_parts(y, m, d) AS make_date(CASE WHEN y < 1 OR y > 9999 THEN error('a date before the year 1 or after 9999') ELSE y END, m, d);
CREATE OR REPLACE MACRO googlesql.date_from_parts_or_null(y, m, d) AS make_date(CASE WHEN y BETWEEN 1 AND 9999 THEN y END, m, d);
CREATE OR REPLACE MACRO googlesql.time_from_parts(h, m, s) AS make_time(CASE WHEN h > 23 OR s > 59 THEN error('a time after 23:59:59') ELSE h END, m, s);
CREATE OR REPLACE MACRO googlesql.time_from_parts_or_null(h, m, s) AS make_time(CASE WHEN h < 24 AND s < 60 THEN h END, m, s);
CREATE OR REPLACE MACRO googlesql.datetime_from_parts(y, mo, d, h, m, s) AS googlesql.date_from_parts(y, mo, d) + googlesql.time_from_parts(h, m, s);
CREATE OR REPLACE MACRO googlesql.datetime_from_parts_or_null(y, mo, d, h, m, s) AS googlesql.date_from_parts_or_null(y, mo, d) + googlesql.time_from_parts_or_null(h, m, s);
-- strptime reads these words whatever the format is.
CREATE OR REPLACE MACRO googlesql.parsed(t, f) AS
  strptime(CASE WHEN lower(trim(t)) IN ('epoch', 'infinity', '-infinity') THEN error('Failed to parse input string ' || t) ELSE t END, f);
CREATE OR REPLACE MACRO googlesql.parsed_or_null(t, f) AS try_strptime(CASE WHEN lower(trim(t)) NOT IN ('epoch', 'infinity', '-infinity') THEN t END, f);
CREATE OR REPLACE MACRO googlesql.floor_divide(a, b) AS (a - ((a % b) + b) % b) // b;
-- Arrays of numbers and moments, of BigQuery's size at most. The last argument is checked inside of the call: a call with
-- constants alone would be made while planning.
CREATE OR REPLACE MACRO googlesql.series_end(a, b, k) AS CASE WHEN k = 0 THEN error('the step of an array cannot be 0')
  WHEN (CAST(b AS HUGEINT) - CAST(a AS HUGEINT)) // nullif(k, 0) >= 1048575 THEN error('an array cannot be generated with more than 1,048,575 elements') ELSE b END;
CREATE OR REPLACE MACRO googlesql.series_end_or_null(a, b, k) AS
  CASE WHEN (CAST(b AS HUGEINT) - CAST(a AS HUGEINT)) // nullif(k, 0) < 1048575 THEN b END;
CREATE OR REPLACE MACRO googlesql.int_series(a, b, k) AS generate_series(CAST(a AS BIGINT), googlesql.series_end(CAST(a AS BIGINT), CAST(b AS BIGINT), CAST(k AS BIGINT)), CAST(k AS BIGINT));
CREATE OR REPLACE MACRO googlesql.numeric_series(a, b, k) AS list_transform(googlesql.int_series(0, trunc((CAST(b AS DECIMAL(38, 9)) - a) / CAST(nullif(k, 0) AS DECIMAL(38, 9))) + CASE WHEN (b - a) * sign(k) < 0 THEN -1 ELSE 0 END, CASE WHEN k = 0 THEN 0 ELSE 1 END),
  lambda our_n: CAST(a + our_n * CAST(k AS DECIMAL(38, 9)) AS DECIMAL(38, 9)));
CREATE OR REPLACE MACRO googlesql.date_series(a, b, k) AS list_transform(
  googlesql.int_series(date_diff('day', DATE '1970-01-01', a), date_diff('day', DATE '1970-01-01', b), k), lambda our_n: DATE '1970-01-01' + CAST(our_n AS INTEGER));
CREATE OR REPLACE MACRO googlesql.timestamp_series(a, b, k) AS
  list_transform(googlesql.int_series(epoch_us(a), epoch_us(b), k), lambda our_n: make_timestamptz(our_n));
-- Months from the first date on, not from the one before: 31 January, 28 February, 31 March.
CREATE OR REPLACE MACRO googlesql.month_dates(a, b, k) AS
  list_filter(list_transform(googlesql.int_series(0, CASE WHEN k = 0 THEN 0 ELSE abs(date_diff('month', a, b)) // abs(nullif(k, 0)) END, CASE WHEN k = 0 THEN 0 ELSE 1 END),
    lambda our_n: CAST(a + to_months(CAST(our_n * k AS INTEGER)) AS DATE)), lambda our_d: CASE WHEN k > 0 THEN our_d <= b ELSE our_d >= b END);
CREATE OR REPLACE MACRO googlesql.int_series_or_null(a, b, k) AS generate_series(CAST(a AS BIGINT), googlesql.series_end_or_null(CAST(a AS BIGINT), CAST(b AS BIGINT), CAST(k AS BIGINT)), CAST(k AS BIGINT));
CREATE OR REPLACE MACRO googlesql.numeric_series_or_null(a, b, k) AS list_transform(googlesql.int_series_or_null(0, trunc((CAST(b AS DECIMAL(38, 9)) - a) / CAST(nullif(k, 0) AS DECIMAL(38, 9))) + CASE WHEN (b - a) * sign(k) < 0 THEN -1 ELSE 0 END, CASE WHEN k = 0 THEN 0 ELSE 1 END),
  lambda our_n: CAST(a + our_n * CAST(k AS DECIMAL(38, 9)) AS DECIMAL(38, 9)));
CREATE OR REPLACE MACRO googlesql.date_series_or_null(a, b, k) AS list_transform(
  googlesql.int_series_or_null(date_diff('day', DATE '1970-01-01', a), date_diff('day', DATE '1970-01-01', b), k), lambda our_n: DATE '1970-01-01' + CAST(our_n AS INTEGER));
CREATE OR REPLACE MACRO googlesql.timestamp_series_or_null(a, b, k) AS
  list_transform(googlesql.int_series_or_null(epoch_us(a), epoch_us(b), k), lambda our_n: make_timestamptz(our_n));
-- Months from the first date on, not from the one before: 31 January, 28 February, 31 March.
CREATE OR REPLACE MACRO googlesql.month_dates_or_null(a, b, k) AS
  list_filter(list_transform(googlesql.int_series_or_null(0, CASE WHEN k = 0 THEN 0 ELSE abs(date_diff('month', a, b)) // abs(nullif(k, 0)) END, CASE WHEN k = 0 THEN 0 ELSE 1 END),
    lambda our_n: CAST(a + to_months(CAST(our_n * k AS INTEGER)) AS DATE)), lambda our_d: CASE WHEN k > 0 THEN our_d <= b ELSE our_d >= b END);
CREATE OR REPLACE MACRO googlesql.truncated
  (part, d DATE) AS CAST(date_trunc(part, d) AS DATE), (part, d TIMESTAMP) AS date_trunc(part, d), (part, d TIMESTAMPTZ) AS date_trunc(part, d);
CREATE OR REPLACE MACRO googlesql.week_begin
  (d DATE, first) AS CAST(d - CAST((dayofweek(d) - first + 7) % 7 AS INTEGER) AS DATE),
  (d TIMESTAMP, first) AS date_trunc('day', d) - to_days(CAST((dayofweek(d) - first + 7) % 7 AS INTEGER)),
  (d TIMESTAMPTZ, first) AS date_trunc('day', d) - to_days(CAST((dayofweek(d) - first + 7) % 7 AS INTEGER));
CREATE OR REPLACE MACRO googlesql.isoyear_begin(d) AS CAST(date_trunc('week', make_date(isoyear(d), 1, 4)) AS DATE);
-- A zone that is a value: a name, or an offset such as +05:30.
CREATE OR REPLACE MACRO googlesql.zone_minutes(zone) AS list_transform([regexp_extract(zone, '^(?:UTC)?([+-])(\d{1,2}):?(\d\d)?$', ['s', 'h', 'm'])],
  lambda our_x: CASE WHEN our_x.s <> '' THEN CAST(our_x.s || '1' AS INTEGER) * (CAST(our_x.h AS INTEGER) * 60 + CASE WHEN our_x.m = '' THEN 0 ELSE CAST(our_x.m AS INTEGER) END) END)[1];
CREATE OR REPLACE MACRO googlesql.local_time(zone, x) AS
  timezone(CASE WHEN googlesql.zone_minutes(zone) IS NULL THEN zone ELSE 'UTC' END, x) + to_minutes(coalesce(googlesql.zone_minutes(zone), 0));
CREATE OR REPLACE MACRO googlesql.instant_of(zone, x) AS
  googlesql.instant_in(CASE WHEN googlesql.zone_minutes(zone) IS NULL THEN zone ELSE 'UTC' END, x) - to_minutes(coalesce(googlesql.zone_minutes(zone), 0));
-- TIMESTAMP_TRUNC to a part of a day: the clock goes back by what it shows beyond the part, its offset staying.
CREATE OR REPLACE MACRO googlesql.clock_truncated(part, instant, local) AS list_transform([{'t': instant, 'l': local}],
  lambda our_x: our_x.t - (our_x.l - date_trunc(part, our_x.l)))[1];
CREATE OR REPLACE MACRO googlesql.offset_minutes(instant, local) AS (epoch_us(local) - epoch_us(timezone('UTC', instant))) // 60000000;
CREATE OR REPLACE MACRO googlesql.offset_short(n) AS
  CASE WHEN n < 0 THEN '-' ELSE '+' END || lpad(CAST(abs(n) // 60 AS VARCHAR), 2, '0') || lpad(CAST(abs(n) % 60 AS VARCHAR), 2, '0');
CREATE OR REPLACE MACRO googlesql.offset_long(n) AS
  CASE WHEN n < 0 THEN '-' ELSE '+' END || lpad(CAST(abs(n) // 60 AS VARCHAR), 2, '0') || ':' || lpad(CAST(abs(n) % 60 AS VARCHAR), 2, '0');
CREATE OR REPLACE MACRO googlesql.seconds_text(x, n, short) AS strftime(x, '%S') || CASE WHEN n = 0 THEN ''
  WHEN short THEN rtrim(rtrim(strftime(x, '.%f'), '0'), '.') ELSE left(strftime(x, '.%f'), n + 1) END;
CREATE OR REPLACE MACRO googlesql.element_year(x) AS CAST(year(x) AS VARCHAR);
CREATE OR REPLACE MACRO googlesql.element_year_of_weeks(x) AS CAST(isoyear(x) AS VARCHAR);
CREATE OR REPLACE MACRO googlesql.element_half(x) AS lower(strftime(x, '%p'));
CREATE OR REPLACE MACRO googlesql.element_epoch(x) AS CAST(googlesql.floor_divide(epoch_us(x), 1000000) AS VARCHAR);
CREATE OR REPLACE MACRO googlesql.element_iso_day(x) AS lpad(CAST(date_diff('day', googlesql.isoyear_begin(x), CAST(x AS DATE)) + 1 AS VARCHAR), 3, '0');
CREATE OR REPLACE MACRO googlesql.element_iso_year(x) AS right(CAST(isoyear(x) AS VARCHAR), 2);
CREATE OR REPLACE MACRO googlesql.element_century(x) AS lpad(CAST(year(x) // 100 AS VARCHAR), 2, '0');
CREATE OR REPLACE MACRO googlesql.zoned_text(instant, local) AS googlesql.moment_text(CAST(local AS VARCHAR))
  || regexp_replace(googlesql.offset_long(googlesql.offset_minutes(instant, local)), ':00$', '');
CREATE OR REPLACE MACRO googlesql.offset_name(n) AS CASE WHEN n = 0 THEN 'UTC' ELSE 'UTC' || CASE WHEN n < 0 THEN '-' ELSE '+' END
  || (abs(n) // 60) || CASE WHEN n % 60 = 0 THEN '' ELSE ':' || lpad(CAST(abs(n) % 60 AS VARCHAR), 2, '0') END END;
CREATE OR REPLACE MACRO googlesql.time_truncated(part, t) AS CAST(date_trunc(part, DATE '1970-01-01' + t) AS TIME);
CREATE OR REPLACE MACRO googlesql.last_day_of(d, part) AS
  CASE part WHEN 'YEAR' THEN make_date(year(d), 12, 31) WHEN 'QUARTER' THEN last_day(CAST(date_trunc('quarter', d) + INTERVAL 2 MONTH AS DATE))
  WHEN 'ISOYEAR' THEN CAST(date_trunc('week', make_date(isoyear(d) + 1, 1, 4)) AS DATE) - 1 WHEN 'ISOWEEK' THEN CAST(date_trunc('week', d) AS DATE) + 6
  ELSE last_day(d) END;

-- Arrays.
CREATE OR REPLACE MACRO googlesql.array_concat(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN list_concat(a, b) END;
CREATE OR REPLACE MACRO googlesql.stored_array(a) AS CASE WHEN a IS NULL THEN [] WHEN list_position(a, NULL) IS NOT NULL
  THEN error('an array with NULL cannot be stored') ELSE a END;
CREATE OR REPLACE MACRO googlesql.element(a, i) AS
  CASE WHEN i < 1 OR i > len(a) THEN error('Array index ' || (i - 1) || ' is out of bounds') ELSE a[i] END;

CREATE OR REPLACE MACRO googlesql.element_or_null(a, i) AS CASE WHEN i >= 1 THEN a[i] END;

-- Catalog views, as `dataset.INFORMATION_SCHEMA.*` and `dataset.__TABLES__`.
-- Each reads one dataset: the second check (`warehouse.plan`) looks for the condition right above the catalogue's list.
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
    CASE WHEN regexp_matches(comment, '^(NUMERIC|BIGNUMERIC|STRING|BYTES)\([0-9, ]+\)') THEN regexp_extract(comment, '^[^)]*\)')
      WHEN ends_with(data_type, '[]') THEN 'ARRAY<' || googlesql.type_name(replace(data_type, '[]', '')) || '>'
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
