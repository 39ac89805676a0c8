"""`generic.file_extractor`: deliveries are whole, newer, not smaller; files are read as they are or refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence.processors.generic.file_extractor import FileExtractor
from convergence.sandbox.http import Request, Response
from tests.unit.processors.file_world import HEAD, MONTH, FileWorld, day_rows, gz, month
from tests.unit.processors.step_world import WorldWarehouse

JAN_1 = date(2026, 1, 1)
MANIFEST = {**MONTH, "delivery": "aws_export", "source": {"kind": "folder", "path": "bills/"}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FileWorld]:
    made = FileWorld(tmp_path)
    yield made
    made.embedded.close()


def manifest(world: FileWorld, *names: str, run: str = "run-1", at: int = 1_760_000_000) -> None:
    text = json.dumps({"executionId": run, "dataFiles": [f"bills/data/{name}" for name in names]})
    world.put("bills/metadata/BILLING_PERIOD=2026-01/bill-Manifest.json", text, at=at)


def zipped(text: str, count: int = 1) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(f"{number}.csv", text)
    return data.getvalue()


def zstd(text: str) -> bytes:
    from backports import zstd as backport

    return backport.compress(text.encode())


def test_all_files_of_a_folder_are_one_delivery(world: FileWorld) -> None:
    world.put("bills/1.csv", "\ufeff" + month("1,2026-01-01,2026-01-03,0.1,USD"))
    world.put("bills/2.csv.gz", gz(month('2,2026-01-01,2026-01-04,-1E-3,USD,"=cmd()"', head=HEAD[:-1] + ",Tag\n")))
    said = world.refused()
    assert "bills/2.csv.gz: its columns are not those of bills/1.csv: Tag" in said
    world.put("bills/1.csv", month("1,2026-01-01,2026-01-03,0.1,USD,", head=HEAD[:-1] + ",Tag\n"))
    world.put("bills/3.csv", "")
    result = world.run()
    assert (result["rows_processed"], result["rows_written"], result["files"]) == (2, 2, 3)
    assert world.rows() == [(1, date(2026, 1, 3), Decimal("0.1")), (2, date(2026, 1, 4), Decimal("-0.001"))]
    [(tag, run_date)] = world.rows("SELECT other_fields, x_pipeline_run_date FROM acme_bills_raw WHERE id = 2")
    assert (json.loads(tag), run_date) == ({"x_Tag": "=cmd()"}, JAN_1)
    assert world.run()["rows_written"] == 2
    assert len(world.rows()) == 2


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv.gz", gz(day_rows(1))),
        ("a.csv.gz", gz(day_rows(1)[:20]) + gz(day_rows(1)[20:])),  # in two members
        ("a.zip", zipped(day_rows(1))),
        ("a.csv.zst", zstd(day_rows(1))),
        ("a.csv", day_rows(1).encode("utf-16")),
        ("a.csv", day_rows(1).replace("\n", "\r\n").encode()),
        ("a.ndjson", b'{"id": 1, "period": "2026-01-01", "day": "2026-01-01", "cost": 1.5, "currency": "USD"}\n'),
    ],
)
def test_a_file_is_read_as_it_is(world: FileWorld, name: str, data: bytes) -> None:
    world.put(f"bills/{name}", data)
    config = {**MONTH, "format": "csv"} if name.endswith(".zip") else MONTH
    assert world.run(config)["rows_written"] == 1
    assert world.rows() == [(1, JAN_1, Decimal("1.5"))]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv.gz", gz(day_rows(*range(1, 29)))[:-20], "bills/a.csv.gz: the compressed data is truncated"),
        ("a.csv.gz", gz(day_rows(1))[:30] + b"\0" * 30, "bills/a.csv.gz: Error"),
        ("a.csv.zst", zstd(day_rows(*range(1, 29)))[:-20], "bills/a.csv.zst: "),
        ("a.csv.zip", zipped(day_rows(1), count=2), "bills/a.csv.zip: the archive holds 2 files"),
        ("a.csv", month("1,2026-01-01,,1,USD").encode() + b"2,2026-01-01,,1,\xe9\n", "line 3: the bytes are not utf-8"),
        ("a.csv", b"id,period\n1,\x002026-01-01\n", "bills/a.csv: line 2: it contains a NUL"),
        ("a.dat", day_rows(1).encode(), "bills/a.dat: its format is not evident from its name"),
        (
            "a.csv",
            month("1,2026-02-01,,1,USD").encode(),
            "line 2: column 'period' is not DATE 2026-01-01: '2026-02-01'",
        ),
        ("a.csv", month("1,2026-01-01,,NaN,USD").encode(), "line 2: column 'cost' is not BIGNUMERIC: 'NaN'"),
        ("a.csv", gz("id,period\n" + "1,2026-01-01\n" * 90_000), "it is larger than 1 MiB"),
    ],
)
def test_what_cannot_be_read_changes_nothing(world: FileWorld, name: str, data: bytes, said: str) -> None:
    world.put("bills/0.csv", day_rows(1, 2))
    world.run()
    world.take_away()
    world.put(f"bills/{name}", data, at=1_770_000_000)
    assert said in world.refused({**MONTH, "file_mib_max": 1, "optional_columns": ["*"]})
    assert len(world.rows()) == 2


def test_an_encoding_that_is_said(world: FileWorld) -> None:
    world.put("bills/a.csv", month("1,2026-01-01,,1,\u20ac").encode("cp1252"))
    world.run({**MONTH, "encoding": "cp1252"})
    assert world.rows("SELECT currency FROM acme_bills_raw") == [("\u20ac",)]
    assert "'klingon' is not an encoding" in world.refused({**MONTH, "encoding": "klingon"})


def test_a_manifest_says_which_files_are_a_delivery(world: FileWorld) -> None:
    world.put("bills/data/1.csv", day_rows(1))
    world.put("bills/data/2.csv", day_rows(2, first=2))
    world.put("bills/data/of-an-earlier-run.csv", day_rows(1, 2))
    manifest(world, "1.csv", "2.csv")
    assert world.run(MANIFEST)["deliveries"] == ["2026-01-01 run-1"]
    assert [row[0] for row in world.rows()] == [1, 2]


def test_a_missing_part_changes_nothing(world: FileWorld) -> None:
    world.put("bills/data/1.csv", day_rows(1))
    manifest(world, "1.csv")
    world.run(MANIFEST)
    world.put("bills/data/1.csv", day_rows(1, 2, 3))
    manifest(world, "1.csv", "2.csv", run="run-2", at=1_770_000_000)
    assert "bills/data/2.csv does not exist: a part of this delivery is missing" in world.refused(MANIFEST)
    assert len(world.rows()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"dataFiles": ["bills/data/1.csv", "bills/data/1.csv"]}', "it lists bills/data/1.csv twice"),
        ('{"dataFiles": ["s3://other/bills/1.csv"]}', "is not in the bucket of the manifest"),
        ('{"files": []}', "neither dataFiles nor reportKeys lists files; it has files"),
        ('{"dataFiles": [', "this is not JSON"),
    ],
)
def test_a_manifest_that_is_wrong(world: FileWorld, text: str, said: str) -> None:
    world.put("bills/data/1.csv", day_rows(1))
    world.put("bills/metadata/BILLING_PERIOD=2026-01/bill-Manifest.json", text)
    assert said in world.refused(MANIFEST)


def test_an_older_delivery_replaces_no_newer_one(world: FileWorld) -> None:
    world.put("bills/data/1.csv", day_rows(1, 2))
    manifest(world, "1.csv", run="new", at=1_770_000_000)
    world.run(MANIFEST)
    world.put("bills/data/1.csv", day_rows(1, 2, 3))
    manifest(world, "1.csv", run="old", at=1_760_000_000)
    assert "is older than the stored one of 2026-02-02" in world.refused(MANIFEST)
    assert len(world.rows()) == 2


def test_fewer_days_need_a_word(world: FileWorld) -> None:
    world.put("bills/1.csv", day_rows(1, 2, 3))
    world.run()
    world.put("bills/1.csv", day_rows(1, 2), at=1_770_000_000)
    assert "rows of 2 days, 3 are stored; nothing was changed" in world.refused()
    assert len(world.rows()) == 3
    world.run({**MONTH, "allow_shrink": True})
    assert len(world.rows()) == 2


def test_azure_manifests_say_sizes_and_rows(world: FileWorld) -> None:
    data = day_rows(1, 2)
    blob = {"blobName": "bills/20260101-20260131/r1/part_0.csv", "byteCount": len(data), "dataRowCount": 2}
    run = {"runId": "r1", "submittedTime": "2026-01-20T10:00:00.1234567Z"}
    config = {**MONTH, "delivery": "azure_export"}

    def deliver(**changes: int) -> None:
        text = json.dumps({"blobs": [blob | changes], "runInfo": run})
        world.put("bills/20260101-20260131/r1/manifest.json", text)

    world.put(str(blob["blobName"]), data)
    deliver(byteCount=9)
    assert f"{len(data)} bytes arrived; 9 are listed" in world.refused(config)
    deliver(dataRowCount=3)
    assert "it has 2 rows, but the manifest lists 3" in world.refused(config)
    deliver()
    assert world.run(config)["deliveries"] == ["2026-01-01 r1"]


def test_rows_that_do_not_fit_are_set_aside_once(world: FileWorld) -> None:
    rows = ("1,2026-01-01,2026-01-02,NaN,USD", "2,2025-12-01,2026-01-02,1,USD", "3,2026-01-01,2026-01-02,1,EUR")
    world.put("bills/1.csv", month(*rows, "4,2026-01-01,2026-01-02,1,USD"))
    config = {**MONTH, "on_bad_row": "quarantine", "allowed": {"currency": ["USD"]}}
    for _ in range(2):
        result = world.run(config)
        assert (result["rows_processed"], result["rows_written"], result["rows_quarantined"]) == (4, 1, 3)
    reasons = [reason for (reason,) in world.rows("SELECT reason FROM org_meta_quarantine_rows ORDER BY reason")]
    assert reasons == [
        "bills/1.csv: line 2: column 'cost' is not BIGNUMERIC: 'NaN'",
        "bills/1.csv: line 3: column 'period' is not DATE 2026-01-01: '2025-12-01'",
        "bills/1.csv: line 4: column 'currency' is not one of USD: 'EUR'",
    ]


def test_a_tag_map_of_500_keys_is_kept_whole(world: FileWorld) -> None:
    tags = json.dumps({f"key{number}": "=HYPERLINK(1)" for number in range(500)})
    quoted = tags.replace('"', '""')
    world.put("bills/1.csv", month(f'1,2026-01-01,,1,USD,"{quoted}"', head=HEAD[:-1] + ",Tags\n"))
    world.run()
    [(kept,)] = world.rows("SELECT other_fields FROM acme_bills_raw")
    assert json.loads(kept) == {"x_Tags": tags}


def test_only_the_folder_of_the_org_is_read(world: FileWorld, tmp_path: Path) -> None:
    (world.files / "other").mkdir()
    secret = tmp_path / "secret.csv"
    secret.write_text(day_rows(1))
    (world.files / "acme" / "bills" / "link.csv").symlink_to(secret)
    assert "there is no file below 'bills/'" in world.refused()
    outside = {**MONTH, "delivery": "aws_export"}
    world.put("bills/metadata/BILLING_PERIOD=2026-01/b-Manifest.json", '{"dataFiles": ["../other/1.csv"]}')
    (world.files / "other" / "1.csv").write_text(day_rows(1))
    assert "../other/1.csv is not a file of the folder" in world.refused(outside)


def test_each_month_of_the_run_is_a_delivery(world: FileWorld) -> None:
    source = {"kind": "folder", "path": "bills/%Y-%m/"}
    world.put("bills/2026-01/1.csv", day_rows(30, 31))
    february = month("7,2026-02-01,2026-01-31,2,USD", "8,2026-02-01,2026-02-01,2,USD")  # usage of the month before
    world.put("bills/2026-02/1.csv", february)
    days = {"start_date": date(2026, 1, 31), "end_date": date(2026, 2, 1)}
    for _ in range(2):
        assert world.run({**MONTH, "source": source}, **days)["rows_written"] == 4
        assert [row[0] for row in world.rows()] == [1, 2, 7, 8]


def test_files_of_days_without_a_period(world: FileWorld) -> None:
    config = {key: value for key, value in MONTH.items() if not key.startswith("period")}
    world.put("bills/1.csv", day_rows(10, 11))
    world.run(config)
    assert [row[1] for row in world.rows()] == [date(2026, 1, 10), date(2026, 1, 11)]


def test_settings_that_do_not_fit(world: FileWorld) -> None:
    assert "period needs period_column" in world.refused({**MONTH, "period_column": ""})
    assert "s3 needs a bucket" in world.refused({**MONTH, "source": {"kind": "s3"}})
    assert FileExtractor.config_model.model_validate({"secret": "acme"}).opens() == (("acme",),)


def web(path: str) -> dict[str, Any]:
    return {**MONTH, "source": {"kind": "https", "urls": [f"http://server{path}?signature=s3cret"]}}


def test_files_of_addresses(world: FileWorld) -> None:
    data, answers = gz(day_rows(10)), {"/1.csv.gz": 200, "/gone": 404, "/expired": 403, "/moved": 302, "/busy": 503}

    def answer(request: Request) -> Response:
        status = answers[request.path]
        return Response(status, data, {"last-modified": "Mon, 12 Jan 2026 10:00:00 GMT"} if status == 200 else {})

    world.answer = answer
    assert world.run(web("/1.csv.gz"))["rows_written"] == 1
    [(delivered,)] = world.rows("SELECT CAST(delivered_at AS STRING) FROM acme_bills_raw")
    assert delivered.startswith("2026-01-12 10:00:00")
    expected = {"/gone": "404", "/expired": "may have expired", "/moved": "302; redirects", "/busy": "answers 503"}
    for path, said in expected.items():
        message = world.refused(web(path))
        assert said in message
        assert "s3cret" not in message
    assert len(world.rows()) == 1


def test_an_address_that_sends_too_much_or_too_little(world: FileWorld) -> None:
    world.answer = lambda _: Response(200, b"x" * (2 << 20))
    assert "more than 1 MiB" in world.refused({**web("/1.csv"), "file_mib_max": 1})
    world.answer = lambda _: Response(200, day_rows(1).encode(), cut=True)
    assert "could not be read" in world.refused(web("/1.csv"))


def test_late_rows_come_in_files_of_the_next_month(world: FileWorld) -> None:
    """Reports of OCI: a row of January in a file of February is January's; February takes it not."""
    config = {**MONTH, "source": {"kind": "folder", "path": "bills/%Y/%m/%d/"}, "late_days": 3}
    world.put("bills/2026/01/31/1.csv", month("1,2026-01-01,2026-01-30,1,USD"))
    world.put("bills/2026/02/02/1.csv", month("2,2026-01-01,2026-01-31,2,USD", "3,2026-02-01,2026-02-01,4,USD"))
    world.put("bills/2026/02/20/1.csv", month("4,2026-02-01,2026-02-20,8,USD"))
    days = {"start_date": date(2026, 1, 31), "end_date": date(2026, 2, 1)}
    for _ in range(2):
        assert world.run(config, **days)["rows_written"] == 4
        by_month = "SELECT x_pipeline_run_date, SUM(cost) FROM acme_bills_raw GROUP BY 1 ORDER BY 1"
        assert world.rows(by_month) == [(JAN_1, Decimal(3)), (date(2026, 2, 1), Decimal(12))]
    world.put("bills/2026/02/03/1.csv", month("x,2026-01-01,2026-01-31,2,USD"))
    assert "line 2: column 'id' is not INT64" in world.refused(config, **days)


