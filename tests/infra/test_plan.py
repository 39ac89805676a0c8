"""Terraform's own checks of infra/, and what it plans compared with what the code declares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from convergence.config.files.functions import FunctionFile
from infra.project import ROOT
from tests.emulators.topology import functions
from tests.infra.conftest import of
from tests.infra.grants import GRANTS
from tests.infra.provider import PROJECT_NUMBER, Terraform

FUNCTIONS = functions()


def test_files_are_formatted(tf: Terraform) -> None:
    done = tf.run("fmt", "-check", "-recursive", str(ROOT / "infra"))
    assert done.returncode == 0, f"run `terraform fmt -recursive infra`: {done.stdout}"


def test_the_configuration_is_valid_and_a_misspelt_argument_is_not(tf: Terraform) -> None:
    done = tf.run("validate")
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tf.folder / "wrong.tf"
    wrong.write_text('resource "google_pubsub_topic" "wrong" {\n  name  = "t"\n  lables = {}\n}\n')
    try:
        refused = tf.run("validate")
    finally:
        wrong.unlink()
    assert "Unsupported argument" in refused.stderr


def test_terraforms_own_tests_pass(tf: Terraform) -> None:
    done = tf.run("test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 0 failed" in done.stdout


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_deployed_as_its_file_says(plan: dict[str, Any], name: str) -> None:
    file, values = FUNCTIONS[name], plan[f'google_cloudfunctions2_function.function["{name}"]']
    (build,), (service,) = values["build_config"], values["service_config"]
    assert build["source"][0]["storage_source"][0]["object"] == f"releases/v1/{name}.zip"
    assert service["available_memory"] == f"{file.memory_mib}Mi"
    assert float(service["available_cpu"]) == file.cpu
    assert service["timeout_seconds"] == file.timeout_s
    assert service["max_instance_request_concurrency"] == file.concurrency
    assert (service["min_instance_count"], service["max_instance_count"]) == (file.min_instances, file.max_instances)
    secrets = {each["key"] for each in service["secret_environment_variables"]}
    assert secrets == set(file.secrets)
    url = f"https://convergence-{name.replace('_', '-')}-{PROJECT_NUMBER}.us-central1.run.app"
    for trigger in file.triggers:
        subscription = plan[f'google_pubsub_subscription.push["{name}-{trigger.topic}"]']
        (push,), (retry,) = subscription["push_config"], subscription["retry_policy"]
        assert push["push_endpoint"] == f"{url}/push/{trigger.topic}"
        assert push["oidc_token"][0]["audience"] == url
        assert subscription["ack_deadline_seconds"] == trigger.ack_deadline_s
        assert retry["minimum_backoff"] == f"{trigger.backoff_min_s}s"
        assert retry["maximum_backoff"] == f"{trigger.backoff_max_s}s"
        policies = subscription["dead_letter_policy"]
        assert len(policies) == (trigger.dead_letter_topic is not None)
        if policies:
            assert policies[0]["max_delivery_attempts"] == trigger.deliveries_max


def test_every_topic_that_dead_letters_go_to_has_a_subscription_and_pub_sub_may_forward(plan: dict[str, Any]) -> None:
    heard = {trigger.topic for file in FUNCTIONS.values() for trigger in file.triggers}
    agent = f"serviceAccount:service-{PROJECT_NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
    for name, file in FUNCTIONS.items():
        for trigger in file.triggers:
            if trigger.dead_letter_topic is None:
                continue
            assert trigger.dead_letter_topic in heard
            given = [
                plan[f'google_pubsub_topic_iam_member.dead_letters["{trigger.dead_letter_topic}"]'],
                plan[f'google_pubsub_subscription_iam_member.dead_letters["{name}-{trigger.topic}"]'],
            ]
            assert [each["member"] for each in given] == [agent, agent]
            assert [each["role"] for each in given] == ["roles/pubsub.publisher", "roles/pubsub.subscriber"]
            assert f'google_monitoring_alert_policy.dead_letters["{trigger.dead_letter_topic}"]' in plan


def test_only_a_public_function_is_open(plan: dict[str, Any]) -> None:
    open_to_all = [
        address for address, each in plan.items() if each.get("member") in {"allUsers", "allAuthenticatedUsers"}
    ]
    public = sorted(name for name, file in FUNCTIONS.items() if file.http == "public")
    assert open_to_all == [f'google_cloud_run_v2_service_iam_member.public["{name}"]' for name in public]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_account_has_the_roles_of_its_functions_access_and_no_others(plan: dict[str, Any], name: str) -> None:
    assert granted(plan, name) == {role for word in FUNCTIONS[name].access for role in GRANTS[word]} | secret(
        FUNCTIONS[name]
    )


def granted(plan: dict[str, Any], name: str) -> set[str]:
    """Return the roles bound to a function's account: keys of such resources begin with the function's name."""
    roles = {
        each["role"]
        for address, each in plan.items()
        if ".function[" in address and address.split('["')[1].split('"')[0].split(" ")[0] == name and "role" in each
    }
    logs = plan.get(f'google_bigquery_dataset_iam_member.logs["{name}"]')
    roles |= {logs["role"]} if logs else set()
    return {role.rpartition("/")[2] if role.startswith("projects/") else role for role in roles}


def secret(file: FunctionFile) -> set[str]:
    return {"roles/secretmanager.secretAccessor"} if file.secrets else set()


def test_indexes_are_those_that_the_code_declares(plan: dict[str, Any]) -> None:
    from infra.declared import declared

    expected = declared()["firestore"]
    planned = [
        {
            "collectionGroup": each["collection"],
            "queryScope": each["query_scope"],
            "fields": [
                {
                    "fieldPath": field["field_path"],
                    **({"order": field["order"]} if field.get("order") else {"arrayConfig": field["array_config"]}),
                }
                for field in each["fields"]
            ],
        }
        for each in of(plan, "google_firestore_index")
    ]
    assert ordered(planned) == ordered(expected["indexes"])
    fields = [
        {
            "collectionGroup": each["collection"],
            "fieldPath": each["field"],
            "indexes": [
                {"order": one["order"], "queryScope": one["query_scope"]}
                for one in sorted(each["index_config"][0]["indexes"], key=lambda one: str(one["order"]))
            ],
        }
        for each in of(plan, "google_firestore_field")
    ]
    assert ordered(fields) == ordered(expected["fieldOverrides"])


def ordered(values: list[Any]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in values)


def test_no_secrets_value_is_in_the_state(plan: dict[str, Any]) -> None:
    assert of(plan, "google_secret_manager_secret")
    assert not of(plan, "google_secret_manager_secret_version")
    for function in of(plan, "google_cloudfunctions2_function"):
        plain = function["service_config"][0]["environment_variables"]
        assert not [name for name in plain if any(word in name for word in ("PASSWORD", "ROOT_KEY", "TOKEN"))]
