"""The whole script of a call: arguments as variables, the procedure's text, lineage and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from convergence.adapters.gcp.warehouse.composed import IS_OPEN, ROW_COUNT, Composer
from convergence.adapters.gcp.warehouse.ledger import UNCOUNTED, Ledger
from convergence.adapters.gcp.warehouse.lineage import DECLARED, REFUSED_STAYS, lineage_statements
from convergence.adapters.googlesql.bounds import check_length
from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.procedures.reach import Reach
from convergence.adapters.googlesql.procedures.transactions import CLOSED, OPEN
from convergence.adapters.googlesql.scripts.nodes import Argument
from convergence.domain.sql_names import bigquery_name
from convergence.ports.warehouse import Scope

_COUNTED: Final = "SET convergence_own = convergence_own + @@row_count;"


@dataclass(frozen=True, slots=True)
class CallScript:
    """A script to send. `reads`: it changes no table. `completed`: how many tables have their lineage completed at its
    end. `out`: its last SELECT has the OUT arguments."""

    sql: str
    reach: Reach
    reads: bool
    completed: int
    out: bool


def compose_call(
    folded: Folded, reach: Reach, scope: Scope, derived: Sequence[tuple[str, str]], ledger: Ledger, *, project: str
) -> CallScript:
    """Compose the script of a call. `derived` are the tables with lineage that it writes.

    Raises:
        StepFailed: it is longer than BigQuery takes.
    """
    out = [each for each in folded.arguments if each.mode != "IN"]
    reads = not out and not reach.writes_stay
    complete = lineage_statements(project, derived, scope.lineage) if scope.lineage is not None else []
    declared = [_declared(each) for each in folded.arguments]
    if reads:
        lines = [*declared, f"{Composer(reach).procedure(folded, {})};"]
    elif reach.by_itself:
        lines = _by_itself(folded, reach, scope, complete, declared, out, ledger)
    else:
        body = Composer(reach).procedure(folded, {})
        mark = ledger.insert(scope.dataset, "0", str(UNCOUNTED))
        lines = [DECLARED, *declared, "BEGIN TRANSACTION;", f"{body};", *complete, *_selected(out), mark]
        lines += ["COMMIT TRANSACTION;"]
    sql = "\n".join(lines)
    check_length(sql)
    return CallScript(sql, reach, reads, len(derived), bool(out))


def _by_itself(
    folded: Folded,
    reach: Reach,
    scope: Scope,
    complete: Sequence[str],
    declared: Sequence[str],
    out: Sequence[Argument],
    ledger: Ledger,
) -> list[str]:
    """Compose a procedure that commits by itself: every COMMIT of its own leaves a mark, and so does its end.

    A job that fails in between has left some of its work, and the marks say so.
    """
    lines = [DECLARED, "DECLARE convergence_own, convergence_commits INT64 DEFAULT 0;"]
    lines += [f"DECLARE {ROW_COUNT} INT64;", f"DECLARE {IS_OPEN} BOOL DEFAULT FALSE;", *declared]
    counted = [each for line in complete for each in ([line, _COUNTED] if line.startswith("UPDATE") else [line])]
    mark = ["SET convergence_commits = convergence_commits + 1;", ledger.insert_commit(scope.dataset), _COUNTED]
    composer = Composer(reach, complete=_text(counted), mark=_text(mark))
    lines.append(f"{composer.procedure(folded, {})};")
    lines.append(REFUSED_STAYS)
    if reach.end == OPEN:  # what was not committed is gone, as at the end of any script
        lines.append("ROLLBACK TRANSACTION;")
    elif reach.end - CLOSED:
        lines.append("BEGIN ROLLBACK TRANSACTION; EXCEPTION WHEN ERROR THEN SET convergence_refused = NULL; END;")
    return [*lines, *_selected(out), ledger.insert_end(scope.dataset)]


def _declared(argument: Argument) -> str:
    kind = f" {argument.type}" if argument.type is not None else ""
    default = f" DEFAULT @convergence_arg_{argument.name.lower()}" if argument.mode != "OUT" else ""
    return f"DECLARE {bigquery_name(argument.name)}{kind}{default};"


def _selected(out: Sequence[Argument]) -> list[str]:
    """Return the SELECT of the OUT arguments, if there are any."""
    names = ", ".join(f"{bigquery_name(each.name)} AS {bigquery_name(each.name)}" for each in out)
    return [f"SELECT {names};"] if names else []


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
