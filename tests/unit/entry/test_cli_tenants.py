"""Keys, integrations and procedures on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.unit.entry.conftest import Cli


def test_a_key_is_printed_once_listed_rotated_and_revoked(acme: Cli) -> None:
    made = acme("key", "create", "acme", "--name", "ci", "--scope", "run", "--days", "90")
    assert made.out.startswith("cvk_")
    (key,) = acme("key", "list", "acme", "--json").data["keys"]
    assert (key["name"], key["scopes"], key["revoked_at"]) == ("ci", ["run"], None)
    assert made.out.strip() not in acme("key", "list", "acme").out
    assert acme("key", "rotate", "acme", key["key_id"], "--overlap-hours", "1", "--json").data["scopes"] == ["run"]
    assert acme("key", "revoke", "acme", key["key_id"]).code == 0
    assert acme("key", "list", "acme", "--json").data["keys"][0]["revoked_at"] is not None
    assert acme("key", "revoke", "acme", "key_0").code == 2
    assert acme("key", "create", "nobody").code == 2


def test_an_integration_is_a_run_of_the_providers_own_pipeline(acme: Cli) -> None:
    unknown = acme("integration", "validate", "acme", "opneai")
    assert (unknown.code, "Did you mean 'openai'" in unknown.err) == (2, True)
    refused = acme("integration", "setup", "acme", "open_ai", "-p", "api_key=sk")
    assert (refused.code, "is a secret" in refused.err) == (2, True)
    acme("run", "acme", "shop/key", "--secret-from-env", "api_key=HOME")
    (credential,) = acme("integration", "list", "acme", "--json").data["credentials"]
    assert (credential["provider"], credential["default"]) == ("shop", True)
    assert acme("integration", "delete", "acme", "openai", credential["credential_id"]).code == 2
    assert acme("integration", "reseal", "acme").out == "resealed 0\n", "a key file has one version"
    assert acme("integration", "reseal", "nobody").code == 2


def test_procedures_are_brought_to_what_the_files_say(acme: Cli) -> None:
    before = acme("procedures", "list", "--json").data["procedures"]
    assert {each["state"] for each in before} == {"missing"}
    assert acme("procedures", "sync", "--json").data["synced"] == [each["name"] for each in before]
    assert acme("procedures", "sync").out == "nothing has changed\n"
    assert acme("procedures", "delete", before[0]["name"]).code == 0
    after = {each["name"]: each["state"] for each in acme("procedures", "list", "--json").data["procedures"]}
    assert after.pop(before[0]["name"]) == "missing"
    assert set(after.values()) == {"current"}


def test_migrations_run_once_in_every_orgs_dataset(acme: Cli, configs: Path) -> None:
    assert acme("migrate").out == "nothing to migrate\n"
    folder = configs / "system" / "migrations"
    folder.mkdir()
    (folder / "001_notes.sql").write_text("CREATE TABLE notes (text STRING);")
    (folder / "002_kind.sql").write_text("ALTER TABLE notes ADD COLUMN IF NOT EXISTS kind STRING;")
    assert acme("migrate", "--dry-run").out == "acme_dev  001_notes\nacme_dev  002_kind\n"
    assert acme("migrate", "001_notes", "--json").data["migrated"] == {"acme_dev": ["001_notes"]}
    assert acme("migrate").out == "acme_dev  002_kind\n"
    assert acme("query", "acme", "SELECT kind FROM notes", "--json").data["rows"] == []
    assert acme("migrate", "003").code == 2


def test_a_configs_folder_with_one_pipeline_is_enough(cli: Cli, configs: Path, tmp_path: Path) -> None:
    shutil.rmtree(configs)
    (configs / "mine").mkdir(parents=True)
    (configs / "mine" / "hello.yml").write_text(
        "pipeline_id: hello\nprovider: mine\nsteps:\n"
        "  - {step_id: say, ps_type: generic.bq_execute, config: {query: SELECT 1 AS one}}\n"
    )
    assert cli("validate").code == 0
    assert cli("org", "create", "acme").code == 0
    ran = cli("run", "acme", "mine/hello", "--wait")
    assert ran.code == 0, ran.err
    assert cli("query", "acme", "SELECT COUNT(*) AS runs FROM org_meta_pipeline_runs").code == 0


def test_new_columns_reach_tables_that_exist_and_a_changed_type_is_reported(acme: Cli, configs: Path) -> None:
    assert acme("run", "acme", "example/hello", "--wait").code == 0  # makes the log tables
    (configs / "system" / "migrations").mkdir()
    (configs / "system" / "migrations" / "001.sql").write_text("CREATE TABLE shop_orders_daily_raw (id INT64);")
    assert acme("migrate").code == 0
    assert acme("schemas", "sync").out == "nothing to add\n"
    log = configs / "system" / "schemas" / "org_meta_pipeline_runs.json"
    own = configs / "shop" / "schemas" / "shop_orders_daily_raw.json"
    changed = json.loads(log.read_text())
    changed["fields"].append({"name": "cost_centre", "type": "STRING", "mode": "NULLABLE"})
    log.write_text(json.dumps(changed))
    own.parent.mkdir()
    own.write_text(json.dumps([{"name": "id", "type": "INT64"}, {"name": "buyer", "type": "STRING"}]))
    dry = acme("schemas", "sync", "--dry-run", "--json").data["added"]
    assert dry.pop("acme_dev.shop_orders_daily_raw")[0] == "buyer"
    assert dry == {"organizations.org_meta_pipeline_runs": ["cost_centre"]}
    assert acme("query", "acme", "SELECT buyer FROM shop_orders_daily_raw").code != 0
    done = acme("schemas", "sync", "--json")
    assert (done.code, done.data["failed"], len(done.data["added"])) == (0, {}, 2), done
    assert acme("query", "acme", "SELECT buyer FROM shop_orders_daily_raw").code == 0
    assert acme("schemas", "sync").out == "nothing to add\n"
    own.write_text(json.dumps([{"name": "id", "type": "STRING"}, {"name": "more", "type": "STRING"}]))
    failed = acme("schemas", "sync", "--json")
    assert (failed.code, list(failed.data["failed"])) == (1, ["acme_dev.shop_orders_daily_raw"])
    assert "id" in failed.data["failed"]["acme_dev.shop_orders_daily_raw"]