def test_files_in_one_folder_are_those_that_were_written_in_time(world: FileWorld) -> None:
    config = {**MONTH, "late_days": 3}
    world.put("bills/1.csv", month("1,2026-01-01,2026-01-30,1,USD"), at=1_769_900_000)  # 31 January
    world.put("bills/2.csv", month("2,2026-01-01,2026-01-31,2,USD"), at=1_770_000_000)  # 2 February
    world.put("bills/3.csv", month("3,2026-01-01,2026-01-31,4,USD"), at=1_771_000_000)  # 13 February
    assert world.run(config)["files"] == 2


def test_a_replay_of_an_append_asks_before_it_adds_again(world: FileWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a write that leaves the same rows when it is sent twice may be called repeatable."""
    asked: list[tuple[str, bool]] = []
    load = WorldWarehouse.load

    async def watched(self: WorldWarehouse, stage: Any, **given: Any) -> Any:
        asked.append((given["mode"], given.get("repeatable", False)))
        return await load(self, stage, **given)

    monkeypatch.setattr(WorldWarehouse, "load", watched)
    config = {key: value for key, value in MONTH.items() if not key.startswith("period")}
    world.put("bills/1.csv", day_rows(10))
    world.run(config, destination={"write_mode": "append"})
    assert asked == [("append", False)]
