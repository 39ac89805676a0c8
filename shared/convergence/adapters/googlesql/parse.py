"""Parses text into a tree; a mistake is reported with its line, column and token."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import ClassVar, Final

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError
from sqlglot.parsers.bigquery import BigQueryParser

from convergence.adapters.googlesql.alter import several_clauses
from convergence.adapters.googlesql.bounds import check_joins, check_length, check_tokens
from convergence.adapters.googlesql.foreign import refuse_foreign_forms, refuse_foreign_signs
from convergence.adapters.googlesql.functions import RUNNING
from convergence.adapters.googlesql.json_paths import with_paths
from convergence.adapters.googlesql.quoted_names import refuse_quoted_names, text_for_name
from convergence.adapters.googlesql.signatures import with_counts, without_forms
from convergence.adapters.googlesql.wording import described, hint
from convergence.errors import StepFailed

# Bit operators in ascending precedence; all of them bind less tightly than + and -.
_BITS: Final[tuple[Mapping[tuple[TokenType, ...], type[exp.Binary]], ...]] = (
    {(TokenType.PIPE,): exp.BitwiseOr},
    {(TokenType.CARET,): exp.BitwiseXor},
    {(TokenType.AMP,): exp.BitwiseAnd},
    {(TokenType.LT, TokenType.LT): exp.BitwiseLeftShift, (TokenType.GT, TokenType.GT): exp.BitwiseRightShift},
)
_OPENING: Final = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET})
_CLOSING: Final = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET})


def _in_brackets(node: exp.Expr | None) -> exp.Expr | None:
    kinds = tuple(kind for rank in _BITS for kind in rank.values())
    return exp.Paren(this=node) if isinstance(node, kinds) else node


def _without_reading(make: Callable[..., exp.Expr]) -> Callable[..., exp.Expr]:
    """The parser would count a pattern's groups with Python's syntax of patterns, which is not RE2's."""

    def made(args: list[exp.Expr], dialect: Dialect) -> exp.Expr:
        if len(args) < 2:
            raise IndexError("a pattern is missing")
        node = make([args[0], exp.Literal.string(""), *args[2:]], dialect)
        node.set("expression", args[1])
        return node

    return made


class _GoogleSql(BigQuery):
    """BigQuery's dialect with the functions that run here; the parsers of special forms (CAST, EXTRACT) follow."""

    class Parser(BigQueryParser):
        """The parser of this dialect."""

        def _json_object(self) -> exp.JSONObject:
            """Keys and values alternate. Elsewhere KEY is a word there, and a column of that name would be lost."""
            given = self._parse_csv(self._parse_assignment)
            both = zip(given[::2], given[1::2], strict=False)
            pairs = [exp.JSONKeyValue(this=key, expression=value) for key, value in both]
            return exp.JSONObject(expressions=pairs + given[len(pairs) * 2 :])

        def _parse_string_as_identifier(self) -> exp.Identifier | None:
            """In other dialects a name may be in quotes; in GoogleSQL that is a text."""
            if not self._match(TokenType.STRING, advance=False):
                return None
            token = self._curr
            raise StepFailed(f"line {token.line}, column {token.col}: {text_for_name(token.text)}")

        def _parse_id_var(self, any_token: bool = True, tokens: Collection[TokenType] | None = None) -> exp.Expr | None:
            """After AS the parser takes any token for a name."""
            if any_token and self._prev and self._prev.token_type == TokenType.ALIAS and self._curr:
                self._parse_string_as_identifier()
            return super()._parse_id_var(any_token, tokens)

        def _parse_bitwise(self) -> exp.Expr | None:
            """The parser gives all bit operators one precedence, and so does DuckDB: brackets keep GoogleSQL's."""
            return self._bits(0)

        def _bits(self, rank: int) -> exp.Expr | None:
            if rank == len(_BITS):
                return self._joined_texts()
            left = self._bits(rank + 1)
            while kind := next((kind for signs, kind in _BITS[rank].items() if self._match_signs(signs)), None):
                right = self._bits(rank + 1)
                left = self.expression(kind(this=_in_brackets(left), expression=_in_brackets(right)))
            return left

        def _match_signs(self, signs: tuple[TokenType, ...]) -> bool:
            return bool(self._match(signs[0]) if len(signs) == 1 else self._match_pair(signs[0], signs[1]))

        def _joined_texts(self) -> exp.Expr | None:
            left = self._parse_term()
            while self._match(TokenType.DPIPE):
                safe = not self.dialect.STRICT_STRING_CONCAT
                left = self.expression(exp.DPipe(this=left, expression=self._parse_term(), safe=safe))
            return left

        def _inverted(self) -> exp.Expr:
            """In DuckDB ~ binds less tightly than + and -."""
            return exp.Paren(this=self.expression(exp.BitwiseNot(this=self._parse_unary())))

        UNARY_PARSERS: ClassVar = {**BigQueryParser.UNARY_PARSERS, TokenType.TILDE: _inverted}

        def _string_agg(self) -> exp.GroupConcat:
            """The parser drops what follows the separator."""
            depth, commas = 0, 0
            for token in self._tokens[self._index :]:
                depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
                if depth < 0 or (depth == 0 and token.token_type == TokenType.ORDER_BY):
                    break
                commas += depth == 0 and token.token_type == TokenType.COMMA
            if commas > 1:
                raise StepFailed(f"STRING_AGG takes 1 or 2 arguments here, found {commas + 1}.")
            return self._parse_string_agg()

        def _parse_cast(self, strict: bool, safe: bool | None = None) -> exp.Expr:
            """CAST … FORMAT would become a parse of another dialect's format."""
            parsed = super()._parse_cast(strict, safe)
            if not isinstance(parsed, exp.Cast | exp.TryCast) or parsed.args.get("format") is not None:
                raise StepFailed("CAST … FORMAT cannot run here; use FORMAT_DATE or PARSE_DATE.")
            return parsed

        FUNCTIONS: ClassVar = with_counts(
            {name: make for name, make in BigQueryParser.FUNCTIONS.items() if name in RUNNING}
            | {
                name: _without_reading(BigQueryParser.FUNCTIONS[name])
                for name in ("REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL", "REGEXP_SUBSTR")
            }
            | with_paths(BigQueryParser.FUNCTIONS)
        )
        FUNCTION_PARSERS: ClassVar = without_forms(
            {name: make for name, make in BigQueryParser.FUNCTION_PARSERS.items() if name in RUNNING}
            | {"JSON_OBJECT": _json_object, "STRING_AGG": _string_agg}
        )


