"""Files of strangers take processor time that grows with their length, no faster: it holds up everything else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest

from convergence.adapters.googlesql.procedures.parser import parse_procedure
from convergence.adapters.googlesql.types import parse_type
from convergence.errors import ConvergenceError
from tests.unit.config.builders import a_pipeline

SIZE = 30_000  # characters; what is quadratic takes seconds for them
QUICK_S = 0.3  # and too little time to tell anything from noise


def note(text: str) -> None:
    a_pipeline(f"steps:\n  - step_id: a\n    ps_type: generic.noop\n    config:\n      note: '{text}'\n")


def query(text: str) -> None:
    head = "steps:\n  - step_id: a\n    ps_type: generic.bq_execute\n    config:\n      query: |\n        "
    a_pipeline(head + text + "\n")


def steps(text: str) -> None:
    a_pipeline("steps:\n" + "".join(f"  - {{step_id: s{n}, ps_type: generic.noop, {text}}}\n" for n in range(2_000)))


def procedure(text: str) -> None:
    parse_procedure(f"CREATE PROCEDURE organizations.p()\nBEGIN\n{text}\nEND;", "p.sql")


def seconds(read: Callable[[str], object], text: str) -> float:
    begin = time.thread_time()
    with contextlib.suppress(ConvergenceError, RecursionError):
        read(text)
    return time.thread_time() - begin


@pytest.mark.parametrize(
    ("read", "piece"),
    [
        *((note, piece) for piece in ("\\", "\\{a}", "{a}", "{", "{{ ", "{ ", "{a.", "{a ", "$", "}")),
        *((query, piece) for piece in ("/* ", "'''\\", "'\\a", "\\a", "`\\`", "(", "'{a}' ", "{a} ", "`{a}` ", "@a ")),
        *((procedure, piece) for piece in ("'''\\", "/* ", '"""\\', "`", "SELECT 1;\n", "'\\'", "(")),
        *((parse_type, piece) for piece in (" ", "`", "`\\`", "ARRAY<", "STRUCT<a ", "(", "a")),
    ],
)
def test_time_grows_no_faster_than_the_text(read: Callable[[str], object], piece: str) -> None:
    once = piece * (SIZE // len(piece))
    long = min(seconds(read, once * 2) for _ in range(3))
    if long > QUICK_S:
        assert long < 3.2 * max(seconds(read, once) for _ in range(3))


def test_mistakes_of_many_steps_take_no_time_each() -> None:
    assert seconds(steps, "depends_on: [x]") < 10 * (seconds(steps, "depends_on: []") + 0.1)
