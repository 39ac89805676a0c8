"""Keys of `generic.api_extractor`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from convergence.errors import StepFailed
from convergence.ports.http.urls import checked_url
from convergence.processors.generic.landing.settings import LandingTarget
from convergence.processors.http.auth import Auth
from convergence.processors.http.paging import PAGES_MAX
from convergence.processors.settings import Settings

PaginationKind = Literal["cursor", "offset", "page", "link", "next_page_token", "none"]

# Usual names of parameters, used if the file does not name them.
_PARAMS: Final = {"cursor": "cursor", "next_page_token": "pageToken", "offset": "offset", "page": "page"}
_TOTALS: Final = {"offset": "rows", "page": "pages"}
NUMBERED: Final = frozenset(_TOTALS)  # ways of paging that count, without a link to the next page
_TOKENS: Final = frozenset({"pagetoken", "nextpagetoken"})
_PATHS: Final = {"cursor": "next_cursor", "next_page_token": "nextPageToken"}


class Pagination(Settings):
    """How to get to the next page, and how to recognise the last one.

    cursor, next_page_token: the value at `response_path` goes into `param` (or `token_param`). No value, or the one
    that was sent, means the end; so does, for a cursor, a page without records.
    link: the URL at `response_path`, else the header `Link: <…>; rel="next"` (RFC 8288).
    offset, page: until a page is empty; or until the number at `total_path` is reached, which counts what
    `total_counts` says: rows (offset), pages (page).

    Without `type`, the name of the parameter says which: a token (pageToken), a number (page, offset), or with a
    `response_path` any other name, which is a cursor's.

    `more_path` (true or false on every page, as in `has_more`) takes precedence over all of these. `empty_page`:
    whether a page without records ends a listing by cursor, token or link; without `more_path` only. `max_pages`: a
    longer listing is an error.
    """

    type: PaginationKind
    param: str = ""
    token_param: str = ""
    response_path: str = ""
    more_path: str = ""
    total_path: str = ""
    total_counts: Literal["rows", "pages"] | None = None
    empty_page: Literal["ends", "goes_on"] | None = None
    limit: int | None = Field(default=None, ge=1)
    page_size: int | None = Field(default=None, ge=1)
    page_size_param: str = "limit"
    start: int | None = Field(default=None, ge=0)  # number of the first page or row
    max_pages: int = Field(default=PAGES_MAX, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _without_type(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("type") is not None:
            return value
        kind = _kind(value)
        if kind is None and value.keys() - cls.model_fields.keys():
            return value  # a misspelt key is the mistake to report
        if kind is None:
            raise ValueError("type is missing, and the other keys fit several: say cursor, offset, page, link or none")
        return {**value, "type": kind}

    @model_validator(mode="after")
    def _total_of_numbers(self) -> Pagination:
        if (self.total_path or self.total_counts) and self.type not in NUMBERED:
            raise ValueError("total_path and total_counts belong to the types offset and page")
        if self.total_counts == "pages" and self.type == "offset":
            raise ValueError("an offset counts rows: total_counts must be rows")
        return self

    @property
    def counts_pages(self) -> bool:
        """Whether the number at `total_path` is one of pages."""
        return (self.total_counts or _TOTALS.get(self.type)) == "pages"

    @property
    def ends_empty(self) -> bool:
        """Whether a page without records is the last one: tokens and links may lead over empty pages (AIP-158)."""
        return self.empty_page == "ends" if self.empty_page else self.type == "cursor"

    @property
    def name(self) -> str:
        """The parameter that asks for the next page."""
        return self.token_param or self.param or _PARAMS.get(self.type, "")

    @property
    def path(self) -> str:
        """Where an answer names the next page."""
        return self.response_path or _PATHS.get(self.type, "")

    @property
    def size(self) -> int | None:
        """Rows of a full page, where the file sets it."""
        return self.page_size or self.limit


def _kind(given: Mapping[str, Any]) -> PaginationKind | None:
    """Return the way of paging that the keys of older files, which have no type, can only mean."""
    name = re.sub(r"[^a-z]", "", str(given.get("token_param") or given.get("param") or "").lower())
    path = re.sub(r"[^a-z]", "", str(given.get("response_path") or "").lower())
    if name in _TOKENS or path.endswith("nextpagetoken"):
        return "next_page_token"
    if path:
        return "cursor" if name else None  # a path alone may lead to a cursor or to a link
    return "offset" if name in {"offset", "skip"} else "page" if name in {"page", "pagenumber"} else None


class Incremental(Settings):
    """Request only new records: `param` gets the greatest value that was loaded, less `overlap`.

    `cursor_path` is the field of a record. The value is kept in the loaded rows only, so it
    moves in the same commit that makes them visible. `overlap`: days for dates, seconds for times, a number else.
    """

    cursor_path: str
    param: str = "since"
    initial: str | int = ""
    overlap: Decimal = Field(default=Decimal(0), ge=0)


class RateLimit(Settings):
    """Shared by all steps that call the same host with the same credential."""

    requests_per_second: float | None = Field(default=None, gt=0)
    retry_on_429: bool = True
    max_retries: int = Field(default=4, ge=0, le=20)


class ApiSettings(Settings):
    """`url`, or `api` (host or base URL) with `endpoint`."""

    url: str = ""
    api: str = ""
    endpoint: str = ""
    method: Literal["GET", "POST"] = "GET"
    params: dict[str, Any] = Field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    auth: Auth | None = None
    pagination: Pagination | None = None
    data_path: str = ""
    data_optional: bool = False  # nothing or null at `data_path` is an empty page: some APIs leave empty lists out
    incremental: Incremental | None = None
    rate_limit: RateLimit = RateLimit()
    allowed_hosts: tuple[str, ...] = ()
    allow_private_addresses: bool = False
    on_bad_row: Literal["stop", "quarantine"] = "stop"
    outside_dates: Literal["stop", "filter"] = "stop"
    answer_mib_max: int = Field(default=64, ge=1, le=1024)

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_address(self) -> ApiSettings:
        if bool(self.url) == bool(self.api):
            raise ValueError("give url, or api with endpoint")
        if self.method == "GET" and self.body is not None:
            raise ValueError("a GET cannot have a body; set method: POST")
        return self

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the names under which the credential is looked for."""
        return (self.auth.names,) if self.auth is not None and self.auth.type != "none" else ()

    @field_validator("url")
    @classmethod
    def _callable(cls, value: str) -> str:
        """Refuse before a run what no call would be made to; a template is filled first."""
        if value and "{" not in value:
            try:
                checked_url(value, "url")
            except StepFailed as error:
                raise ValueError(str(error).removeprefix("url: ")) from error
        return value

    @property
    def address(self) -> str:
        """The whole URL."""
        if self.url:
            return self.url
        base = self.api if "://" in self.api else f"https://{self.api}"
        return base.rstrip("/") + "/" + self.endpoint.lstrip("/")


