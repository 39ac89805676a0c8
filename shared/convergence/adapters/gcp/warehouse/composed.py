"""The script that is sent for a call: the bodies of the procedures, with every EXECUTE IMMEDIATE as a literal.

The text stays its author's but for what is replaced: dynamic SQL, CALL (the body that it runs), RETURN (it leaves that
body), central tables (the org's rows). Where a procedure itself decides what is committed, our statements go in front
of each COMMIT, and a write outside of a transaction gets its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from convergence.adapters.gcp.warehouse.inlined import inlined
from convergence.adapters.googlesql.edits import Edit, applied
from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.procedures.reach import Place, Reach
from convergence.adapters.googlesql.procedures.transactions import returns
from convergence.adapters.googlesql.scripts import nodes
from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.adapters.googlesql.scripts.tokens import Tokens
from convergence.adapters.googlesql.scripts.walk import bodies_of, expressions_of
from convergence.adapters.googlesql.types import SqlType
from convergence.errors import StepFailed

Types = Mapping[str, SqlType | None]
ROW_COUNT: Final = "convergence_row_count"  # @@row_count of the author's statements, not of ours
IS_OPEN: Final = "convergence_is_open"  # whether one is open, where only the run can tell


class Composer:
    """Composes one call. `complete` and `mark` are our statements for each COMMIT and each change outside of a
    transaction: lineage, and the row of the ledger. Without them (a call that is one transaction, or only reads) both
    are ''.
    """

    def __init__(self, reach: Reach, *, complete: str = "", mark: str = "") -> None:
        self._reach, self._complete, self._mark = reach, complete, mark
        self._counts = reach.counts and bool(mark)
        self._labels = 0

    def script(self, folded: Folded, text: str) -> str:
        """Return a script (of a migration), whose whole text is `text`."""
        return self._edited(folded, Text(text, 1, 1), "", {})

    def procedure(self, folded: Folded, taken: Types) -> str:
        """Return a procedure's block, without a semicolon. `taken`: the variables in sight where it is called."""
        block = folded.body[0].at
        if not returns(folded.body):
            return self._edited(folded, block, "", taken)
        self._labels += 1
        label = f"convergence_body_{self._labels}"
        return f"{label}: {self._edited(folded, block, label, taken)} {label}"

    def _edited(self, folded: Folded, whole: Text, label: str, taken: Types) -> str:
        edits = list(self._edits(folded, whole, folded.body, label, taken))
        if self._counts:
            edits += [each for each in _row_counts(whole.sql) if not _inside(each, edits)]
        return applied(whole.sql, edits)

    def _edits(
        self, folded: Folded, whole: Text, body: Sequence[nodes.Node], label: str, taken: Types
    ) -> Iterator[Edit]:
        declared = list(self._declarations(folded, whole, body, taken)) if taken else []
        yield from declared
        for node in body:
            start, end = _span(whole, node.at)
            if isinstance(node, nodes.Call):
                yield Edit(start, end, self._call(folded, node, taken))
            elif isinstance(node, nodes.Sql | nodes.Execute):
                yield Edit(start, end, self._statement(folded, node))
            elif isinstance(node, nodes.Transaction):
                yield Edit(start, end, self._transaction(node))
            elif isinstance(node, nodes.Jump) and node.label is None and label:
                yield Edit(start, end, f"LEAVE {label}")
            elif not any(each.start == start for each in declared):
                yield from self._own_rows(folded, whole, node)
            for inner in bodies_of(node):
                yield from self._edits(folded, whole, inner, label, taken)

    def _own_rows(self, folded: Folded, whole: Text, node: nodes.Node) -> Iterator[Edit]:
        """Yield the changes of the expressions and queries that a statement contains."""
        for text in [*expressions_of(node), *([node.query] if isinstance(node, nodes.ForIn) else [])]:
            if edits := self._reach.own_rows.get((id(folded), text)):
                start, _ = _span(whole, text)
                yield from (edit.moved(start) for edit in edits)

    def _own(self, folded: Folded, text: Text) -> str:
        """Return a text that reads only its org's rows of central tables, and uses the author's row count."""
        return self._counting(applied(text.sql, self._reach.own_rows.get((id(folded), text), ())))

    def _statement(self, folded: Folded, node: nodes.Sql | nodes.Execute) -> str:
        """Return a statement with its text as a literal; a change keeps its row count, and has a transaction."""
        sql, place = self._own(folded, node.at), Place(id(folded), node)
        if isinstance(node, nodes.Execute):
            start, end = _span(node.at, node.sql)
            using = [edit.moved(-end) for edit in self._own_rows(folded, node.at, node) if edit.start >= end]
            dynamic = folded.texts[node]
            if dynamic is not None:
                dynamic = applied(dynamic, self._reach.own_rows[id(folded), node])
            sql = node.at.sql[:start] + literal(dynamic) + self._counting(applied(node.at.sql[end:], using))
        if self._counts and place in self._reach.changes:
            sql += f";\nSET {ROW_COUNT} = @@row_count"
        if not self._mark:
            return sql
        if place in self._reach.definitions:
            return f"{sql};\n{self._mark.rstrip().rstrip(';')}"
        alone = (
            f"BEGIN\nBEGIN TRANSACTION;\n{sql};\n{self._complete}{self._mark}COMMIT TRANSACTION;\n"
            "EXCEPTION WHEN ERROR THEN\nROLLBACK TRANSACTION;\nRAISE;\nEND"
        )
        if place in self._reach.perhaps:
            return f"IF {IS_OPEN} THEN\n{sql};\nELSE\n{alone};\nEND IF"
        return alone if place in self._reach.alone else sql

    def _transaction(self, node: nodes.Transaction) -> str:
        """Return BEGIN, COMMIT or ROLLBACK with what completes a COMMIT, and what remembers whether one is open."""
        completed = self._complete + self._mark if node.action == "COMMIT" else ""
        remembered = ""
        if self._reach.perhaps and self._mark:
            remembered = f";\nSET {IS_OPEN} = {'TRUE' if node.action == 'BEGIN' else 'FALSE'}"
        return completed + node.at.sql + remembered

    def _counting(self, text: str) -> str:
        return applied(text, _row_counts(text)) if self._counts else text

    def _call(self, folded: Folded, node: nodes.Call, taken: Types) -> str:
        callee = folded.calls[node]
        in_sight = {**taken, **folded.visible[node]}
        arguments = [self._own(folded, text) for text in node.arguments]
        self._labels += 1
        where = f"{folded.source}:{node.at.line}:{node.at.column}"
        block = self.procedure(callee, in_sight)
        return inlined(callee, block, arguments, in_sight, number=self._labels, where=where)

    def _declarations(self, folded: Folded, whole: Text, body: Sequence[nodes.Node], taken: Types) -> Iterator[Edit]:
        """A name that the caller has may not be declared again: it is set instead, and restored after the body.

        DECLARE may not follow SET, so all defaults from the first such name on are set after the last DECLARE.
        """
        declared = [node for node in body if isinstance(node, nodes.Declare)]
        first = next((n for n, node in enumerate(declared) if _taken(node, taken)), None)
        if first is None:
            return
        values = []
        for node in declared[first:]:
            if node.type is None:
                place = f"{folded.source}:{node.at.line}:{node.at.column}"
                raise StepFailed(f"{place}: write the variable's type: a caller has a variable of the same name.")
            fresh = [name for name in node.names if name.lower() not in taken]
            self._labels += 1
            names = ", ".join(f"`{name}`" for name in fresh) or f"convergence_nothing_{self._labels}"
            yield Edit(*_span(whole, node.at), f"DECLARE {names} {node.type}")
            value = self._own(folded, node.default) if node.default is not None else "NULL"
            values += [(name, value) for name in node.names]
        _, end = _span(whole, declared[-1].at)
        yield Edit(end, end, "".join(f";\nSET `{name}` = ({value}\n)" for name, value in values))


