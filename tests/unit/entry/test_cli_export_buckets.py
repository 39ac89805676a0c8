"""`convergence export focus` to buckets of each cloud: a period is replaced as a whole, with the manifest last."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from convergence.errors import Transient
from convergence.processors.focus.export.places import Below
from tests.unit.entry.buckets import Bucket, azure, gcs, s3
from tests.unit.entry.conftest import Cli
from tests.unit.processors.focus_exports import plain_name

FOLDER = "focus/1.4/2026-11"
CHARGE = """
pipeline_id: "{org_slug}-shop-charge"
provider: shop
parameters:
  cost: {type: string, required: true}
steps:
  - step_id: load_charge
    ps_type: generic.bq_execute
    config:
      query: |
        INSERT INTO cost_data_standard_1_3 (BilledCost, EffectiveCost, BillingAccountId, BillingCurrency,
          BillingPeriodStart, BillingPeriodEnd, ChargePeriodStart, ChargePeriodEnd, ChargeCategory, InvoiceIssuerName,
          ProviderName, PublisherName, ServiceCategory, ServiceName, ServiceProviderName, x_ChargeId,
          x_pipeline_run_date)
        SELECT NUMERIC '{cost}', 0, 'org-1', 'USD', TIMESTAMP '2026-11-01', TIMESTAMP '2026-12-01',
          TIMESTAMP '2026-11-02', TIMESTAMP '2026-11-03', 'Usage', 'OpenAI', 'p', 'p', 's', 's', 'p', '{cost}',
          DATE '2026-11-02'
"""


def delivered(files: Mapping[str, bytes]) -> tuple[dict[str, Any], set[str], list[str]]:
    """Return the data sets of the manifest, those whose file is the one it names, and the costs in the charges."""
    datasets: dict[str, Any] = json.loads(files[f"{FOLDER}/manifest.json"])["datasets"]
    charges = files[f"{FOLDER}/{datasets['CostAndUsage']['file']}"]
    whole = {
        name
        for name, facts in datasets.items()
        if hashlib.sha256(files[f"{FOLDER}/{facts['file']}"]).hexdigest() == facts["sha256"]
    }
    rows = csv.DictReader(io.StringIO(charges.decode()))
    return datasets, whole, sorted(row["BilledCost"] for row in rows)


@pytest.mark.parametrize("cloud", [s3, gcs, azure])
def test_a_period_is_replaced_and_a_failure_on_the_way_leaves_the_delivery_before(
    cli: Cli, configs: Path, monkeypatch: pytest.MonkeyPatch, cloud: Callable[[], AbstractContextManager[Bucket]]
) -> None:
    with cloud() as bucket:
        registry = configs / "system/providers.yml"
        assert bucket.anchor in registry.read_text()
        registry.write_text(registry.read_text().replace(bucket.anchor, bucket.registry, 1))
        (configs / "shop/charge.yml").write_text(CHARGE.lstrip())
        assert cli("org", "create", "acme").code == 0
        monkeypatch.setenv("KEY", bucket.key)
        stored = cli("run", "acme", bucket.setup, "--secret-from-env", "api_key=KEY")
        assert stored.code == 0, stored.out + stored.err

        def export(form: str = "csv") -> int:
            done = cli("export", "focus", "acme", "--from", "2026-11", "--format", form, "--to-url", bucket.address)
            assert bucket.key not in done.out + done.err
            return done.code

        def charge(cost: str) -> None:
            day = ("-p", "start_date=2026-11-02", "-p", "end_date=2026-11-02", "-p", f"cost={cost}")
            added = cli("run", "acme", "shop/charge", *day)
            assert added.code == 0, added.out + added.err

        assert export() == 0  # no charge yet, and the table is made
        charge("1.25")
        assert cli("period", "close", "acme", "2026-11", "OpenAI", "org-1").code == 0
        assert export() == 0
        before = dict(bucket.files())
        datasets, whole, costs = delivered(before)
        assert (set(datasets), costs) == ({"BillingPeriod", "CostAndUsage"}, ["1.25"])
        assert whole == set(datasets)
        assert datasets["CostAndUsage"]["sums"]["USD"]["BilledCost"] == "1.25"
        assert cli("period", "reopen", "acme", "2026-11", "OpenAI", "org-1", "--reason", "late rows").code == 0
        charge("2.5")

        put = Below.put

        def broken_at(name: str) -> None:
            async def stop(self: Below, path: str, content: Path) -> None:
                if name in path:
                    raise Transient("the connection is lost")
                await put(self, path, content)

            monkeypatch.setattr(Below, "put", stop)

        broken_at("CostAndUsage")
        assert export() != 0
        assert dict(bucket.files()) == before
        broken_at("manifest.json")
        assert export() != 0
        after = dict(bucket.files())
        assert after[f"{FOLDER}/manifest.json"] == before[f"{FOLDER}/manifest.json"]
        assert len(after) > len(before)
        assert delivered(after) == delivered(before), "the manifest's delivery is whole"
        charge("4")
        monkeypatch.setattr(Below, "put", put)
        assert export() == 0
        datasets, whole, costs = delivered(bucket.files())
        assert (whole, costs) == (set(datasets), ["1.25", "2.5", "4"])
        assert len(bucket.files()) == len(datasets) + 1, "the interrupted export's files are gone"
        assert export("parquet") == 0
        names = {f"{FOLDER}/{name}" for name in ("BillingPeriod.parquet", "CostAndUsage.parquet", "manifest.json")}
        exported = {plain_name(name, content) for name, content in bucket.files().items()}
        assert (exported, len(bucket.files())) == (names, 3), "what the manifest does not name is gone"
