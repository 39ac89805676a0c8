"""Whether each step of a plan can run: asked before anything is stored, so that no step has an effect in vain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from convergence.config.checks.steps import StepCheck, landed
from convergence.config.conditions import expression
from convergence.config.loader import LoadedPipeline
from convergence.config.prepare import PreparedStep
from convergence.config.templates.deferred import with_templates
from convergence.config.yaml.positions import KeyPath
from convergence.domain.plan import Plan, PlanStep
from convergence.engine.services import Services
from convergence.errors import FINDINGS_MAX, ConfigError, ConfigErrors, IntegrationInactive, StepFailed
from convergence.tenants.credentials import Credential, CredentialStore, advice


@dataclass(frozen=True, slots=True)
class Opening:
    """A credential that a step will open for certain: of `names` the first one that exists."""

    names: tuple[str, ...]
    problem: ConfigError  # where it says so
    tries: bool  # the step tests it, so an invalid one is allowed


def check_steps(services: Services, loaded: LoadedPipeline, plan: Plan, parameters: Mapping[str, Any]) -> list[Opening]:
    """Return the credentials that have to exist. Disabled steps are not checked.

    Raises `ConfigErrors`: a processor is not installed, a block does not fit its model, a destination is missing, or
    a table has no schema.
    """
    tables = landed(services.processor, ((step.ps_type, step.config) for step in plan.steps))
    check = StepCheck(services.processor, services.schemas, services.configs_dir, tables)
    problems: list[ConfigError] = []
    openings: list[Opening] = []
    stored: set[str] = set()
    for prepared, step in _planned(loaded, plan):
        certain = _certain(step, parameters)
        if not step.enabled or step.problem is not None or certain is False:
            continue
        report = partial(_report, loaded, prepared.position)
        needs = check(step.ps_type, with_templates(step) if step.deferred else step.config, report)
        problems += needs.problems
        if len(problems) > FINDINGS_MAX:
            break
        if certain and step.trigger is None:
            tries = needs.tries_credential
            missing = (names for names in needs.opens if stored.isdisjoint(names))
            openings += [Opening(names, report(("config",), ""), tries) for names in missing]
        if needs.stores:
            stored.add(needs.stores)
    if problems:
        raise ConfigErrors(problems)
    return openings


async def check_credentials(
    credentials: CredentialStore, plan: Plan, openings: list[Opening], *, org: str, expected: str, sealed: set[str]
) -> dict[str, Credential]:
    """Return the credentials that the steps will open, by provider.

    `expected` is the run's own credential, `sealed` are its secret parameters.

    Raises:
        ConfigErrors: one does not exist.
        IntegrationInactive: one was found invalid.
    """
    found: dict[str, Credential | None] = {}
    problems: list[ConfigError] = []
    for opening in openings:
        if not sealed.isdisjoint(opening.names):
            continue
        for name in opening.names:
            if name not in found:
                found[name] = await credentials.find(org, name, expected if name == plan.provider else "")
        usable = next((each for name in opening.names if (each := found[name]) is not None), None)
        if usable is None:
            message = await _missing(credentials, org, opening.names[0])
            problems.append(ConfigError(message, where=opening.problem.where, path=opening.problem.path))
        elif usable.status == "invalid" and not opening.tries:
            provider = usable.provider
            raise IntegrationInactive(f"{provider} integration not active; set it up with {provider}/auth/setup")
    if problems:
        raise ConfigErrors(problems)
    return {name: credential for name, credential in found.items() if credential is not None}


async def _missing(credentials: CredentialStore, org: str, name: str) -> str:
    several = [each.credential_id for each in await credentials.all(org, name)]
    if not several:
        return f"the step opens a credential that does not exist: {advice(org, name)}"
    return (
        f"{org} has {len(several)} {name} credentials and no default; name one as credential_id: {', '.join(several)}"
    )


def _planned(loaded: LoadedPipeline, plan: Plan) -> Iterator[tuple[PreparedStep, PlanStep]]:
    """Yield the file's steps; default notifications, which follow them in the plan, have no place in it."""
    return zip(loaded.prepared.steps, plan.steps, strict=False)


def _certain(step: PlanStep, parameters: Mapping[str, Any]) -> bool | None:
    """Return whether the step's condition holds; None when earlier steps decide it."""
    if step.when is None:
        return True
    try:
        condition = expression.parse(step.when)
        if any(name.path[0] == "results" for name in expression.names(condition)):
            return None
        return expression.evaluate(condition, parameters=parameters, results={})
    except StepFailed:
        return None  # the step fails with it when its turn comes


def _report(loaded: LoadedPipeline, position: int, path: KeyPath, message: str) -> ConfigError:
    return loaded.positions.problem(("steps", position, *path), message)
