"""Models of the files under configs/ that are not pipelines: keys are checked, and mistakes name the author's line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel, model_validator

from convergence.config.files.kinds import Kind
from convergence.config.files.model_bases import Closed, Open, Texts
from convergence.config.files.notification_models import Alerts, NotificationSettings, Notifier
from convergence.errors import did_you_mean

_MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"


class FocusNames(Closed):
    """What FOCUS charges call a provider; the columns of `focus_providers`."""

    service_provider: str
    invoice_issuer: str
    publisher: str
    host_provider: str
    service: str
    billing_account_type: str
    sub_account_type: str


class ProviderLine(Open):
    """What the registry knows of one provider."""

    type: str
    display_name: str = ""
    credential_type: str = "API_KEY"
    api_base_url: str = ""
    rate_limit_per_minute: int | None = Field(default=None, ge=1)  # calls of `generic.api_extractor` with a credential
    max_concurrent_runs: int | None = Field(default=None, ge=1)  # of all orgs, at once
    max_concurrent_runs_per_credential: int | None = Field(default=None, ge=1)
    # Part → the reason why its API does not have it, and the alternative.
    unavailable: Mapping[Literal["usage", "cost"], Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    # Parameters that point its pipelines to the sandbox (`convergence.sandbox.parameters`).
    sandbox: Mapping[str, str | bool] = Field(default_factory=dict)
    focus: FocusNames | None = None
    services: Texts = ()  # further names of services in its charges, which `system/precedence.yml` may use


class Provider(ProviderLine):
    """`{provider}/provider.yml`: a provider's line of the registry in its own folder, whose name is the provider's."""

    aliases: Texts = ()
    provider_groups: Texts = ()
    api_hosts: Texts = ()


class Providers(Open):
    """`system/providers.yml`, and the whole registry when it is loaded."""

    providers: Mapping[str, ProviderLine]
    aliases: Mapping[str, str] = Field(default_factory=dict)
    provider_groups: Mapping[str, Annotated[tuple[str, ...], Field(strict=False)]] = Field(default_factory=dict)
    api_hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()  # more hosts that tenants may name in production

    @model_validator(mode="after")
    def _names_exist(self) -> Providers:
        named = [*self.aliases.values(), *(name for group in self.provider_groups.values() for name in group)]
        for name in named:
            if name not in self.providers:
                raise ValueError(f"no provider is called {name!r}.{did_you_mean(name, self.providers)}")
        return self


class _DatasetType(Open):
    name: str
    description: str = ""


class TableNames(Closed):
    """`{provider}_{domain}_{granularity}_{state}`, and which tables have other names."""

    granularities: Annotated[Texts, Field(min_length=1)]
    states: Annotated[Texts, Field(min_length=1)]
    reference: Texts = ()
    system_prefixes: Texts = ()


class DatasetTypes(Open):
    """`system/dataset_types.yml`: datasets, and naming rules of tables and steps (`config/files/naming_rules.py`)."""

    dataset_types: Annotated[tuple[_DatasetType, ...], Field(strict=False, min_length=1)]
    tables: TableNames | None = None
    step_actions: Texts = ()


class Plan(Closed):
    """What orgs on a plan may use: runs per UTC day, per UTC month, at the same time; `weight` is the fair share."""

    daily: int = Field(ge=1)
    monthly: int = Field(ge=1)
    concurrent: int = Field(ge=1)
    weight: float = Field(default=1, gt=0)
    bigquery_project: str | None = None
    reservation: str | None = None
    job_priority: Literal["INTERACTIVE", "BATCH"] = "INTERACTIVE"
    job_bytes_billed_max: int | None = Field(default=None, ge=10 << 20)  # BigQuery bills 10 MiB for a table at least
    job_minutes_max: int | None = Field(default=None, ge=1, le=360)  # BigQuery itself ends a job after six hours


class Plans(RootModel[Annotated[Mapping[str, Plan], Field(min_length=1)]]):
    """`system/plans.yml`: plan → what it allows."""


class Kept(Closed):
    """How many days records of a kind are kept, and within which bounds an org may say otherwise."""

    days: int = Field(ge=1, le=3650)
    at_least: int = Field(ge=1, le=3650)
    at_most: int = Field(ge=1, le=3650)

    @model_validator(mode="after")
    def _within(self) -> Kept:
        if not self.at_least <= self.days <= self.at_most:
            raise ValueError(
                f"days ({self.days}) must be between at_least ({self.at_least}) and at_most ({self.at_most})"
            )
        return self


class KeptRows(Closed):
    """How many days rows of the warehouse are kept after they were written, those of all orgs alike."""

    days: int = Field(ge=1, le=3650)


class Retention(Closed):
    """`system/retention.yml`: kind of record → how long it is kept after it is done with."""

    runs: Kept = Kept(days=90, at_least=7, at_most=400)
    dead_letters: Kept = Kept(days=90, at_least=7, at_most=400)
    requests: Kept = Kept(days=90, at_least=7, at_most=400)
    webhook_deliveries: Kept = Kept(days=30, at_least=2, at_most=400)
    log_rows: KeptRows = KeptRows(days=400)
    quarantined_rows: KeptRows = KeptRows(days=90)
    abandoned_stages: KeptRows = KeptRows(days=2)


class PrecedenceSource(Closed):
    """One of the sources of a rule: charges of a provider, of all its services or of those listed.

    One `*` in the name of a service matches any text.
    """

    provider: str = Field(min_length=1, max_length=100)
    services: Annotated[Texts, Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _one_wildcard(self) -> PrecedenceSource:
        for service in self.services:
            if service.count("*") > 1:
                raise ValueError(f"the service {service!r} has more than one *: one stands for any text")
        return self


class PrecedenceRule(Closed):
    """Sources that report the same cost, the one that counts first. `from` and `to`: first and last month."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")
    match: Annotated[tuple[Literal["account", "day", "month"], ...], Field(strict=False)] = ("account", "day")
    from_: str = Field(default="0001-01", alias="from", pattern=_MONTH)
    to: str = Field(default="9999-12", pattern=_MONTH)
    sources: Annotated[tuple[PrecedenceSource, ...], Field(strict=False, max_length=20)]

    @model_validator(mode="after")
    def _can_be_compared(self) -> PrecedenceRule:
        if len(self.sources) < 2:
            raise ValueError(f"the rule {self.name} needs at least two sources")
        if ("day" in self.match) == ("month" in self.match) or len(set(self.match)) != len(self.match):
            raise ValueError(
                f"the rule {self.name}: match must have either day or month, may have account, and names each once"
            )
        if self.from_ > self.to:
            raise ValueError(f"the rule {self.name} ends in {self.to}, before it begins in {self.from_}")
        if len({bool(source.services) for source in self.sources}) > 1:
            raise ValueError(f"the rule {self.name}: either all sources must name their services, or none")
        return self


