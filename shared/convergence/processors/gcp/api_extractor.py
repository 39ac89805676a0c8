"""`gcp.api_extractor`: any list of a Google API, as it is now, into a table of the org; the record as JSON in each row.

Token of the service account (RFC 7523), pages by nextPageToken, aggregated maps (`items.*.instances`). An answer that
Google itself marks as incomplete (zones that it could not reach) stops the step unless `on_partial: warn` accepts it.

Source: Google API design (AIP-158, pagination; AIP-217, unreachable resources), Compute Engine API v1
(instances.aggregatedList).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.processor import SUCCESS, Context
from convergence.ports.warehouse import Row
from convergence.processors.balance import balanced
from convergence.processors.gcp.api_records import incomplete, records, value_at
from convergence.processors.http.client import RestClient
from convergence.processors.http.paging import cursor_paging
from convergence.processors.settings import CredentialSettings, Destination, settings

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform.read-only"
RENEW: Final = (
    "Give the service account a role that may list this, or store a new key with gcp/auth/setup; then replay."
)
MESSAGES_MAX: Final = 20


class ListSettings(CredentialSettings):
    """`items` is the path of the records in a page, with `*` for every key of a map: `items.*.instances`.

    `fields`: column → path in the record. The columns `listed_on`, `scope` (the key that `*` stood for), `name` and
    `raw` are always filled.
    """

    api_base_url: str
    path: str = Field(pattern=r"/[A-Za-z0-9/_.:{}-]{1,500}")
    items: str = Field(pattern=r"[A-Za-z0-9_*]{1,100}(\.[A-Za-z0-9_*]{1,100}){0,9}")
    params: Mapping[str, str | int | bool] = Field(default_factory=dict)
    fields: Mapping[str, str] = Field(default_factory=dict)
    scopes: tuple[str, ...] = (SCOPE,)
    page_size: int | None = Field(default=None, ge=1, le=10_000)
    page_size_param: str = "pageSize"
    on_partial: Literal["fail", "warn"] = "fail"
    service: str = "Google"
    secret: str = "gcp"  # noqa: S105 - the name of a secret


class GoogleListExtractor:
    """One list; the rows of a day are those of its last listing."""

    config_model = ListSettings
    destination_model = Destination

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """List, and replace the rows of today; the result counts them and names what Google could not reach.

        Raises:
            StepFailed: an answer without its list, or an incomplete one.
            CredentialRejected: the service account may not list this.
        """
        options = settings(ListSettings, step_config)
        stage = context.warehouse.stage(settings(Destination, step_config, "destination").table)
        today, part, count = context.now().date(), 0, 0
        missing: list[str] = []
        async for page in _pages(options, context):
            missing += [each for each in incomplete(page, options.items) if each not in missing]
            rows = [_row(options, scope, record) for scope, record in records(page, options.items, options.service)]
            await stage.write(part, [{**row, "listed_on": today} for row in rows])
            part, count = part + 1, count + len(rows)
            context.progress(rows=count)
        if missing and options.on_partial == "fail":
            raise StepFailed(
                f"{options.service} reports that its answer is incomplete: {'; '.join(missing[:MESSAGES_MAX])}."
                " Nothing was loaded; run it later, or set on_partial: warn"
            )
        loaded = await context.warehouse.load(stage, dates=[today])
        warnings = [f"{options.service}: not listed: {each}" for each in missing[:MESSAGES_MAX]]
        result = {"status": SUCCESS, "rows_processed": count, "rows_written": loaded.rows_loaded, "table": stage.table}
        return {**result, **balanced(count, loaded=loaded.rows_loaded), "partial": bool(missing), "warnings": warnings}


async def _pages(options: ListSettings, context: Context) -> AsyncIterator[Any]:
    secret = await context.secrets.open(options.secret)

    async def sign_in() -> Mapping[str, str]:
        token = await context.accounts.token(secret, options.scopes)
        return {"authorization": f"Bearer {token}"}

    client = RestClient(
        context,
        options.api_base_url,
        headers=await sign_in(),
        service=options.service,
        renew=RENEW,
        credential=context.credential_id,
        sign_in=sign_in,
    )
    paging = cursor_paging(param="pageToken", cursor="nextPageToken", more="nextPageToken")
    async for page in client.pages(options.path, _params(options), paging=paging, exact=True):
        yield page


def _params(options: ListSettings) -> Sequence[tuple[str, str]]:
    sized = {} if options.page_size is None else {options.page_size_param: options.page_size}
    given = {**options.params, **sized}
    return [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in given.items()]


def _row(options: ListSettings, scope: str, record: Mapping[str, Any]) -> Row:
    named = {column: value_at(record, path) for column, path in options.fields.items()}
    return {"scope": scope or None, "name": record.get("name") or record.get("id"), "raw": record, **named}


def get_engine() -> GoogleListExtractor:
    """Return the processor."""
    return GoogleListExtractor()
