"""A Google Cloud project that answers as one where infra/ was applied: each part can be spoilt.

It is made from the raw texts of functions/*/function.yaml and infra/declared.json, as Terraform reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).parents[3]
PROJECT = "acme-convergence"
NUMBER = "123456789012"
PUSH = f"convergence-push@{PROJECT}.iam.gserviceaccount.com"
AGENT = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
KEY = f"/v1/projects/{PROJECT}/locations/us/keyRings/convergence/cryptoKeys/credentials"
GROUPS = f"/v1/projects/{PROJECT}/databases/(default)/collectionGroups"
ROLES = {
    "firestore": ["roles/datastore.user"],
    "warehouse": ["roles/bigquery.jobUser", f"projects/{PROJECT}/roles/convergenceWarehouse"],
    "setup": [f"projects/{PROJECT}/roles/convergenceSetup"],
}


def account(function: str) -> str:
    return f"convergence-{function.replace('_', '-')}@{PROJECT}.iam.gserviceaccount.com"


def url(function: str) -> str:
    return f"https://convergence-{function.replace('_', '-')}-{NUMBER}.us-central1.run.app"


class GoogleProject:
    """What each address answers, by host and path; `hidden` are permissions that the caller lacks."""

    def __init__(self) -> None:
        self.functions: list[dict[str, Any]] = [
            yaml.safe_load(file.read_text()) for file in sorted(ROOT.glob("functions/*/function.yaml"))
        ]
        self.hidden: set[str] = set()
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.page = 1_000_000
        self.answers: dict[str, Any] = {}
        self._projects()
        self._pubsub()
        self._firestore()
        self.answers["cloudkms.googleapis.com" + KEY] = {"primary": {"state": "ENABLED"}, "rotationPeriod": "7776000s"}
        self.answers["cloudkms.googleapis.com" + KEY + ":getIamPolicy"] = self._policy(
            "roles/cloudkms.cryptoKeyEncrypterDecrypter", "credentials"
        )
        self._calls()
        self._bigquery()
        region = f"projects/{PROJECT}/locations/us-central1"
        self.answers[f"cloudscheduler.googleapis.com/v1/{region}/jobs/convergence-tick"] = {
            "state": "ENABLED",
            "schedule": "* * * * *",
        }
        self.answers[f"cloudfunctions.googleapis.com/v2/{region}/functions"] = {
            "functions": [
                {
                    "name": f"{region}/functions/convergence-{each['name'].replace('_', '-')}",
                    "state": "ACTIVE",
                    "buildConfig": {"source": {"storageSource": {"object": f"releases/1.4.0/{each['name']}.zip"}}},
                }
                for each in self.functions
            ]
        }

    def subscription(self, name: str) -> dict[str, Any]:
        """Return a subscription as it is, to spoil it."""
        every = self.answers[f"pubsub.googleapis.com/v1/projects/{PROJECT}/subscriptions"]["subscriptions"]
        found: dict[str, Any] = next(each for each in every if each["name"].endswith("/" + name))
        return found

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Be Google."""
        dated = {"date": format_datetime(self.now, usegmt=True)}
        assert request.headers["authorization"] == "Bearer token"
        address = request.url.host + request.url.path
        if address.endswith(":testIamPermissions"):
            asked = json.loads(request.content)["permissions"]
            return httpx.Response(
                200, headers=dated, json={"permissions": [each for each in asked if each not in self.hidden]}
            )
        found = self.answers.get(address)
        if found is None:
            return httpx.Response(404, headers=dated, json={"error": {"code": 404, "message": "not found"}})
        if isinstance(found, int):
            return httpx.Response(found, headers=dated, json={"error": {"code": found, "message": "as asked"}})
        return httpx.Response(200, headers=dated, json=self._paged(found, request.url.params.get("pageToken", "0")))

    def _paged(self, found: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        if "bindings" in found or "includedPermissions" in found:  # a policy or a role comes whole
            return found
        begin = int(token)
        lists = {name: value for name, value in found.items() if isinstance(value, list)}
        cut = {name: value[begin : begin + self.page] for name, value in lists.items()}
        more = any(begin + self.page < len(value) for value in lists.values())
        return {**found, **cut, **({"nextPageToken": str(begin + self.page)} if more else {})}

    def _with(self, word: str) -> list[str]:
        return [each["name"] for each in self.functions if word in each.get("access", ())]

    def _policy(self, role: str, word: str) -> dict[str, Any]:
        return {
            "bindings": [{"role": role, "members": [f"serviceAccount:{account(name)}" for name in self._with(word)]}]
        }

    def _calls(self) -> None:
        """Who may call the functions, sign the tokens for that, and read secrets. There is none for mail."""
        for each in self.functions:
            service = f"projects/{PROJECT}/locations/us-central1/services/{account(each['name']).partition('@')[0]}"
            self.answers[f"run.googleapis.com/v2/{service}:getIamPolicy"] = {
                "bindings": [{"role": "roles/run.invoker", "members": [f"serviceAccount:{PUSH}"]}]
            }
        self.answers[f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts/{PUSH}:getIamPolicy"] = {
            "bindings": [{"role": "roles/iam.serviceAccountTokenCreator", "members": [AGENT]}]
        }
        readers = [each["name"] for each in self.functions if "CONVERGENCE_ROOT_KEY" in each.get("secrets", ())]
        base = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
        self.answers[f"{base}/convergence-root-key:getIamPolicy"] = {
            "bindings": [
                {
                    "role": "roles/secretmanager.secretAccessor",
                    "members": [f"serviceAccount:{account(name)}" for name in readers],
                }
            ]
        }

    def _bigquery(self) -> None:
        logs = [
            {"role": f"projects/{PROJECT}/roles/convergenceLogs", "userByEmail": account(name)}
            for name in self._with("logs")
        ]
        for dataset in ("organizations", "convergence_ledger", "convergence_staging"):
            self.answers[f"bigquery.googleapis.com/bigquery/v2/projects/{PROJECT}/datasets/{dataset}"] = {
                "access": [{"role": "READER", "specialGroup": "projectReaders"}, *logs]
            }
        declared = json.loads((ROOT / "infra" / "declared.json").read_text())["roles"]
        for name, permissions in declared.items():
            role = {"name": f"projects/{PROJECT}/roles/{name}", "includedPermissions": list(permissions)}
            self.answers[f"iam.googleapis.com/v1/projects/{PROJECT}/roles/{name}"] = role

    def _projects(self) -> None:
        base = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"
        self.answers[base] = {"name": f"projects/{NUMBER}"}
        self.answers[base + ":getIamPolicy"] = {
            "bindings": [
                {"role": role, "members": [f"serviceAccount:{account(name)}" for name in self._with(word)]}
                for word, roles in ROLES.items()
                for role in roles
            ]
        }

    def _pubsub(self) -> None:
        base = f"pubsub.googleapis.com/v1/projects/{PROJECT}"
        subscriptions = []
        for function in self.functions:
            for trigger in function["triggers"]:
                name = f"{function['name']}-{trigger['topic']}"
                topic = f"projects/{PROJECT}/topics/{trigger['topic']}"
                dead = trigger.get("dead_letter_topic")
                policy = {
                    "deadLetterTopic": f"projects/{PROJECT}/topics/{dead}",
                    "maxDeliveryAttempts": trigger.get("deliveries_max", 100),
                }
                subscriptions.append(
                    {
                        "name": f"projects/{PROJECT}/subscriptions/{name}",
                        "topic": topic,
                        "pushConfig": {
                            "pushEndpoint": f"{url(function['name'])}/push/{trigger['topic']}",
                            "oidcToken": {"serviceAccountEmail": PUSH, "audience": url(function["name"])},
                        },
                        "ackDeadlineSeconds": trigger["ack_deadline_s"],
                        "expirationPolicy": {},
                        "retryPolicy": {
                            "minimumBackoff": f"{trigger['backoff_min_s']}s",
                            "maximumBackoff": f"{trigger['backoff_max_s']}s",
                        },
                        "state": "ACTIVE",
                    }
                    | ({"deadLetterPolicy": policy} if dead else {})
                )
                self.answers[f"{base}/topics/{trigger['topic']}:getIamPolicy"] = self._policy(
                    "roles/pubsub.publisher", "publish"
                )
                subscriber = {"bindings": [{"role": "roles/pubsub.subscriber", "members": [AGENT]}]}
                self.answers[f"{base}/subscriptions/{name}:getIamPolicy"] = subscriber
        self.answers[f"{base}/subscriptions"] = {"subscriptions": subscriptions}
        self.answers[f"{base}/topics/dead-letter:getIamPolicy"]["bindings"][0]["members"].append(AGENT)

    def _firestore(self) -> None:
        declared = json.loads((ROOT / "infra" / "declared.json").read_text())["firestore"]
        built = []
        for number, index in enumerate(declared["indexes"]):
            fields = list(index["fields"])
            if fields[-1]["fieldPath"] != "__name__":  # Firestore appends it
                fields.append({"fieldPath": "__name__", "order": fields[-1].get("order", "ASCENDING")})
            name = (
                f"projects/{PROJECT}/databases/(default)/collectionGroups/{index['collectionGroup']}/indexes/{number}"
            )
            built.append({"name": name, "queryScope": index["queryScope"], "fields": fields, "state": "READY"})
        self.answers[f"firestore.googleapis.com{GROUPS}/-/indexes"] = {"indexes": built}