class Transform(Settings):
    """`flatten` turns {"a": {"b": 1}} into a_b. `field_mapping` renames: {key or path in the record: column}.

    `add_fields` adds the same value to every row: an SQL expression (a call, a quoted literal, or with templates), or
    plain text. Fields without a column go into the column `other_fields` as JSON, if the table has one.
    """

    flatten: bool = False
    field_mapping: dict[str, str] = Field(default_factory=dict)
    add_fields: dict[str, Any] = Field(default_factory=dict)
    unknown_fields: Literal["stop", "drop"] = "stop"
    unseen_fields: Literal["warn", "stop"] = "warn"  # if no record of the run has a mapped field

    @model_validator(mode="after")
    def _one_field_a_column(self) -> Transform:
        columns = list(self.field_mapping.values())
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(f"two fields are mapped to the column {twice[0]!r}, and one of them would be lost")
        return self

    def fills_columns(self) -> Sequence[tuple[tuple[str, ...], str]]:
        """Return the columns of the destination that it names, as `FillsColumns` requires."""
        renamed = ((("field_mapping", path), column) for path, column in self.field_mapping.items())
        return [*renamed, *((("add_fields", column), column) for column in self.add_fields)]


class ApiDestination(LandingTarget):
    """A step continues in a new slice (CONTINUE) after `checkpoint_rows` rows or 30 s of work: what was staged until
    then survives a crash."""

    batch_size: int = Field(default=1000, ge=1, le=100_000)
    checkpoint_rows: int = Field(default=100_000, ge=1)
