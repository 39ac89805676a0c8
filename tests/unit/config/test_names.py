"""Which names are known, and which are slips of the finger."""

from __future__ import annotations

import pytest

from convergence.config.templates.builtin_names import is_profile, slip

KNOWN = {"org_slug", "start_date", "yesterday", "date", "env", "run_id", "project_id", "region1"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("org_slgu", "org_slug"),
        ("rog_slug", "org_slug"),
        ("stat_date", "start_date"),
        ("start__date", "start_date"),
        ("stard_date", "start_date"),
        ("yesterda", "yesterday"),
        ("daet", "date"),
        ("runid", "run_id"),
    ],
)
def test_one_slip_is_seen(name: str, meant: str) -> None:
    assert slip(name, KNOWN) == meant


@pytest.mark.parametrize(
    "name", ["project_ids", "dates", "gate", "run_it", "region2", "region12", "environment", "start", "nev", "end_date"]
)
def test_other_words_are_their_own(name: str) -> None:
    assert slip(name, KNOWN) is None


@pytest.mark.parametrize(
    "name", ["billing_export_table", "billing_scope", "aws_cur_bucket", "admin_email", "integration.project_id"]
)
def test_the_profile_gives_names_of_integrations(name: str) -> None:
    assert is_profile(name)


@pytest.mark.parametrize("name", ["gcp_project_id", "project_id", "region", "adminemail", "aws_"])
def test_the_profile_gives_nothing_else(name: str) -> None:
    assert not is_profile(name)
