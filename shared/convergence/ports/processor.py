"""The interface of processors: what they implement, and what the engine gives them.

A processor is a module `convergence.processors.{provider}.{domain}` (or one that another package registers
under the entry point group `convergence.processors`) with a function `get_engine() -> Processor`.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from convergence.domain.billing_periods import BillingPeriod
from convergence.domain.invoices import Invoice
from convergence.ports.aws_accounts import AwsAccounts
from convergence.ports.google_accounts import Accounts
from convergence.ports.object_store import ObjectStores
from convergence.ports.step.warehouse import StepWarehouse

if TYPE_CHECKING:
    import httpx

SUCCESS: Final = "SUCCESS"
COMPLETED: Final = "COMPLETED"  # the older word for SUCCESS
FAILED: Final = "FAILED"
SKIPPED: Final = "SKIPPED"
NOT_SET_UP: Final = "not_set_up"  # in the result of a skipped notification: what it lacks
CONTINUE: Final = "CONTINUE"


class Processor(Protocol):
    """The code that runs one step.

    `execute` returns a mapping with `status` (one of the words above). `rows_processed` and `rows_written` are
    added to the run's totals; `error` explains FAILED; `checkpoint` (JSON) goes with CONTINUE; `warnings` (a list of
    sentences) are shown with the run, which still completes; all other keys are the step's named outputs. The
    whole result is JSON and at most 64 KiB: larger data goes to the warehouse.

    What a processor may declare about itself, as class attributes; a run is refused where a step does not fit them:

    - `resumable = True`: `execute` works in slices and may answer CONTINUE.
    - `config_model`, `source_model`, `destination_model`, `transform_model`: pydantic models of the step's blocks.
      With a `destination_model` the step needs a destination, unless there is a `fixed_table` (the name of the table
      that it loads otherwise) or `destination_optional = True`.
    - `lands_raw = True`: it loads tables that have no schema file, too.
    - `runs_sql = True`: the SQL in its blocks is GoogleSQL for the org's warehouse, which `validate` then reads.
    - `tries_credential = True`: it finds out whether a credential works, so it may open an invalid one.

    A `config_model` may have the methods of `UsesCredentials`, `StoresCredential`, `UsesTables` and `Delegates`, each
    model those of `NamesColumns`.
    """

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Run the step. `step_config` holds config, source, destination and transform, templates resolved.

        Raises:
            Transient: retried by the step's policy.
            StepFailed: final.
        """
        ...


class Secrets(Protocol):
    """Plaintext on demand, only inside the step: `await context.secrets.open("openai")`.

    A name is a provider (the run's credential, else the org's only or default one) or a declared parameter of
    type `secret`. Opened secrets are redacted from the step's results, errors and logs.
    """

    async def open(self, name: str) -> str:
        """Return the plaintext. Raises `StepFailed` with advice when it is missing."""
        ...

    def mask(self, text: str) -> None:
        """Mask this text as well, such as a token obtained with an opened secret."""
        ...


class Credentials(Protocol):
    """The org's stored credentials; the ciphertext never leaves."""

    async def store(self, provider: str, plaintext: str, *, name: str = "default") -> str:
        """Encrypt and store; the same `name` again rotates the credential. Return the credential id."""
        ...

    async def status(self, provider: str) -> str:
        """Return what is known of the credential of this run: stored (never tried), valid, invalid; missing."""
        ...

    async def credential_id(self, provider: str) -> str:
        """Return the id of the credential that this step would open; empty without one."""
        ...

    async def mark(self, provider: str, *, valid: bool, reason: str = "") -> None:
        """Record the outcome of a validation on the credential of this run."""
        ...


class Context(Mapping[str, Any]):
    """Everything a step may use.

    As a mapping it returns core fields (org_slug, run_id, step_id, pipeline_id, provider, domain, env, project_id,
    org_dataset, credential_id, start_date, end_date, parameters, variables, results, secrets, ...), then parameters,
    variables, and named outputs of direct dependencies, in this order.
    """

    org_slug: str
    run_id: str
    step_id: str
    pipeline_id: str
    provider: str
    credential_id: str
    started_at: datetime  # when the run began
    start_date: date
    end_date: date  # inclusive
    attempt: int  # from 1
    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]
    results: Mapping[str, Mapping[str, Any]]  # step id → result
    checkpoint: Any  # what the last CONTINUE returned, else None
    deadline: datetime
    configs_dir: Path
    secrets: Secrets

    @property
    @abstractmethod
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logs with the names of org, run and step; secrets that the step opened are masked."""

    @property
    @abstractmethod
    def warehouse(self) -> StepWarehouse:
        """The warehouse, as far as this step may use it."""

    @property
    @abstractmethod
    def credentials(self) -> Credentials:
        """The org's stored credentials."""

    @abstractmethod
    async def of_provider(self, provider: str) -> Context:
        """Return the context for the part of the step's work that concerns this provider: rows get its credential.

        It is this same context if the run has a credential, or the org does not have one for this provider.
        """

    @property
    @abstractmethod
    def accounts(self) -> Accounts:
        """Customers' accounts at Google Cloud: tokens, and queries in their projects. Closed when the step ends."""

    @property
    @abstractmethod
    def aws(self) -> AwsAccounts:
        """Customers' accounts at AWS: calls of its services. Closed when the step ends."""

    @abstractmethod
    async def billing_periods(self) -> Sequence[BillingPeriod]:
        """Return the org's billing periods that are recorded; charges of closed ones may not change."""

    @abstractmethod
    async def invoices(self) -> Sequence[Invoice]:
        """Return the org's invoices that are recorded."""

    @property
    @abstractmethod
    def objects(self) -> ObjectStores:
        """Places where files are delivered: folders, addresses, buckets. Closed when the step ends."""

    @property
    @abstractmethod
    def http(self) -> httpx.AsyncClient:
        """The process's shared client: pooled, no redirects, no default credentials."""

    @abstractmethod
    def redact(self, value: Any) -> Any:
        """Return text or JSON with the step's secrets masked; for third-party texts before they are cut."""

    @abstractmethod
    def now(self) -> datetime:
        """The engine's clock."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait on the engine's clock."""

    @abstractmethod
    def fraction(self) -> float:
        """A number in [0, 1), for jitter."""

    @abstractmethod
    def idempotency_key(self, number: int = 1) -> str:
        """Return a key for the step's n-th call of a service that accepts one: 32 hexadecimal digits, the same in every
        execution and every replay, so that the service recognises a call that was made before."""

    @abstractmethod
    def progress(self, *, rows: int, total: int | None = None, note: str = "") -> None:
        """Report the rows so far: shown live, never stored or awaited."""

    @abstractmethod
    def read_config(self, path: str) -> bytes:
        """Read a file below the configs folder. Raises `StepFailed` for a path that leaves it or does not exist."""


class ProcessorModule(Protocol):
    """A module with processors."""

    def get_engine(self) -> Processor:
        """Return the processor; called once per step."""
        ...
