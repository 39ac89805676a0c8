"""A deployment is compared with what the code declares: each fault is named, with its cure."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from convergence.adapters.gcp.deployment.bigquery import SHARED
from convergence.adapters.gcp.deployment.bindings import PROJECT_ROLES, SECRETS
from convergence.adapters.gcp.deployment.examine import LOOK, examine
from convergence.adapters.gcp.deployment.rest import Rest
from convergence.bootstrap.deployment import declared, examine_deployment
from convergence.domain.finding import Finding
from convergence.entry.cli.installation import DeploymentPlace
from convergence.errors import InvalidInput, Transient
from convergence.ports.deployment import Deployment
from tests.infra.grants import GRANTS
from tests.unit.adapters.bigquery_recorder import NOW, QuickClock
from tests.unit.adapters.google_project import AGENT, GROUPS, KEY, PROJECT, PUSH, ROOT, GoogleProject, account

PUBSUB = f"pubsub.googleapis.com/v1/projects/{PROJECT}"
POLICY = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:getIamPolicy"
FUNCTIONS = f"cloudfunctions.googleapis.com/v2/projects/{PROJECT}/locations/us-central1/functions"
TICK = f"cloudscheduler.googleapis.com/v1/projects/{PROJECT}/locations/us-central1/jobs/convergence-tick"
INDEXES = f"firestore.googleapis.com{GROUPS}/-/indexes"
ROOT_KEY = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets/convergence-root-key:getIamPolicy"
SERVICES = f"run.googleapis.com/v2/projects/{PROJECT}/locations/us-central1/services"
ROLE = f"iam.googleapis.com/v1/projects/{PROJECT}/roles/convergenceWarehouse"
DATASETS = f"bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets"
CHECKS = [
    "clock", "permissions", "roles", "datasets", "subscriptions", "dead letters", "pushes", "indexes", "key",
    "functions", "ticks",
]  # fmt: skip


def examined(project: GoogleProject) -> list[Finding]:
    at = Deployment(
        project=PROJECT,
        region="us-central1",
        kms_location="us",
        database="(default)",
        declared=declared(ROOT / "functions"),
    )

    async def token() -> str:
        return "token"

    async def work() -> list[Finding]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(project.answer)) as client:
            return await examine(at, Rest(client, token), QuickClock())

    return asyncio.run(work())


@pytest.mark.parametrize("page", [1_000_000, 3])
def test_a_project_where_everything_was_applied_has_no_fault(page: int) -> None:
    project = GoogleProject()
    project.now, project.page = NOW, page
    found = examined(project)
    assert [(each.check, each.cure) for each in found] == [(check, "") for check in CHECKS]
    assert found[-2].found == f"{len(project.functions)} are active, release 1.4.0"


def _drop(address: str, field: str) -> Callable[[GoogleProject], object]:
    return lambda project: project.answers[address].pop(field)


def _put(address: str, **fields: object) -> Callable[[GoogleProject], object]:
    return lambda project: project.answers[address].update(fields)


def _subscription(name: str, **fields: object) -> Callable[[GoogleProject], object]:
    return lambda project: project.subscription(name).update(fields)


def _push(name: str, **fields: object) -> Callable[[GoogleProject], object]:
    return lambda project: project.subscription(name)["pushConfig"].update(fields)


def _token(name: str, **fields: object) -> Callable[[GoogleProject], object]:
    return lambda project: project.subscription(name)["pushConfig"]["oidcToken"].update(fields)


def _without(project: GoogleProject, address: str, member: str) -> None:
    for each in project.answers[address]["bindings"]:
        each["members"] = [name for name in each["members"] if name != member]


def _conditional(project: GoogleProject) -> None:
    for each in project.answers[POLICY]["bindings"]:
        each["condition"] = {"expression": "request.time < timestamp('2020-01-01T00:00:00Z')"}


OWN = f"projects/{PROJECT}/roles"
STEP = f"serviceAccount:{account('step')}"
FAULTS: dict[str, tuple[Callable[[GoogleProject], object], str, str]] = {
    "role on the project": (
        lambda p: _without(p, POLICY, STEP),
        "permissions",
        f"{account('step')} lacks roles/datastore.user, roles/bigquery.jobUser, {OWN}/convergenceWarehouse",
    ),
    "role under a condition": (_conditional, "permissions", "lacks roles/datastore.user"),
    "role on a topic": (
        lambda p: _without(p, f"{PUBSUB}/topics/step-ready:getIamPolicy", STEP),
        "permissions",
        f"{account('step')} lacks roles/pubsub.publisher on step-ready",
    ),
    "role on the key": (
        lambda p: _without(p, f"cloudkms.googleapis.com{KEY}:getIamPolicy", STEP),
        "permissions",
        "lacks roles/cloudkms.cryptoKeyEncrypterDecrypter on the key",
    ),
    "role on the log's dataset": (
        _put(f"bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets/organizations", access=[]),
        "permissions",
        f"{account('notifier')} lacks {OWN}/convergenceLogs on the dataset organizations",
    ),
    "subscription": (
        lambda p: p.subscription("scheduler-tick").update(name="projects/x/subscriptions/other"),
        "subscriptions",
        "scheduler-tick: does not exist",
    ),
    "its topic": (
        _subscription("step-step-ready", topic="_deleted-topic_"),
        "subscriptions",
        "hears '_deleted-topic_'",
    ),
    "its token": (_push("step-step-ready", oidcToken={}), "subscriptions", "pushes without a token"),
    "its address": (
        _push("step-step-ready", pushEndpoint="https://elsewhere/push/step-ready"),
        "subscriptions",
        "pushes to https://elsewhere/push/step-ready, declared https://convergence-step-",
    ),
    "its account": (
        _token("step-step-ready", serviceAccountEmail="a@example"),
        "subscriptions",
        f"pushes as a@example, declared {PUSH}",
    ),
    "its audience": (
        _token("step-step-ready", audience="https://elsewhere"),
        "subscriptions",
        "pushes for the audience https://elsewhere, declared https://convergence-step-",
    ),
    "own role that is deleted": (_put(ROLE, deleted=True), "roles", "convergenceWarehouse is deleted"),
    "own role that lacks something": (
        lambda p: p.answers[ROLE]["includedPermissions"].remove("bigquery.tables.list"),
        "roles",
        "convergenceWarehouse lacks bigquery.tables.list",
    ),
    "own role that has more": (
        lambda p: p.answers[ROLE]["includedPermissions"].append("bigquery.tables.export"),
        "roles",
        "has more than it needs: bigquery.tables.export",
    ),
    "own role": (lambda p: p.answers.pop(ROLE), "roles", "does not exist"),
    "shared dataset": (
        lambda p: p.answers.pop(f"{DATASETS}/convergence_staging"),
        "datasets",
        "convergence_staging does not exist",
    ),
    "its deadline": (
        _subscription("step-step-ready", ackDeadlineSeconds=10),
        "subscriptions",
        "ack deadline 10 s, declared 600 s",
    ),
    "its backoff": (_subscription("step-step-ready", retryPolicy={}), "subscriptions", "backoff None to None"),
    "its expiry": (
        _subscription("step-step-ready", expirationPolicy={"ttl": "2678400s"}),
        "subscriptions",
        "expires when it is idle",
    ),
    "its dead letters": (
        _subscription("step-step-ready", deadLetterPolicy={}),
        "subscriptions",
        "dead letters go to None, declared dead-letter",
    ),
    "its state": (_subscription("step-step-ready", state="RESOURCE_ERROR"), "subscriptions", "RESOURCE_ERROR"),
    "forwarding": (
        lambda p: _without(p, f"{PUBSUB}/topics/dead-letter:getIamPolicy", AGENT),
        "dead letters",
        "topics/dead-letter: Pub/Sub's account lacks roles/pubsub.publisher",
    ),
    "role on a secret": (
        lambda p: _without(p, ROOT_KEY, f"serviceAccount:{account('dispatcher')}"),
        "permissions",
        f"{account('dispatcher')} lacks roles/secretmanager.secretAccessor on convergence-root-key",
    ),
    "no root key": (lambda p: p.answers.pop(ROOT_KEY), "permissions", "does not exist"),
    "calls": (
        lambda p: _without(p, f"{SERVICES}/convergence-step:getIamPolicy", f"serviceAccount:{PUSH}"),
        "pushes",
        f"convergence-step: {PUSH} lacks roles/run.invoker",
    ),
    "tokens": (
        lambda p: _without(p, f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts/{PUSH}:getIamPolicy", AGENT),
        "pushes",
        f"lacks roles/iam.serviceAccountTokenCreator on {PUSH}",
    ),
    "index": (lambda p: p.answers[INDEXES]["indexes"].pop(), "indexes", "missing: "),
    "index under way": (
        lambda p: p.answers[INDEXES]["indexes"][0].update(state="CREATING"),
        "indexes",
        "not ready: ",
    ),
    "key": (
        _put(f"cloudkms.googleapis.com{KEY}", primary={"state": "DESTROY_SCHEDULED"}),
        "key",
        "its version is DESTROY_SCHEDULED",
    ),
    "rotation": (_drop(f"cloudkms.googleapis.com{KEY}", "rotationPeriod"), "key", "is never rotated"),
    "function": (
        lambda p: p.answers[FUNCTIONS]["functions"].pop(),
        "functions",
        "convergence-webhook does not exist",
    ),
    "failed function": (
        lambda p: p.answers[FUNCTIONS]["functions"][0].update(state="FAILED", stateMessages=[{"message": "no image"}]),
        "functions",
        "dead_letter is FAILED: no image",
    ),
    "two releases": (
        lambda p: p.answers[FUNCTIONS]["functions"][1]["buildConfig"]["source"]["storageSource"].update(
            object="releases/1.3.9/dispatcher.zip"
        ),
        "functions",
        "of several releases: dead_letter 1.4.0, dispatcher 1.3.9",
    ),
    "paused ticks": (_put(TICK, state="PAUSED"), "ticks", "the job convergence-tick is PAUSED"),
    "refused ticks": (_put(TICK, status={"code": 7}), "ticks", "the last tick could not be published (code 7)"),
    "no ticks": (lambda p: p.answers.pop(TICK), "ticks", "does not exist"),
    "what may not be seen": (lambda p: p.answers.update({POLICY: 403}), "permissions", "cannot be seen: "),
    "a service that is down": (lambda p: p.answers.update({INDEXES: 503}), "indexes", "is busy (503)"),
    "a service that is not enabled": (lambda p: p.answers.update({TICK: 400}), "ticks", "as asked"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_cure_and_hides_no_other_check(name: str) -> None:
    spoil, check, message = FAULTS[name]
    project = GoogleProject()
    spoil(project)
    found = examined(project)
    faults = [each for each in found if each.cure]
    assert {each.check for each in faults} == {check}
    assert any(message in each.found for each in faults), faults
    assert {each.check for each in found} == set(CHECKS)


def test_the_roles_that_are_looked_for_are_those_that_terraform_grants() -> None:
    assert {word: set(roles) for word, roles in PROJECT_ROLES.items()} == {
        word: roles for word, roles in GRANTS.items() if word in PROJECT_ROLES
    }


def test_the_datasets_that_are_looked_for_are_those_that_terraform_makes() -> None:
    text = (ROOT / "infra" / "bigquery.tf").read_text("utf-8")
    assert set(re.findall(r"^    (\w+) += \{ about", text, re.MULTILINE)) == set(SHARED)


def test_a_command_that_cures_names_project_and_place() -> None:
    project = GoogleProject()
    project.answers[TICK]["state"] = "PAUSED"
    (fault,) = [each for each in examined(project) if each.cure]
    assert fault.cure.endswith(f"resume convergence-tick --project={PROJECT} --location=us-central1")


def test_a_password_of_mail_is_looked_at_where_there_is_one() -> None:
    project = GoogleProject()
    project.answers[ROOT_KEY.replace("root-key", "smtp-password")] = {"bindings": []}
    (fault,) = [each for each in examined(project) if each.cure]
    assert fault.found == f"{account('step')} lacks roles/secretmanager.secretAccessor on convergence-smtp-password"


def test_the_secrets_that_are_looked_for_are_those_that_terraform_makes() -> None:
    text = (ROOT / "infra" / "secrets.tf").read_text("utf-8")
    assert dict(re.findall(r'\{ (\w+) = "([a-z-]+)" \}', text)) == SECRETS


def test_a_clock_that_is_wrong_and_a_view_that_is_not_allowed_are_said_first() -> None:
    project = GoogleProject()
    project.now += timedelta(seconds=11)
    project.hidden = {"pubsub.topics.getIamPolicy"}
    view, clock, *_ = examined(project)
    assert view == Finding("view", "not allowed: pubsub.topics.getIamPolicy", LOOK)
    assert (clock.check, clock.found) == ("clock", "11 s from Google's")
    assert "NTP" in clock.cure


def test_a_project_that_cannot_be_asked_at_all_is_an_error() -> None:
    project = GoogleProject()

    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    project.answer = down  # type: ignore[method-assign]  # all of Google is away
    with pytest.raises(Transient, match="does not accept connections \\(ConnectError\\)"):
        examined(project)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", "../other"),
        ("project", "a"),
        ("region", "us/central"),
        ("kms_location", ""),
        ("database", "(default)/documents"),
        ("functions", Path("configs")),
    ],
)
def test_names_are_checked_before_anything_is_sent(field: str, value: str | Path) -> None:
    right: dict[str, str | Path] = {
        "project": PROJECT,
        "region": "us-central1",
        "kms_location": "us",
        "database": "(default)",
        "functions": ROOT / "functions",
    }
    with pytest.raises(InvalidInput):
        asyncio.run(examine_deployment(DeploymentPlace(**right | {field: value})))  # type: ignore[arg-type]
