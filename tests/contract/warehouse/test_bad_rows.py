"""Rows of a file that do not fit: refused with their line, set aside, or left to others."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from convergence.ports.warehouse import TableSchema, Warehouse
from tests.contract.warehouse.files_of_rows import ALL, Run, read, refused
from tests.contract.warehouse.world import JAN_1, JAN_2, a_load, rows_of

OTHER_FORM = "in ISO 8601 (date_formats can define another form, such as %m/%d/%Y)"
VALUES = (
    ("cost", "1_000", "is not BIGNUMERIC: '1_000'"),
    ("cost", "NaN", "is not BIGNUMERIC: 'NaN'"),
    ("cost", '"1,5"', "is not BIGNUMERIC: '1,5'"),
    ("cost", "0.123456789012345678901234567890123456789012", "is not BIGNUMERIC"),
    ("cost", "12E-42", "is not BIGNUMERIC"),
    ("day", "2026/1/5", f"is not DATE {OTHER_FORM}: '2026/1/5'"),
    ("day", "01-Feb-2026", f"is not DATE {OTHER_FORM}: '01-Feb-2026'"),
    ("day", "2026-13-45", "is not DATE: '2026-13-45'"),
    ("id", "", "has no value"),
    ("id", "1.5", "is not INT64: '1.5'"),
)


def test_values_that_do_not_fit(run: Run, bills: TableSchema, a_file: Any) -> None:
    """Each line has one, and the first line fits."""
    empty = {"id": "1", "day": "", "cost": ""}
    lines = [",".join((empty | {column: value}).values()) for column, value, _ in VALUES]
    file = a_file("\n".join(["id,day,cost", "1,2026-01-01,0.100", *lines, ""]), bad_rows="set_aside")

    async def body(warehouse: Warehouse) -> None:
        found = await read(warehouse, bills, file)
        assert found.rows == 1
        for number, (row, (column, _, said)) in enumerate(zip(found.bad, VALUES, strict=True), 3):
            assert (row.line, list(row.problems)) == (number, [column])
            assert row.problems[column].startswith(said)

    run(body)


def test_a_file_with_a_wrong_value_is_refused_with_its_line(run: Run, bills: TableSchema, a_file: Any) -> None:
    text = 'id,note,cost\n1,"two\nlines",1\n\n,x,y\n'
    said = "bill.csv: line 5: column 'id' has no value; column 'cost' is not BIGNUMERIC"
    assert said in refused(run, bills, a_file(text))


def test_a_column_that_the_table_lacks_is_refused_unless_kept(run: Run, bills: TableSchema, a_file: Any) -> None:
    file = a_file("id,nota\n1,x\n", rest="", optional=frozenset({"day", "at", "cost", "note", "others"}))
    assert "the column 'nota' matches no column of bills" in refused(run, bills, file)


def test_a_renamed_column_is_missed(run: Run, bills: TableSchema, a_file: Any) -> None:
    file = a_file("id,day,at,price,note\n1,,,2,\n", optional=frozenset())
    assert "there is no column 'cost'" in refused(run, bills, file)


def test_rows_that_do_not_fit_are_set_aside(run: Run, bills: TableSchema, a_file: Any) -> None:
    text = 'id,day,cost,note\n1,2026-01-01,1,"a\nb"\nx,2026-13-01,2,c\n3,2026-01-01,abc,d\n4,2026-01-01,4,e\n'

    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        found = await stage.write_file(0, a_file(text, bad_rows="set_aside"))
        assert found.rows == 2
        assert [(each.line, sorted(each.problems)) for each in found.bad] == [(4, ["day", "id"]), (5, ["cost"])]
        assert '"cost":"abc"' in found.bad[1].content
        await warehouse.load(a_load(bills), stage)
        assert [row[0] for row in await rows_of(warehouse, ALL)] == [1, 4]

    run(body)


def test_too_many_or_only_bad_rows_stop_a_file(run: Run, bills: TableSchema, a_file: Any) -> None:
    text = "id\n1\nx\ny\nz\n"
    assert "more than 2 rows do not fit" in refused(run, bills, a_file(text, bad_rows="set_aside", bad_rows_max=2))
    assert "none of its 1 rows fits" in refused(run, bills, a_file("id\nx\n", bad_rows="set_aside"))


def test_only_allowed_values_and_given_formats(run: Run, bills: TableSchema, a_file: Any) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        text = "id,day,at,note\n1,02/01/2026,2026-01-02,USD\n2,02/01/2026,,EUR\n3,02/01/2026,2026-01-03,USD\n"
        file = a_file(
            text,
            formats={"day": "%d/%m/%Y"},
            allowed={"note": ("USD",)},
            between={"at": (JAN_2, JAN_2)},
            bad_rows="set_aside",
            constants={"others": "k", "cost": "1.5"},
            rest="",
        )
        found = await stage.write_file(0, file)
        assert [each.problems for each in found.bad] == [
            {"note": "is not one of USD: 'EUR'"},
            {"at": "is not TIMESTAMP 2026-01-02: '2026-01-03'"},
        ]
        await warehouse.load(a_load(bills), stage)
        assert await rows_of(warehouse, ALL) == [(1, date(2026, 1, 2), Decimal("1.5"), "USD", "k")]

    run(body)


def test_rows_of_other_days_may_be_left_to_others(run: Run, bills: TableSchema, a_file: Any) -> None:
    async def body(warehouse: Warehouse) -> None:
        stage = warehouse.stage("acme_prod", bills, "s")
        text = "id,day\n1,2026-01-01\n2,2026-01-02\nx,2026-01-03\n"
        file = a_file(text, between={"day": (JAN_1, JAN_1)}, outside="skip")
        assert (await stage.write_file(0, file)).rows == 1
        await warehouse.load(a_load(bills), stage)
        assert [row[0] for row in await rows_of(warehouse, ALL)] == [1]

    run(body)
