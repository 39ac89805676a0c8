"""Which functions there are. What is not listed is refused by name before anything runs."""

from __future__ import annotations

from typing import Final

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

from convergence.errors import StepFailed, did_you_mean

# Functions that sqlglot does not know, and that run here under their own name or by a rule.
OWN: Final = frozenset({"ERROR", "IEEE_DIVIDE"})
# Functions that sqlglot knows from other dialects.
_FOREIGN: Final = (exp.ReadCSV, exp.ReadParquet)


def known_functions() -> set[str]:
    """Return the names of all functions that can be written, for messages."""
    names = {str(name) for name in BigQuery.Parser.FUNCTIONS if not str(name).startswith("READ_")}
    return names | OWN


def refuse_unknown(tree: exp.Expr) -> None:
    """Raise `StepFailed` for a function that does not exist here, with the nearest names."""
    for function in tree.find_all(exp.Anonymous, *_FOREIGN):
        name = str(function.this).upper() if isinstance(function, exp.Anonymous) else function.sql_name()
        if name not in OWN or isinstance(function, _FOREIGN):
            raise StepFailed(f"No function is called {name}.{did_you_mean(name, known_functions())}")
