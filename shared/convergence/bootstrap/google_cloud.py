"""An installation on Google Cloud: Firestore, Pub/Sub, BigQuery, KMS. Clients are made at their first call."""

from __future__ import annotations

from functools import partial

from convergence.bootstrap.aws import aws_accounts
from convergence.bootstrap.http_client import HttpClient
from convergence.bootstrap.objects import object_stores
from convergence.config.catalog import Catalog
from convergence.config.files.notifications import NotificationsFile
from convergence.config.files.providers import ProviderRegistry
from convergence.config.files.retention import RetentionFile
from convergence.config.files.schemas.folder import TableSchemas
from convergence.config.processors.ps_types import load
from convergence.config.settings.functions import FunctionSettings
from convergence.engine.retention.rows import kept_by_partitions
from convergence.engine.services import INDEXES, EngineSettings, Services
from convergence.tenants.credentials import CredentialStore
from convergence.tenants.job_settings import PlanJobs
from convergence.tenants.orgs import OrgStore


def google_cloud(settings: FunctionSettings) -> Services:
    """Return the services of one process. An endpoint in `settings` stands in for a service of Google."""
    from convergence.adapters.gcp.bus import PubSubBus
    from convergence.adapters.gcp.documents.adapter import FirestoreDocuments
    from convergence.adapters.gcp.google_accounts.adapter import GoogleAccounts
    from convergence.adapters.gcp.keyring.adapter import CloudKmsKeyring
    from convergence.adapters.gcp.warehouse.adapter import BigQueryWarehouse
    from convergence.adapters.local.clock import RandomIds, SystemClock

    clock, ids, project = SystemClock(), RandomIds(), settings.GCP_PROJECT_ID
    documents = FirestoreDocuments(
        project,
        clock,
        ids,
        database=settings.CONVERGENCE_FIRESTORE_DATABASE,
        endpoint=settings.CONVERGENCE_FIRESTORE_ENDPOINT or None,
        indexes=INDEXES,
    )
    keyring = CloudKmsKeyring(
        settings.KMS_KEY_NAME, clock=clock, ids=ids, endpoint=settings.CONVERGENCE_KMS_ENDPOINT or None
    )
    http, registry = HttpClient(settings.env), ProviderRegistry(settings.CONVERGENCE_CONFIGS)
    retention = RetentionFile(settings.CONVERGENCE_CONFIGS)
    orgs, bigquery = OrgStore(documents), settings.CONVERGENCE_BIGQUERY_ENDPOINT or None
    return Services(
        documents=documents,
        bus=PubSubBus(
            project,
            clock=clock,
            ids=ids,
            prefix=settings.CONVERGENCE_TOPIC_PREFIX,
            endpoint=settings.CONVERGENCE_PUBSUB_ENDPOINT or None,
        ),
        warehouse=BigQueryWarehouse(
            project=project,
            location=settings.BIGQUERY_LOCATION,
            clock=clock,
            ids=ids,
            endpoint=bigquery,
            settings=PlanJobs(orgs, settings.CONVERGENCE_CONFIGS, clock),
            kept=partial(kept_by_partitions, retention.get),
        ),
        keyring=keyring,
        clock=clock,
        ids=ids,
        catalog=Catalog(settings.CONVERGENCE_CONFIGS),
        schemas=TableSchemas(settings.CONVERGENCE_CONFIGS),
        orgs=orgs,
        credentials=CredentialStore(documents, keyring, clock),
        processor=load,
        http=http.client,
        accounts=lambda: GoogleAccounts(http.client, clock=clock, ids=ids, endpoint=bigquery),
        objects=lambda org, client: object_stores(
            org, client, clock=clock, ids=ids, files=None, registry=registry, here=bigquery is not None
        ),
        aws=lambda org: aws_accounts(org, registry=registry, here=bigquery is not None),
        owner=ids.new("boot"),
        configs_dir=settings.CONVERGENCE_CONFIGS,
        notifications=NotificationsFile(settings.CONVERGENCE_CONFIGS).settings,
        providers=registry.get,
        retention=retention.get,
        env=settings.env,
        project_id=project,
        settings=EngineSettings(
            runs_max=settings.CONVERGENCE_RUNS_MAX, query_usd_per_tib=settings.BIGQUERY_USD_PER_TIB
        ),
    )
