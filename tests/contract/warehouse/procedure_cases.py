"""The shipped procedures with the rows that they are called on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).with_name("procedures")
JAN_1, JAN_2, JAN_3, FEB_1 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3), date(2026, 2, 1)


class Case(NamedTuple):
    """A call and what it leaves: its rows, the rows counted, and the rows of `cost_daily` and `run_log`."""

    procedure: str
    arguments: dict[str, Any]
    rows: list[dict[str, Any]]
    affected: int
    costs: list[tuple[Any, ...]]
    log: Sequence[str] = ()


UNCHANGED: Final[list[tuple[Any, ...]]] = [(JAN_1, "a", Decimal(99), "list"), (FEB_1, "z", Decimal(1), "old")]
NAMES: Final = {"p_project_id": "PROJECT", "p_dataset_id": "acme_prod"}
ORG: Final = {"p_dataset_id": "acme_prod"}
OLD: Final = (FEB_1, "z", Decimal(1), "old")
CASES: Final = (
    Case(
        "sp_replace_days",
        {**NAMES, "p_from": JAN_1, "p_to": JAN_2},
        [{"rows_written": 3, "dataset": "acme_prod"}],
        3,
        [
            (JAN_1, "a", Decimal("2.5"), 'list "price"'),
            (JAN_1, "b", Decimal(5), 'list "price"'),
            (JAN_2, "a", Decimal("0.6"), 'list "price"'),
            OLD,
        ],
    ),
    Case(
        "sp_figures",
        NAMES,
        [{"n": 4, "tokens": 1800007, "cheap": 2, "first": JAN_1, "last": JAN_3, "models": "a/b/c"}],
        0,
        UNCHANGED,
    ),
    Case(
        "sp_text_in_variable",
        {**ORG, "p_note": "list"},
        [
            {"model": "a", "cost": Decimal("2.5"), "note": "list"},
            {"model": "b", "cost": Decimal(10), "note": "list"},
            {"model": "a", "cost": Decimal(2), "note": "list"},
            {"model": "c", "cost": Decimal(100), "note": "list"},
            {"model": "z", "cost": Decimal(1), "note": "old"},
        ],
        4,
        [
            (JAN_1, "a", Decimal("2.5"), "list"),
            (JAN_1, "b", Decimal(10), "list"),
            (JAN_2, "a", Decimal(2), "list"),
            (JAN_3, "c", Decimal(100), "list"),
            OLD,
        ],
    ),
    Case(
        "sp_merge_models",
        NAMES,
        [
            {"model": "a", "cost": Decimal("2.5"), "note": "merged"},
            {"model": "b", "cost": Decimal(10), "note": "new"},
            {"model": "a", "cost": Decimal(2), "note": "new"},
            {"model": "c", "cost": Decimal(100), "note": "new"},
        ],
        4,
        [
            (JAN_1, "a", Decimal("2.5"), "merged"),
            (JAN_1, "b", Decimal(10), "new"),
            (JAN_2, "a", Decimal(2), "new"),
            (JAN_3, "c", Decimal(100), "new"),
        ],
    ),
    Case("sp_by_mode", {**ORG, "p_mode": "raw"}, [{"n": 4}], 0, UNCHANGED),
    Case("sp_by_mode", {**ORG, "p_mode": "day"}, [{"n": 2}], 0, UNCHANGED),
    Case(
        "sp_calls_twice",
        {**ORG, "p_model": "a"},
        [{"own_rows": 77, "total": 1300001, "found": True, "none": False, "model": "a"}],
        0,
        UNCHANGED,
    ),
    Case("sp_log_after_rollback", ORG, [{"costs": 2, "log": "rolled back"}], 1, UNCHANGED, ["rolled back"]),
    Case("sp_commit_in_handler", {}, [{"message": "before"}, {"message": "half"}], 2, UNCHANGED, ["before", "half"]),
    Case("sp_swallow", {}, [], 2, UNCHANGED),
    Case("sp_log_in_handler", {"p_early": True}, [], 1, UNCHANGED, ["early"]),
    Case("sp_log_in_handler", {"p_early": False}, [], 2, UNCHANGED),
    Case(
        "sp_loops",
        {**ORG, "p_times": 2},
        [{"log": "a 1300000, b 500000, c 7, round 1, round 2"}],
        5,
        UNCHANGED,
        ["a 1300000", "b 500000", "c 7", "round 1", "round 2"],
    ),
    Case("sp_two_commits", NAMES, [{"deleted": 2, "added": 3, "updated": 2}], 5, [], ["a!", "b!", "c"]),
    Case(
        "sp_temporary",
        {**ORG, "p_least": 1},
        [{"outcome": "a, a, c"}],
        3,
        [
            (JAN_1, "a", Decimal(99), "list"),
            (JAN_1, "a", Decimal(1000000), "largest"),
            (JAN_2, "a", Decimal(300000), "largest"),
            (JAN_3, "c", Decimal(7), "largest"),
            OLD,
        ],
    ),
    Case("sp_temporary", {**ORG, "p_least": 10**9}, [{"outcome": "nothing"}], 0, UNCHANGED),
    Case("sp_fails_late", {**ORG, "p_fail": False}, [{"n": 2}], 2, UNCHANGED, ["first", "second"]),
)
KINDS: Final = {str: "STRING", int: "INT64", bool: "BOOL", date: "DATE"}
