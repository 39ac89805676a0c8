"""`convergence export focus`: files of whole periods, from this machine's data; what is refused."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.unit.entry.conftest import Cli
from tests.unit.processors.focus_exports import names_of

PERIOD = Path("focus/1.4/2026-11")


def test_a_period_without_charges_is_written_and_says_so(acme: Cli) -> None:
    done = acme("export", "focus", "acme", "--from", "2026-11", "--format", "csv", "--to-url", "focus")
    manifest = json.loads((PERIOD / "manifest.json").read_text())
    charges = PERIOD / manifest["datasets"]["CostAndUsage"]["file"]
    assert (done.code, done.out) == (0, f"{charges}: 0 rows, billed 0\n")
    with charges.open(newline="") as file:
        assert next(csv.reader(file))[:2] == ["AllocatedMethodDetails", "AllocatedMethodId"]
    assert manifest["billing_period_end"] == "2026-12-01T00:00:00Z"
    assert (manifest["delivery_handling"], manifest["correction_handling"]) == ("Overwrite", "Replacement")


def test_parquet_replaces_csv_and_each_period_has_its_folder(acme: Cli) -> None:
    folder = Path.cwd().as_uri() + "/focus"
    for form in ("csv", "parquet"):
        asked = ("--from", "2026-11-30", "--to", "2026-12", "--format", form, "--to-url", folder, "--json")
        done = acme("export", "focus", "acme", *asked)
        assert [each["path"] for each in done.data["periods"]] == ["1.4/2026-11", "1.4/2026-12"]
    assert names_of(PERIOD) == ["CostAndUsage.parquet", "manifest.json"]


def test_a_bucket_takes_the_files_with_the_orgs_credential(
    cli: Cli, configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        registry, line = configs / "system/providers.yml", "    display_name: AWS\n"
        registry.write_text(registry.read_text().replace(line, f"{line}    api_base_url: {url}\n"))
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=url, **keys)
        client.create_bucket(Bucket="finance")
        assert cli("org", "create", "acme").code == 0
        monkeypatch.setenv("KEYS", json.dumps({"access_key_id": "AKIATEST", "secret_access_key": "secret-of-acme"}))
        assert cli("run", "acme", "aws/auth/setup", "--secret-from-env", "api_key=KEYS").code == 0
        place = "s3://finance/focus?region=us-east-1"
        done = cli("export", "focus", "acme", "--from", "2026-11", "--format", "csv", "--to-url", place)
        assert done.code == 0
        charges, manifest = (each["Key"] for each in client.list_objects_v2(Bucket="finance")["Contents"])
        assert manifest == f"{PERIOD}/manifest.json"
        assert re.fullmatch(rf"{PERIOD}/CostAndUsage-[0-9a-f]{{12}}\.csv", charges)
        assert done.out == f"s3://finance/{charges}: 0 rows, billed 0\n"
        client.close()
    finally:
        server.stop()


def test_what_cannot_be_exported_is_refused(acme: Cli) -> None:
    def refused(*argv: str) -> str:
        done = acme("export", "focus", *argv)
        assert done.code == 2
        return done.err

    where = ("--to-url", "focus")
    assert "2026-13" in refused("acme", "--from", "2026-13", *where)
    assert "9999-12" in refused("acme", "--from", "9999-12", *where)
    assert "has no day" in refused("acme", "--from", "2026-11", "--to", "2026-10", *where)
    assert "not an address of a bucket" in refused("acme", "--from", "2026-11", "--to-url", "ftp://bucket/focus")
    assert "no credential for 'aws'" in refused("acme", "--from", "2026-11", "--to-url", "s3://bucket/focus")
    gcp = ("--credential", "gemini")
    assert "no credential for 'gemini'" in refused("acme", "--from", "2026-11", "--to-url", "gs://bucket", *gcp)
    assert "Did you mean 'acme'" in refused("acmee", "--from", "2026-11", *where)
    assert not Path("focus").exists()


def test_the_pipeline_writes_the_same_files_below_the_orgs_folder(acme: Cli) -> None:
    assert acme("period", "close", "acme", "2026-11", "OpenAI", "org-1").code == 0
    days = ("-p", "start_date=2026-11-01", "-p", "end_date=2026-11-30")
    ran = acme("run", "acme", "focus/export", *days, "--force")
    assert ran.code == 0, ran.out + ran.err
    assert acme("export", "focus", "acme", "--from", "2026-11", "--to-url", "focus").code == 0
    (written,) = Path(".convergence").rglob("exports/1.4/2026-11")
    names = ["BillingPeriod.parquet", "CostAndUsage.parquet", "manifest.json"]
    assert names_of(written) == names
    own, pipelines = (json.loads((folder / "manifest.json").read_text()) for folder in (PERIOD, written))
    assert own["datasets"] == pipelines["datasets"]