class Precedence(Closed):
    """`system/precedence.yml`: whose charges count where two sources report the same cost."""

    precedence: Annotated[tuple[PrecedenceRule, ...], Field(strict=False, max_length=200)] = ()

    @model_validator(mode="after")
    def _rules_differ(self) -> Precedence:
        names = [rule.name for rule in self.precedence]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the names of rules must differ: {', '.join(twice)}")
        return self


class PublicationAnswers(Closed):
    """What becomes of closed periods that are not reconciled."""

    over: Literal["blocked", "published"] = "blocked"
    not_compared: Literal["blocked", "published"] = "blocked"


class Publication(Closed):
    """`system/publication.yml`: which billing periods `cost_data_published` shows."""

    publish: PublicationAnswers = PublicationAnswers()
    late: Literal["corrected", "refused"] = "corrected"


MODELS: Mapping[Kind, type[BaseModel]] = {
    Kind.ALERTS: Alerts,
    Kind.NOTIFIER: Notifier,
    Kind.NOTIFICATIONS: NotificationSettings,
    Kind.PROVIDERS: Providers,
    Kind.PROVIDER: Provider,
    Kind.DATASET_TYPES: DatasetTypes,
    Kind.PLANS: Plans,
    Kind.RETENTION: Retention,
    Kind.PRECEDENCE: Precedence,
    Kind.PUBLICATION: Publication,
}
