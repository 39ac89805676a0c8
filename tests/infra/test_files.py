"""What can be read from infra/*.tf without Terraform; these tests always run."""

from __future__ import annotations

import re
from typing import Any

import hcl2
import pytest

from convergence.adapters.gcp.roles import OWN_ROLES
from infra import declared
from infra.project import ROOT
from tests.emulators.topology import functions
from tests.infra.files import FILES, INFRA, RESOURCES
from tests.infra.grants import GRANTS

FUNCTIONS = functions()


def test_what_terraform_gets_from_the_code_is_current() -> None:
    assert declared.FILE.read_text("utf-8") == declared.text(), "run: python -m infra.declared"


def test_functions_come_from_their_files_alone() -> None:
    text = "".join(path.read_text("utf-8") for path in FILES)
    for name in FUNCTIONS:
        if name not in {"dispatcher", "notifier", "scheduler", "webhook"}:  # outputs, alerts and log metrics name these
            assert not re.search(rf'"{name}"', text), f"{name} is named in HCL: adding a function must not touch it"
    for kind in ("google_cloudfunctions2_function.function", "google_service_account.function"):
        assert RESOURCES[kind]["for_each"] == "${local.functions}"
    assert RESOURCES["google_pubsub_subscription.push"]["for_each"] == "${local.triggers}"


def test_each_push_is_signed() -> None:
    (push,) = RESOURCES["google_pubsub_subscription.push"]["push_config"]
    (token,) = push["oidc_token"]
    assert token["service_account_email"] == "${google_service_account.push.email}"
    assert token["audience"] == "${local.urls[each.value.function]}"
    assert push["push_endpoint"].strip('"').startswith(token["audience"])


def test_every_switched_on_api_is_needed_and_every_needed_one_is_switched_on() -> None:
    (apis,) = (each["apis"] for each in _locals("project.tf") if "apis" in each)
    listed = {api.strip('"') for api in apis}
    # What a resource's name begins with → the API that makes it.
    made_by = {
        "google_artifact_registry": "artifactregistry", "google_bigquery": "bigquery", "google_kms": "cloudkms",
        "google_billing": "billingbudgets", "google_cloudfunctions2": "cloudfunctions", "google_firestore": "firestore",
        "google_cloud_scheduler": "cloudscheduler", "google_cloud_run": "run", "google_logging": "logging",
        "google_monitoring": "monitoring", "google_pubsub": "pubsub", "google_secret_manager": "secretmanager",
        "google_service_account": "iam", "google_project_iam": "cloudresourcemanager",
    }  # fmt: skip
    needed = {api for prefix, api in made_by.items() if any(name.startswith(prefix) for name in RESOURCES)}
    assert needed | {"cloudbuild", "storage"} == listed  # these build the functions out of their packages


def test_what_terraform_asks_before_it_makes_anything_is_switched_on_by_hand() -> None:
    """`data.google_project` is read by the first plan, when no API that the plan switches on is there yet."""
    first = (ROOT / "docs" / "deploy.md").read_text("utf-8").partition("terraform -chdir=infra init")[0]
    for api in ("cloudresourcemanager", "serviceusage"):
        assert f"{api}.googleapis.com" in first.partition("gcloud services enable")[2]


def test_the_account_of_cloud_build_may_grant_what_terraform_grants() -> None:
    """roles/editor changes no policy of a resource, so each kind of grant needs a role of its own."""
    granting = {
        "google_project_iam": "resourcemanager.projectIamAdmin", "google_pubsub": "pubsub.admin",
        "google_service_account_iam": "iam.serviceAccountAdmin", "google_kms": "cloudkms.admin",
        "google_bigquery": "bigquery.dataOwner", "google_cloud_run": "run.admin",
        "google_secret_manager": "secretmanager.admin",
    }  # fmt: skip
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    listed = set(re.findall(r"`roles/([\w.]+)`", page.partition("## Cloud Build")[2].partition("\n## ")[0]))
    for kind in {name.partition(".")[0] for name in RESOURCES if "_iam_member." in name}:
        (role,) = [role for prefix, role in granting.items() if kind.startswith(prefix)]
        assert role in listed, kind


def test_the_runbooks_have_a_section_for_each_alert() -> None:
    text = (INFRA / "monitoring.tf").read_text("utf-8")
    policies = [body for name, body in RESOURCES.items() if name.startswith("google_monitoring_alert_policy.")]
    own = {body["display_name"].strip('"') for body in policies} - {"${each.key}", "Messages in ${each.key}"}
    (thresholds,) = re.findall(r"thresholds = \{\n(.*?)\n  \}\n", text, re.DOTALL)
    topics = {trigger.dead_letter_topic for file in FUNCTIONS.values() for trigger in file.triggers} - {None}
    names = (
        own | set(re.findall(r'^    "([^"]+)" = \{', thresholds, re.MULTILINE)) | {f"Messages in {t}" for t in topics}
    )
    assert len(names) > 8
    page = (ROOT / "docs" / "runbooks.md").read_text("utf-8")
    assert names <= set(re.findall(r"^## (.+)$", page, re.MULTILINE))


def _locals(file: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hcl2.loads((INFRA / file).read_text("utf-8"))["locals"]
    return found


@pytest.mark.parametrize("name", ["dev", "stage", "prod"])
def test_each_environment_has_its_variables_and_its_state(name: str) -> None:
    given = hcl2.loads((INFRA / "envs" / f"{name}.tfvars").read_text("utf-8"))
    declared_names = {
        each.strip('"') for block in hcl2.loads((INFRA / "variables.tf").read_text())["variable"] for each in block
    }
    assert {key for key in given if not key.startswith("__")} <= declared_names
    backend = (INFRA / "envs" / f"{name}.gcs.tfbackend").read_text()
    assert given["releases_bucket"].strip('"') in backend
    assert (given["protect"] in {True, "true"}) == (name == "prod")


def test_the_page_lists_what_each_functions_account_may_do() -> None:
    page = (ROOT / "docs" / "google-cloud.md").read_text("utf-8")
    for word, roles in GRANTS.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{word}` |")]
        assert set(re.findall(r"`(roles/[\w.]+|convergence[A-Z]\w+)`", line)) == roles
        users = {name for name, file in FUNCTIONS.items() if word in file.access}
        assert set(re.findall(r"`([a-z_]+)`", line.rsplit("|", 2)[1])) == users
    for role, permissions in OWN_ROLES.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{role}` |")]
        assert [f"bigquery.{name}" for name in re.findall(r"`([a-z]+\.\w+)`", line)] == list(permissions)
