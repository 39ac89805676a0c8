"""The supported functions. Any other one is refused by name before anything runs.

sqlglot knows the functions of some thirty dialects, and many of them mean something else in DuckDB: only those that
give GoogleSQL's values are parsed as functions, all others stay calls without a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from convergence.adapters.googlesql.elsewhere import INSTEAD
from convergence.adapters.googlesql.modifiers import refuse_modifiers
from convergence.adapters.googlesql.signatures import refuse_wrong_calls
from convergence.errors import StepFailed, did_you_mean

RUNNING: Final = frozenset(
    {
        "ABS", "ACOS", "ACOSH", "ANY_VALUE", "APPROX_COUNT_DISTINCT", "APPROX_QUANTILES", "ARRAY", "ARRAY_AGG",
        "ARRAY_CONCAT", "ARRAY_CONCAT_AGG", "ARRAY_LENGTH", "ARRAY_REVERSE", "ARRAY_TO_STRING", "ASCII", "ASIN",
        "ASINH", "ATAN", "ATAN2", "ATANH", "AVG", "BIT_AND", "BIT_COUNT", "BIT_OR", "BIT_XOR", "BOOL",
        "BYTE_LENGTH", "CAST", "CBRT", "CEIL", "CEILING", "CHARACTER_LENGTH", "CHAR_LENGTH", "CHR", "COALESCE",
        "CONCAT", "CONTAINS_SUBSTR", "CORR", "COS", "COSH", "COSINE_DISTANCE", "COT", "COUNT", "COUNTIF",
        "COVAR_POP", "COVAR_SAMP", "CUME_DIST", "CURRENT_DATE", "CURRENT_DATETIME", "CURRENT_TIME",
        "CURRENT_TIMESTAMP", "DATE", "DATETIME", "DATETIME_ADD", "DATETIME_DIFF", "DATETIME_SUB", "DATETIME_TRUNC",
        "DATE_ADD", "DATE_DIFF", "DATE_FROM_UNIX_DATE", "DATE_SUB", "DATE_TRUNC", "DENSE_RANK", "DIV",
        "EDIT_DISTANCE", "ENDS_WITH", "ERROR", "EUCLIDEAN_DISTANCE", "EXP", "EXTRACT", "FIRST_VALUE", "FLOAT64",
        "FLOOR", "FORMAT", "FORMAT_DATE", "FORMAT_DATETIME", "FORMAT_TIME", "FORMAT_TIMESTAMP", "FROM_BASE64",
        "FROM_HEX", "GENERATE_ARRAY", "GENERATE_DATE_ARRAY", "GENERATE_TIMESTAMP_ARRAY", "GENERATE_UUID",
        "GREATEST", "GROUPING", "IEEE_DIVIDE", "IF", "IFNULL", "INITCAP", "INSTR", "INT64", "IS_INF", "IS_NAN",
        "JSON_ARRAY", "JSON_EXTRACT", "JSON_EXTRACT_ARRAY", "JSON_EXTRACT_SCALAR", "JSON_EXTRACT_STRING_ARRAY",
        "JSON_OBJECT", "JSON_QUERY", "JSON_QUERY_ARRAY", "JSON_TYPE", "JSON_VALUE", "JSON_VALUE_ARRAY", "LAG",
        "LAST_DAY", "LAST_VALUE", "LEAD", "LEAST", "LEFT", "LENGTH", "LN", "LOG", "LOG10", "LOGICAL_AND",
        "LOGICAL_OR", "LOWER", "LPAD", "LTRIM", "MAX", "MAX_BY", "MD5", "MIN", "MIN_BY", "MOD", "NTH_VALUE",
        "NTILE", "NULLIF", "OCTET_LENGTH", "PARSE_DATE", "PARSE_DATETIME", "PARSE_JSON", "PARSE_TIME",
        "PARSE_TIMESTAMP", "PERCENTILE_CONT", "PERCENTILE_DISC", "PERCENT_RANK", "POW", "POWER", "RAND", "RANK",
        "REGEXP_CONTAINS", "REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL", "REGEXP_REPLACE", "REGEXP_SUBSTR", "REPEAT",
        "REPLACE", "REVERSE", "RIGHT", "ROUND", "ROW_NUMBER", "RPAD", "RTRIM", "SAFE_ADD", "SAFE_CAST",
        "SAFE_DIVIDE", "SAFE_MULTIPLY", "SAFE_NEGATE", "SAFE_SUBTRACT", "SESSION_USER", "SHA1", "SHA256", "SHA512",
        "SIGN", "SIN", "SINH", "SPLIT", "SQRT", "STARTS_WITH", "STDDEV", "STDDEV_POP", "STDDEV_SAMP", "STRING",
        "STRING_AGG", "STRPOS", "STRUCT", "SUBSTR", "SUBSTRING", "SUM", "TAN", "TANH", "TIME", "TIMESTAMP",
        "TIMESTAMP_ADD", "TIMESTAMP_DIFF", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS", "TIMESTAMP_SECONDS",
        "TIMESTAMP_SUB", "TIMESTAMP_TRUNC", "TIME_ADD", "TIME_DIFF", "TIME_SUB", "TIME_TRUNC", "TO_BASE64",
        "TO_HEX", "TO_JSON", "TO_JSON_STRING", "TRANSLATE", "TRIM", "TRUNC", "UNICODE", "UNIX_DATE", "UNIX_MICROS",
        "UNIX_MILLIS", "UNIX_SECONDS", "UNNEST", "UPPER", "VARIANCE", "VAR_POP", "VAR_SAMP", "WEEK",
    }
)  # fmt: skip
# Functions of BigQuery that are known and cannot run here.
NOT_HERE: Final = frozenset(
    {
        "APPEND_ROWS", "APPROX_TOP_COUNT", "APPROX_TOP_SUM", "ARRAY_FILTER", "ARRAY_FIRST", "ARRAY_IS_DISTINCT",
        "ARRAY_LAST", "ARRAY_SLICE", "ARRAY_TRANSFORM", "BAG_CONTAINS", "CODE_POINTS_TO_BYTES",
        "CODE_POINTS_TO_STRING", "COLLATE", "COTH", "CSC", "CSCH", "DATETIME_BUCKET", "DATE_BUCKET",
        "FARM_FINGERPRINT", "FROM_BASE32", "GAP_FILL", "GROUPING_ID", "JSON_ARRAY_APPEND", "JSON_ARRAY_INSERT",
        "JSON_FLATTEN", "JSON_KEYS", "JSON_REMOVE", "JSON_SET", "JSON_STRIP_NULLS", "JUSTIFY_DAYS", "JUSTIFY_HOURS",
        "JUSTIFY_INTERVAL", "KEYS", "LAX_BOOL", "LAX_FLOAT64", "LAX_INT64", "LAX_STRING", "MAKE_INTERVAL",
        "NORMALIZE", "NORMALIZE_AND_CASEFOLD", "NULLIFZERO", "PARSE_BIGNUMERIC", "PARSE_NUMERIC", "RANGE",
        "RANGE_BUCKET", "RANGE_CONTAINS", "REGEXP_INSTR", "SAFE_CONVERT_BYTES_TO_STRING", "SEARCH", "SEC", "SECH",
        "SOUNDEX", "TIMESTAMP_BUCKET", "TO_BASE32", "TO_CODE_POINTS", "TYPEOF", "VECTOR_SEARCH", "ZEROIFNULL",
    }
)  # fmt: skip
# Functions that sqlglot does not know, and that run here under their own name or by a rule.
OWN: Final[Mapping[str, int]] = {"ERROR": 1, "IEEE_DIVIDE": 2}  # name → number of arguments


def refuse_unknown(tree: exp.Expr) -> None:
    """Raise `StepFailed` for a function that does not run here, with the nearest names, or a wrong call."""
    refuse_wrong_calls(tree)
    refuse_modifiers(tree)
    for function in tree.find_all(exp.Anonymous, exp.AnonymousAggFunc):
        name = str(function.this).upper()
        if name in NOT_HERE:
            raise StepFailed(f"{name} cannot run here.")
        if name not in OWN:
            known = f" Write {INSTEAD[name]}." if name in INSTEAD else did_you_mean(name, RUNNING)
            raise StepFailed(f"No function is called {name}.{known}")
        if len(function.expressions) != OWN[name]:
            raise StepFailed(f"{name} takes {OWN[name]} arguments, found {len(function.expressions)}.")
