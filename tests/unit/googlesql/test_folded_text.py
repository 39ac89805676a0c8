"""What CONTAINS_SUBSTR compares: NFKC with folded case for every character, or an error."""

from __future__ import annotations

import unicodedata
from importlib.resources import files

import duckdb

MOST_APART = 3_800  # of 144,634: those that the warehouse refuses to compare


def test_every_character_is_folded_as_unicode_says_or_refused() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA googlesql")
    script = files("convergence.adapters.local.duckdb_sql").joinpath("functions.sql").read_text("utf-8")
    for name in ("upper", "plain", "taken_apart", "folded_or_null"):
        begin = script.index(f"CREATE OR REPLACE MACRO googlesql.{name}(")
        connection.execute(script[begin : script.index(";\n", begin)])
    characters = [
        chr(code)
        for code in range(1, 0x110000)
        if not 0xD800 <= code <= 0xDFFF and unicodedata.category(chr(code)) not in ("Cn", "Co")
    ]
    sql = "SELECT c, googlesql.folded_or_null(c) FROM (SELECT unnest($1) AS c)"
    found = dict(connection.execute(sql, [characters]).fetchall())
    assert len(found) == len(characters)
    wrong = [(sign, folded) for sign, folded in found.items() if folded not in (None, _folded(sign))]
    assert wrong == []
    refused = [sign for sign, folded in found.items() if folded is None]
    assert len(refused) < MOST_APART
    assert not set("\u00a0ＡＢ…™ﬁ²µßéÅ") & set(refused), "what bills contain is compared"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
