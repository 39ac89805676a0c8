"""The plans that orgs are on, from `configs/system/plans.yml`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from convergence.config.files.models import Plan, Plans
from convergence.config.files.shipped import own_or_shipped
from convergence.config.model.errors import problems_of
from convergence.config.yaml.source import read_yaml
from convergence.domain.quota import Limits
from convergence.errors import ConfigErrors, InvalidInput, did_you_mean
from convergence.tenants.orgs import Org

FILE = "system/plans.yml"


def load_plans(configs_dir: Path) -> dict[str, Plan]:
    """Return plan → what it allows. Raises `ConfigErrors` with the file's mistakes."""
    source = read_yaml(own_or_shipped(configs_dir, FILE).read_bytes(), FILE)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        return dict(Plans.model_validate(source.data).root)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error


def on_plan(configs_dir: Path, org: Org, plan: str) -> Org:
    """Return the org on a plan, with its limits and its weight. Raises `InvalidInput` with the plans there are."""
    plans = load_plans(configs_dir)
    if plan not in plans:
        raise InvalidInput(f"there is no plan {plan!r}.{did_you_mean(plan, plans)}")
    found = plans[plan]
    limits = Limits(daily=found.daily, monthly=found.monthly, concurrent=found.concurrent)
    return replace(org, plan=plan, limits=limits, weight=found.weight)