@cache
def source() -> BigQuery:
    """Return the dialect that users write."""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it warns about is refused by name here
    return _GoogleSql()


def parse_statement(sql: str) -> exp.Expr:
    """Parse exactly one statement. Raises `StepFailed` with line, column and the token, or the limit it is beyond."""
    check_length(sql)
    try:
        tokens = source().tokenize(sql)
        check_tokens(tokens)
        refuse_foreign_signs(tokens)
        trees = [_whole(tree, sql, tokens) for tree in source().parser().parse(tokens, sql) if tree is not None]
    except SqlglotError as error:
        raise StepFailed(_where(error)) from error
    except RecursionError as error:
        raise StepFailed("syntax error: the statement is nested too deeply.") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # the parser's own mistakes
        raise StepFailed("syntax error: GoogleSQL does not have a statement of this form.") from error
    if len(trees) != 1:
        raise StepFailed(f"One statement is expected, but {len(trees)} were given.")
    check_joins(trees[0])
    _refuse_moves(trees[0])
    refuse_foreign_forms(trees[0])
    refuse_quoted_names(trees[0])
    try:
        missing = next((each for node in trees[0].walk() for each in node.error_messages()), None)
    except TypeError as error:  # a node with a part that its kind cannot have
        raise StepFailed("syntax error: GoogleSQL does not have a statement of this form.") from error
    if missing is not None:
        raise StepFailed(f"syntax error: {described(missing)}.")
    return trees[0]


def _refuse_moves(tree: exp.Expr) -> None:
    """A new name has no dataset: sqlglot drops one, and the table would be renamed where it is."""
    for rename in tree.find_all(exp.AlterRename):
        if isinstance(rename.this, exp.Table) and rename.this.db:
            raise StepFailed(
                f"RENAME TO {rename.this.name!r}: write the new name without a dataset; a table cannot leave its"
                " dataset."
            )


def _whole(tree: exp.Expr, sql: str, tokens: list[Token]) -> exp.Expr:
    """Return the tree; of an ALTER that the parser gave up on, the one of its clauses."""
    if not isinstance(tree, exp.Command) or str(tree.this).upper() != "ALTER":
        return tree
    return several_clauses(sql, tokens, _one) or tree


def _one(sql: str) -> exp.Expr:
    (tree,) = source().parser().parse(source().tokenize(sql), sql)
    assert tree is not None, "the clause has words"
    return tree


def _where(error: SqlglotError) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return f"syntax error: {described(str(error))}."
    first = details[0]
    token, message = first["highlight"], described(first["description"])
    place = f"line {first['line']}, column {first['col']}"
    return f"{place}: syntax error at {token!r}: {message}.{hint(first['start_context'], token)}"
