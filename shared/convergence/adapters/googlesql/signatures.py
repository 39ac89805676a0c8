"""How many arguments a function takes, and which by name. The parser takes more, and drops the rest silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from convergence.errors import StepFailed

Make = Callable[..., exp.Expr]
_GIVEN: Final = "convergence.arguments"
_WEEKDAYS: Final = frozenset({"SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"})
_MANY: Final = 1 << 30
_BY_COUNT: Final[Mapping[tuple[int, int], str]] = {
    (0, 0): "CUME_DIST CURRENT_TIMESTAMP DENSE_RANK GENERATE_UUID PERCENT_RANK RAND RANK ROW_NUMBER SESSION_USER",
    (0, 1): "CURRENT_DATE CURRENT_DATETIME CURRENT_TIME",
    (1, 1): """
        ABS ACOS ACOSH ANY_VALUE APPROX_COUNT_DISTINCT ARRAY_AGG ARRAY_CONCAT_AGG ARRAY_LENGTH ARRAY_REVERSE ASCII ASIN
        ASINH ATAN ATANH AVG BIT_AND BIT_COUNT BIT_OR BIT_XOR BOOL BYTE_LENGTH CBRT CEIL CEILING CHARACTER_LENGTH
        CHAR_LENGTH CHR COS COSH COT COUNT COUNTIF DATE_FROM_UNIX_DATE EXP FIRST_VALUE FLOAT64 FLOOR FROM_BASE64
        FROM_HEX GROUPING INITCAP INT64 IS_INF IS_NAN JSON_TYPE LAST_VALUE LENGTH LN LOG10 LOGICAL_AND LOGICAL_OR LOWER
        MAX MD5 MIN NTILE OCTET_LENGTH PARSE_JSON REVERSE SAFE_NEGATE SHA1 SHA256 SHA512 SIGN SIN SINH SQRT STDDEV
        STDDEV_POP STDDEV_SAMP SUM TAN TANH TIMESTAMP_MICROS TIMESTAMP_MILLIS TIMESTAMP_SECONDS TO_BASE64 TO_HEX
        TO_JSON TO_JSON_STRING UNICODE UNIX_DATE UNIX_MICROS UNIX_MILLIS UNIX_SECONDS UPPER VARIANCE VAR_POP VAR_SAMP
        WEEK""",
    (1, 2): """
        JSON_EXTRACT JSON_EXTRACT_ARRAY JSON_EXTRACT_SCALAR JSON_EXTRACT_STRING_ARRAY JSON_QUERY JSON_QUERY_ARRAY
        JSON_VALUE JSON_VALUE_ARRAY LAST_DAY LOG LTRIM RTRIM SPLIT STRING TIMESTAMP TRIM TRUNC""",
    (1, 3): "DATE LAG LEAD ROUND TIME",
    (1, 6): "DATETIME",
    (2, 2): """
        APPROX_QUANTILES ATAN2 CONTAINS_SUBSTR CORR COSINE_DISTANCE COVAR_POP COVAR_SAMP DATETIME_ADD DATETIME_SUB
        DATE_ADD DATE_SUB DIV EDIT_DISTANCE ENDS_WITH EUCLIDEAN_DISTANCE FORMAT_DATE FORMAT_DATETIME FORMAT_TIME IFNULL
        LEFT MAX_BY MIN_BY MOD NTH_VALUE NULLIF PARSE_DATE PARSE_DATETIME PARSE_TIME PERCENTILE_CONT PERCENTILE_DISC
        POW POWER REGEXP_CONTAINS REGEXP_EXTRACT_ALL REPEAT RIGHT SAFE_ADD SAFE_DIVIDE SAFE_MULTIPLY SAFE_SUBTRACT
        STARTS_WITH STRPOS TIMESTAMP_ADD TIMESTAMP_SUB TIME_ADD TIME_SUB TIME_TRUNC""",
    (2, 3): """
        ARRAY_TO_STRING DATETIME_TRUNC DATE_TRUNC FORMAT_TIMESTAMP GENERATE_ARRAY GENERATE_DATE_ARRAY LPAD
        PARSE_TIMESTAMP RPAD SUBSTR SUBSTRING TIMESTAMP_TRUNC""",
    (2, 4): "INSTR REGEXP_EXTRACT REGEXP_SUBSTR",
    (3, 3): """
        DATETIME_DIFF DATE_DIFF GENERATE_TIMESTAMP_ARRAY IF REGEXP_REPLACE REPLACE TIMESTAMP_DIFF TIME_DIFF
        TRANSLATE""",
    (1, _MANY): "ARRAY_CONCAT COALESCE CONCAT FORMAT GREATEST LEAST",
}  # fmt: skip
COUNTS: Final[Mapping[str, tuple[int, int]]] = {
    name: count for count, names in _BY_COUNT.items() for name in names.split()
}
_NAMED: Final[Mapping[str, frozenset[str]]] = {
    "PARSE_JSON": frozenset({"wide_number_mode"}),
    "EDIT_DISTANCE": frozenset({"max_distance"}),
}
# Functions that the parser reads by forms of other databases, and with them any number of arguments.
_PLAIN: Final = frozenset({"CEIL", "CHR", "FLOOR", "INITCAP", "MAX_BY", "MIN_BY", "SUBSTRING", "TRANSLATE"})


def with_counts(functions: Mapping[str, Make]) -> dict[str, Make]:
    """Return the functions, each keeping how many arguments a call was given and the names of those that have one."""
    plain: dict[str, Make] = {"CHR": lambda args: exp.Chr(expressions=args)}
    return {name: _counting(name, plain.get(name, make)) for name, make in functions.items()}


def without_forms(parsers: Mapping[str, Make]) -> dict[str, Make]:
    """Return the special parsers but those of functions whose calls are plain in GoogleSQL."""
    return {name: parse for name, parse in parsers.items() if name not in _PLAIN}


def _counting(name: str, make: Make) -> Make:
    def made(args: list[exp.Expr], dialect: Dialect) -> exp.Expr:
        names = [each.this.name for each in args if isinstance(each, exp.Kwarg)]
        count = len(args) - len(names)
        try:
            node = make(args)
        except TypeError:
            node = make(args, dialect=dialect)
        node.meta[_GIVEN] = (name, count, tuple(names))
        return node

    return made


def refuse_wrong_calls(tree: exp.Expr) -> None:
    """Raise `StepFailed` for a call with too few or too many arguments, or with one of a name that it does not have."""
    for call in tree.find_all(exp.Expr):
        if given := call.meta.get(_GIVEN):
            _check(*given)
        if isinstance(call, exp.Week) and call.this.name.upper() not in _WEEKDAYS:
            raise StepFailed("No function is called WEEK; write EXTRACT(WEEK FROM …).")


def _check(name: str, count: int, names: tuple[str, ...]) -> None:
    least, most = COUNTS.get(name, (0, _MANY))
    for given in names:
        if given.lower() not in _NAMED.get(name, ()):
            raise StepFailed(f"{name} does not take an argument called {given} here.")
    if not least <= count <= most:
        raise StepFailed(f"{name} takes {_described(least, most)} here, found {count}.")


def _described(least: int, most: int) -> str:
    if most == _MANY:
        return f"{least} or more arguments"
    span = str(least) if least == most else f"{least} {'or' if most == least + 1 else 'to'} {most}"
    return f"{span} argument{'' if most == 1 else 's'}"