def literal(text: str | None) -> str:
    """Return a GoogleSQL string literal; NULL for None, which EXECUTE IMMEDIATE refuses when it runs."""
    if text is None:
        return "CAST(NULL AS STRING)"
    return '"""' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'


def _taken(node: nodes.Declare, taken: Types) -> bool:
    return any(name.lower() in taken for name in node.names)


def _span(whole: Text, part: Text) -> tuple[int, int]:
    """Return where a piece of a script begins and ends in the text `whole`, which contains it."""
    lines = [0, *accumulate(len(line) + 1 for line in whole.sql.split("\n"))]
    row = part.line - whole.line
    start = lines[row] + part.column - (whole.column if row == 0 else 1)
    end = start + len(part.sql)
    assert whole.sql[start:end] == part.sql, f"line {part.line}: {part.sql[:40]!r} is not where it was read"
    return start, end


def _row_counts(text: str) -> Iterator[Edit]:
    tokens = Tokens(text, "")
    while (token := tokens.peek()) is not None:
        after = tokens.peek(2)
        if tokens.word() == tokens.word(1) == "@" and tokens.word(2) == "ROW_COUNT" and after is not None:
            yield Edit(token.start, after.end + 1, ROW_COUNT)
        tokens.take()


def _inside(edit: Edit, edits: Sequence[Edit]) -> bool:
    return any(each.start <= edit.start and edit.end <= each.end for each in edits)
