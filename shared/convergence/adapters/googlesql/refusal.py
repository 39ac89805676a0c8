"""A mistake of the parser, the optimizer or a rule becomes a refusal of the statement."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from sqlglot.errors import SqlglotError

from convergence.errors import StepFailed

P = ParamSpec("P")
R = TypeVar("R")
_INTERNAL = (SqlglotError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


def refusing(work: Callable[P, R]) -> Callable[P, R]:
    """Let a function raise `StepFailed` for anything unexpected in a statement; `__wrapped__` is the plain function."""

    @wraps(work)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except RecursionError as error:
            raise StepFailed("The statement is nested too deeply.") from error
        except _INTERNAL as error:
            raise StepFailed(
                "The statement has a form that cannot be translated. Write it in a simpler way."
            ) from error

    return guarded
