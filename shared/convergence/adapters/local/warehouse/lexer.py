"""A statement's tokens according to DuckDB's own lexer, without comments."""

from __future__ import annotations

from itertools import pairwise


def words_of(sql: str) -> list[str]:
    """Return the words, punctuation and literals of a text, in order."""
    import duckdb

    data = sql.encode()
    tokens = duckdb.tokenize(sql)
    ends = [*(start for start, _ in tokens), len(data)]
    pieces = zip(pairwise(ends), (kind for _, kind in tokens), strict=True)
    words = (data[start:end].decode().strip() for (start, end), kind in pieces if kind != duckdb.token_type.comment)
    return [word for word in words if word]


def name_of(word: str) -> str:
    """Return the name that a word means, in lower case; '' when it cannot be one."""
    if word.startswith('"'):
        return word[1:-1].replace('""', '"').lower()
    return word.lower() if word[:1].isalpha() or word[:1] == "_" else ""
