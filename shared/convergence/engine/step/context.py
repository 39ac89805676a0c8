"""What a processor gets: a mapping with the names that users' processors ask for, and typed access beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergence.config.files.below import read_below
from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.invoices import Invoice
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run
from convergence.domain.step import Step
from convergence.engine.services import Services
from convergence.engine.step.aws_accounts import StepAwsAccounts
from convergence.engine.step.effects import idempotency_key
from convergence.engine.step.google_accounts import StepAccounts
from convergence.engine.step.objects import StepObjects
from convergence.engine.step.redact import RedactingLogger
from convergence.engine.step.secrets import StepCredentials, StepSecrets, source_of
from convergence.engine.step.warehouse import LeasedWarehouse
from convergence.errors import did_you_mean
from convergence.ports.processor import Context
from convergence.tenants.billing import BillingStore

if TYPE_CHECKING:
    import httpx

    from convergence.engine.step.lease import Lease

logger = logging.getLogger("convergence.step")


class StepContext(Context):
    """The context of one execution of one step."""

    def __init__(
        self,
        services: Services,
        run: Run,
        plan: Plan,
        planned: PlanStep,
        lease: Lease,
        results: Mapping[str, Mapping[str, Any]],
        deadline: datetime,
    ) -> None:
        step: Step = lease.held.step
        core = plan.core
        self._services = services
        self.org_slug = run.org
        self.run_id = run.run_id
        self.step_id = planned.step_id
        self.pipeline_id = plan.pipeline_id
        self.provider = plan.provider
        self.credential_id = run.credential_id
        self.start_date = date.fromisoformat(core["start_date"])
        self.end_date = date.fromisoformat(core["end_date"])
        self.attempt = step.failures + 1
        self.started_at = run.started_at or run.created_at
        self.parameters = run.parameters
        self.variables = plan.variables
        self.results = results
        self.checkpoint = step.checkpoint
        self.deadline = deadline
        self.configs_dir: Path = services.configs_dir
        self.secrets = secrets = StepSecrets(services, run, results)
        self._redactor = secrets.redact
        self._secrets = secrets
        self._run, self._plan, self._planned, self._lease = run, plan, planned, lease
        self._own_credential = run.credential_id

    async def choose_credential(self) -> None:
        """Take the credential of the provider whose data the step handles, where the run has none of its own."""
        provider = "" if self._run.credential_id else source_of(self._services, self._run, self._planned)
        found = await self._secrets.chosen(provider) if provider else None
        if found is not None:
            self._use(found.credential_id)

    async def of_provider(self, provider: str) -> Context:
        """The same step, its rows under the credential of this provider."""
        found = None if self._own_credential else await self._secrets.chosen(provider)
        if found is None:
            return self
        other = copy(self)
        other._use(found.credential_id)  # noqa: SLF001 - of this class
        for name in ("accounts", "aws", "objects", "credentials"):
            other.__dict__[name] = getattr(self, name)  # one of each, which this context closes
        other.__dict__["warehouse"] = self.warehouse.of_run(other._run)  # noqa: SLF001 - as above
        return other

    def _use(self, credential_id: str) -> None:
        self.credential_id = credential_id
        self._run = replace(self._run, credential_id=credential_id)
        self.__dict__.pop("_core", None)

    # Made on first use: a step pays only for what it needs.

    @cached_property
    def logger(self) -> RedactingLogger:
        """The step's logger."""
        return RedactingLogger(logger, self._redactor, org=self.org_slug, run_id=self.run_id, step_id=self.step_id)

    async def billing_periods(self) -> Sequence[BillingPeriod]:
        """The org's billing periods."""
        return await BillingStore(self._services.documents).periods(self.org_slug)

    async def invoices(self) -> Sequence[Invoice]:
        """The org's invoices."""
        return await BillingStore(self._services.documents).invoices(self.org_slug)

    @cached_property
    def warehouse(self) -> LeasedWarehouse:
        """The warehouse under this step's lease."""
        return LeasedWarehouse(self._services, self._run, self._plan, self._planned, self._lease)

    async def flush(self) -> None:
        """Make what was staged survive a crash, before a checkpoint is committed."""
        used: LeasedWarehouse | None = self.__dict__.get("warehouse")  # not made for this
        if used is not None:
            await used.flush()

    @property
    def writes(self) -> Mapping[str, int]:
        """How often each write was made in this epoch."""
        used: LeasedWarehouse | None = self.__dict__.get("warehouse")  # not made for this
        return self._lease.held.step.writes if used is None else used.writes

    @cached_property
    def accounts(self) -> StepAccounts:
        """Customers' own accounts, for this execution."""
        return StepAccounts(self._services.accounts, self._redactor.add)

    async def close(self) -> None:
        """End what belongs to this execution alone."""
        used: StepAccounts | None = self.__dict__.get("accounts")  # not made for this
        if used is not None:
            await used.close()
        places: StepObjects | None = self.__dict__.get("objects")
        if places is not None:
            await places.close()
        accounts: StepAwsAccounts | None = self.__dict__.get("aws")
        if accounts is not None:
            await accounts.close()

    @cached_property
    def aws(self) -> StepAwsAccounts:
        """Customers' accounts at AWS, for this execution."""
        return StepAwsAccounts(lambda: self._services.aws(self.org_slug))

    @cached_property
    def objects(self) -> StepObjects:
        """Places where files are, for this execution."""
        return StepObjects(self._services.objects(self.org_slug, lambda: self.http))

    @cached_property
    def credentials(self) -> StepCredentials:
        """The org's stored credentials."""
        return StepCredentials(self._services, self._run, self._secrets)

    @cached_property
    def _core(self) -> dict[str, Any]:
        run, plan = self._run, self._plan
        return {
            **plan.core,
            "org_slug": run.org,
            "run_id": run.run_id,
            "step_id": self.step_id,
            "pipeline_id": plan.pipeline_id,
            "provider": plan.provider,
            "domain": plan.domain,
            "credential_id": run.credential_id,
            "attempt": self.attempt,
            "epoch": run.epoch,
            "trigger": run.trigger,
            "parameters": self.parameters,
            "variables": self.variables,
            "results": self.results,
            "secrets": self.secrets,
            "checkpoint": self.checkpoint,
            "config_path": plan.pipeline,
        }

    @cached_property
    def _direct(self) -> list[Mapping[str, Any]]:
        return [self.results[name] for name in self._planned.depends_on if name in self.results]

    def __getitem__(self, name: str) -> Any:
        """Look in core fields, parameters, variables, then named outputs of direct dependencies."""
        for scope in (self._core, self.parameters, self.variables, *self._direct):
            if name in scope:
                return scope[name]
        raise KeyError(f"{name}: not in this step's context.{did_you_mean(name, self)}")

    def __iter__(self) -> Iterator[str]:
        """Every available name, once."""
        return iter(
            {name: None for scope in (self._core, self.parameters, self.variables, *self._direct) for name in scope}
        )

    def __len__(self) -> int:
        """How many names there are."""
        return sum(1 for _ in self)

    @property
    def http(self) -> httpx.AsyncClient:
        """The process's shared client."""
        return self._services.http()

    def redact(self, value: Any) -> Any:
        """Mask what the step opened."""
        return self._redactor(value)

    def now(self) -> datetime:
        """The engine's clock."""
        return self._services.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Wait on the engine's clock."""
        await self._services.clock.sleep(seconds)

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return self._services.ids.fraction()

    def idempotency_key(self, number: int = 1) -> str:
        """What names the step's n-th call to others."""
        return idempotency_key(self._run, self._planned, number)

    def progress(self, *, rows: int, total: int | None = None, note: str = "") -> None:
        """Show rows so far."""
        if self._services.watch is not None:
            self._services.watch(self.run_id, self.step_id, rows, total, self._redactor(note))

    def read_config(self, path: str) -> bytes:
        """Read a file below the configs folder; links out of it are refused too."""
        return read_below(self.configs_dir, path)
