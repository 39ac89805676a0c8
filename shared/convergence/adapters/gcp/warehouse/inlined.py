"""A CALL as the block of statements that it runs.

BigQuery lets no inner block declare a name again. So a name that caller and procedure share is one variable: its value
is kept, set for the procedure, and restored after it, also when an error leaves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convergence.adapters.googlesql.procedures.folded import Folded
from convergence.adapters.googlesql.types import SqlType
from convergence.domain.sql_names import bigquery_name
from convergence.errors import StepFailed

Types = Mapping[str, SqlType | None]


def inlined(callee: Folded, block: str, arguments: Sequence[str], in_sight: Types, *, number: int, where: str) -> str:
    """Return the statement that replaces a CALL, without a semicolon.

    `block` is the procedure's body, `arguments` the expressions of the CALL, `in_sight` the variables that the caller
    has there. `number` makes our own names unique.

    Raises:
        StepFailed: a name has another type in the procedure than in its caller.
    """
    shared = _shared(callee, in_sight, where)
    declared, begun, ended, handed = [], [], [], []
    for place, (argument, value) in enumerate(zip(callee.arguments, arguments, strict=True)):
        given, name = f"convergence_in_{number}_{place}", bigquery_name(argument.name)
        kind = f" {argument.type}" if argument.type is not None else ""
        default = "" if argument.mode == "OUT" else f" DEFAULT ({value}\n)"
        declared.append(f"DECLARE {given}{kind}{default};")
        if argument.name.lower() in shared:
            begun.append(f"SET {name} = {given};")
        else:
            begun.append(f"DECLARE {name}{kind} DEFAULT {given};")
        if argument.mode != "IN":
            ended.append(f"SET {given} = {name};")
            handed.append(f"SET {value} = {given};")
    begun.sort(key=lambda line: line.startswith("SET"))  # DECLARE comes first
    kept = [(bigquery_name(name), f"convergence_kept_{number}_{place}") for place, name in enumerate(shared)]
    declared += [f"DECLARE {keep} DEFAULT {name};" for name, keep in kept]
    restored = [f"SET {name} = {keep};" for name, keep in kept]
    undo = ["EXCEPTION WHEN ERROR THEN", *restored, "RAISE;"] if kept else []
    inner = ["BEGIN", *begun, f"{block};", *ended, *undo, "END;"]
    return "\n".join(["BEGIN", *declared, *inner, *restored, *handed, "END"])


def _shared(callee: Folded, in_sight: Types, where: str) -> list[str]:
    """Return the names that are variables both in the caller and in the procedure, in lower case."""
    shared = [name for name in callee.declared if name in in_sight]
    for name in shared:
        if callee.declared[name] is None or callee.declared[name] != in_sight[name]:
            raise StepFailed(
                f"{where}: {name!r} is a variable here and in {callee.name}, and the types differ or are not written:"
                " give it the same type in both, or another name in one."
            )
    return shared
