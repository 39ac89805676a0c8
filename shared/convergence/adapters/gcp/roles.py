"""Roles of the project's own: what functions ask of BigQuery, permission by permission.

`roles/bigquery.dataEditor` on a project includes more: to make datasets, to export tables, to share them. Terraform
makes these roles (infra/accounts.tf, through infra/declared.json), docs/google-cloud.md lists them, and
`convergence doctor` looks who has them. Jobs need `roles/bigquery.jobUser` besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TABLES: Final = "bigquery.tables"

OWN_ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    # Steps and the API: tables of orgs' datasets, staging and ledger; texts of stored procedures.
    "convergenceWarehouse": (
        "bigquery.datasets.get",
        "bigquery.routines.get",
        "bigquery.routines.list",
        f"{_TABLES}.create",
        f"{_TABLES}.createSnapshot",
        f"{_TABLES}.delete",
        f"{_TABLES}.deleteSnapshot",  # a snapshot that expires deletes itself in the name of its maker
        f"{_TABLES}.get",
        f"{_TABLES}.getData",
        f"{_TABLES}.list",
        f"{_TABLES}.update",
        f"{_TABLES}.updateData",
    ),
    # The API alone: the dataset of a new org, and the synchronisation of stored procedures.
    "convergenceSetup": (
        "bigquery.datasets.create",
        "bigquery.routines.create",
        "bigquery.routines.delete",
        "bigquery.routines.update",
    ),
    # The notifier: rows of the log tables, and columns of a newer release.
    "convergenceLogs": (
        "bigquery.datasets.get",
        f"{_TABLES}.create",
        f"{_TABLES}.get",
        f"{_TABLES}.update",
        f"{_TABLES}.updateData",
    ),
}


def own_role(project: str, name: str) -> str:
    """Return the name of a role of the project, as IAM has it."""
    assert name in OWN_ROLES, name
    return f"projects/{project}/roles/{name}"
