"""What the words of `access` in function.yaml grant: docs/google-cloud.md and infra/accounts.tf are held to it."""

from __future__ import annotations

from typing import Final

GRANTS: Final = {
    "firestore": {"roles/datastore.user"},
    "publish": {"roles/pubsub.publisher"},
    "credentials": {"roles/cloudkms.cryptoKeyEncrypterDecrypter"},
    "warehouse": {"roles/bigquery.jobUser", "convergenceWarehouse"},
    "setup": {"convergenceSetup"},
    "logs": {"convergenceLogs"},
}
