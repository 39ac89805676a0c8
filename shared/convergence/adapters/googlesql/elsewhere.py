"""Functions of other dialects that people are used to, and their equivalents in GoogleSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

INSTEAD: Final[Mapping[str, str]] = {
    "ADD_MONTHS": "DATE_ADD(day, INTERVAL n MONTH)",
    "CHARINDEX": "STRPOS(text, part)",
    "CONVERT": "CAST(x AS type)",
    "DATEADD": "DATE_ADD(day, INTERVAL n DAY)",
    "DATEDIFF": "DATE_DIFF(later, earlier, DAY)",
    "DATEPART": "EXTRACT(part FROM day)",
    "DATE_FORMAT": "FORMAT_DATE('%Y-%m', day)",
    "DATE_PART": "EXTRACT(part FROM day)",
    "DATE_PARSE": "PARSE_DATE('%Y-%m-%d', text)",
    "DECODE": "CASE x WHEN a THEN b ELSE c END",
    "FROM_UNIXTIME": "TIMESTAMP_SECONDS(n)",
    "GETDATE": "CURRENT_TIMESTAMP() or CURRENT_DATE()",
    "GROUP_CONCAT": "STRING_AGG(text, ',')",
    "IIF": "IF(condition, a, b)",
    "ISNULL": "IFNULL(x, instead), or x IS NULL",
    "LEN": "LENGTH(text)",
    "LISTAGG": "STRING_AGG(text, ',')",
    "MONTH": "EXTRACT(MONTH FROM day)",
    "MONTHS_BETWEEN": "DATE_DIFF(later, earlier, MONTH)",
    "NOW": "CURRENT_TIMESTAMP()",
    "NVL": "IFNULL(x, instead)",
    "NVL2": "IF(x IS NOT NULL, a, b)",
    "QUARTER": "EXTRACT(QUARTER FROM day)",
    "REGEXP_LIKE": "REGEXP_CONTAINS(text, r'pattern')",
    "REGEXP_MATCHES": "REGEXP_CONTAINS(text, r'pattern')",
    "STRFTIME": "FORMAT_DATE('%Y-%m', day)",
    "STR_TO_DATE": "PARSE_DATE('%Y-%m-%d', text)",
    "SUBSTRING_INDEX": "SPLIT(text, ',')[OFFSET(0)]",
    "SYSDATE": "CURRENT_DATE()",
    "TO_CHAR": "FORMAT_DATE('%Y-%m', day), or CAST(x AS STRING)",
    "TO_DATE": "PARSE_DATE('%Y-%m-%d', text)",
    "TO_NUMBER": "CAST(text AS NUMERIC)",
    "TO_TIMESTAMP": "PARSE_TIMESTAMP('%Y-%m-%dT%H:%M:%S', text)",
    "TRY_CAST": "SAFE_CAST(x AS type)",
    "UNIX_TIMESTAMP": "UNIX_SECONDS(moment)",
    "YEAR": "EXTRACT(YEAR FROM day)",
}
