"""A cursor over the tokens of a script, with every position in the file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection
from typing import ClassVar, Final

from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from convergence.adapters.googlesql.bounds import check_length
from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.errors import ConfigError, StepFailed

QUOTED: Final = frozenset({TokenType.STRING, TokenType.RAW_STRING, TokenType.IDENTIFIER, TokenType.BYTE_STRING})
_OPEN: Final = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET})
_CLOSED: Final = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET})

_WHOLE: Final = re.compile(
    r"--[^\n]*|\#[^\n]*|/\*[\s\S]*?\*/"
    r"|'''(?:\\[\s\S]|[^\\])*?'''|\"{3}(?:\\[\s\S]|[^\\])*?\"{3}"
    r"|'(?!'')(?:\\.|[^'\\\n])*'|\"(?!\"\")(?:\\.|[^\"\\\n])*\"|`[^`\n]*`"
    r"|[^-'\"`/\#]+|-|/(?!\*)"
)


def _unclosed(text: str) -> int:
    """Return where the unclosed quote or comment begins; the tokenizer does not report it."""
    position = 0
    while found := _WHOLE.match(text, position):
        position = found.end()
    return min(position, len(text) - 1)


class _Script(BigQuery):
    """BigQuery's tokens, all of them: the plain dialect swallows what follows CALL or SHOW as one string."""

    class Tokenizer(BigQuery.Tokenizer):
        COMMANDS: ClassVar[set[TokenType]] = set()


class Tokens:
    """A cursor. Keywords are compared in upper case; quoted names and strings are never keywords."""

    def __init__(self, text: str, source: str) -> None:
        try:
            check_length(text)
        except StepFailed as error:
            raise ConfigError(str(error), where=source) from error
        self.text, self.source = text, source
        self._lines = [0, *(position + 1 for position, sign in enumerate(text) if sign == "\n")]
        try:
            self._tokens: list[Token] = _Script().tokenize(text)
        except SqlglotError as error:
            line, column = self.place(_unclosed(text))
            opened = text[_unclosed(text) :].partition("\n")[0][:40]
            message = f"syntax error: the quote or comment that begins with {opened!r} is not closed"
            raise ConfigError(message, where=f"{source}:{line}:{column}") from error
        self._next = 0

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 1, of a position in the text."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    @property
    def done(self) -> bool:
        """Whether all tokens are read."""
        return self._next >= len(self._tokens)

    @property
    def offset(self) -> int:
        """Where the next token begins."""
        return int(self._tokens[self._next].start) if not self.done else len(self.text)

    def peek(self, ahead: int = 0) -> Token | None:
        """Return a token without reading it."""
        position = self._next + ahead
        return self._tokens[position] if position < len(self._tokens) else None

    def word(self, ahead: int = 0) -> str:
        """Return the token as a keyword, or '' when it is quoted or the end."""
        token = self.peek(ahead)
        return "" if token is None or token.token_type in QUOTED else str(token.text).upper()

    def take(self) -> Token:
        """Read one token."""
        token = self.peek()
        if token is None:
            raise self.error("the script ends here")
        self._next += 1
        return token

    def accept(self, *words: str) -> bool:
        """Read these keywords if they come next."""
        if all(self.word(ahead) == word for ahead, word in enumerate(words)):
            self._next += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Read these keywords, or report what came instead."""
        if not self.accept(*words):
            raise self.error(f"{' '.join(words)} is expected")

    def name(self) -> str:
        """Read an identifier."""
        token = self.take()
        plain = token.token_type not in {TokenType.STRING, TokenType.RAW_STRING, TokenType.NUMBER}
        if plain and (token.token_type is TokenType.IDENTIFIER or str(token.text).isidentifier()):
            return str(token.text)
        self._next -= 1
        raise self.error("a name is expected")

    def until(self, stops: Collection[str], what: str) -> Text:
        """Read up to one of the keywords, outside of brackets and of CASE … END; the keyword is not read."""
        start, depth = self._next, 0
        while not self.done:
            token, word = self._tokens[self._next], self.word()
            if depth == 0 and word in stops:
                break
            if token.token_type in _OPEN or word == "CASE":
                depth += 1
            elif token.token_type in _CLOSED or (word == "END" and depth > 0):
                depth -= 1
            if word == ";":
                break
            self._next += 1
        if self._next == start:
            raise self.error(f"{what} is expected")
        return self.slice(start, self._next)

    def slice(self, start: int, end: int) -> Text:
        """Return the text of the tokens `start` up to `end`."""
        first, last = self._tokens[start], self._tokens[end - 1]
        line, column = self.place(first.start)
        return Text(self.text[first.start : last.end + 1], line, column)

    def mark(self) -> int:
        """Return the number of the next token, for `slice`."""
        return self._next

    def since(self, mark: int) -> Text:
        """Return the text read since `mark`."""
        return self.slice(mark, self._next)

    def error(self, message: str) -> ConfigError:
        """Return an error that points at the next token."""
        token = self.peek()
        line, column = self.place(self.offset)
        found = f", found {token.text[:40]!r}" if token is not None else ", found the end"
        return ConfigError(f"syntax error: {message}{found}", where=f"{self.source}:{line}:{column}")
