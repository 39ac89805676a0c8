"""Keys of `generic.file_extractor`."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from convergence.ports.object_store import Place
from convergence.ports.warehouse import FileFormat
from convergence.processors.settings import Settings


class Source(Settings):
    """Where the files are: the step's block `source`.

    folder: `path` below the org's folder of uploaded files. https: `urls`. s3, azure, gcs, oci: `bucket` (a container),
    and `path` in it. `%Y`, `%m` and `%d` in `path` stand for the period's first day. `options` are further properties
    of the kind, such as a region or a role.
    """

    kind: Literal["folder", "https", "s3", "azure", "gcs", "oci"]
    path: str = ""
    urls: Sequence[str] = ()
    bucket: str = ""
    options: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "https" and not (self.urls and all(self.urls)):
            raise ValueError("https needs urls")
        if self.kind not in {"https", "folder"} and not self.bucket:
            raise ValueError(f"{self.kind} needs a bucket")
        return self

    def urls_of(self, day: date) -> tuple[str, ...]:
        """Return the addresses for the period that begins on `day`: `%Y`, `%m` and `%d` are filled in, and cannot be
        part of an address otherwise."""
        filled = {"%Y": f"{day:%Y}", "%m": f"{day:%m}", "%d": f"{day:%d}"}
        return tuple(re.sub("%[Ymd]", lambda found: filled[found[0]], url) for url in self.urls)

    @property
    def place(self) -> Place:
        """The place, as the port wants it."""
        return Place(kind=self.kind, root=self.bucket, options=self.options)


class FileSettings(Settings):
    """What is read, and how. `secret` names the credential that opens the place.

    `delivery`: which files belong together. listing: all below `path` that match `pattern`. aws_export, aws_cur,
    azure_export: those that the newest manifest below `path` names.

    `period`: with `month` each month of the run's days is a delivery of its own, which replaces the month; its rows
    must have the month's first day in `period_column` (with `period_rows: within`, a day of the month). With `day` each
    of the run's days is one. Without it the run's days are replaced (`destination.date_field`).

    `no_files`: whether a listing without files is an error, or a period without rows.

    `late_days`: rows of a period also arrive in files of up to so many days after it, among rows of the next period: a
    listing also takes the folders of these days (`%d` in `path`) or, where `path` names neither day nor month, the
    files written until then; rows of other periods are left to their own deliveries.

    `constants`: table column → its value in all rows; `%Y`, `%m` and `%d` stand for the period's first day.

    `columns`: table column → its name in the files, or several names, of which the first is taken; `/input/tokens` is
    the field `tokens` of the object `input` in NDJSON. `unknown_columns`: what happens to columns that the table does
    not have; `keep` needs the column `other_fields` (STRING) in the table. `optional_columns`: table columns that the
    files may lack; `["*"]`: all but REQUIRED ones.

    `row_id`: a STRING column of the table for an id that identifies a row, computed from all its values in the file.

    `extra_digits`: whether digits beyond the scale of an exact column are refused or rounded. `allow_shrink`: a
    delivery may have fewer days than are stored.
    """

    secret: str = ""
    delivery: Literal["listing", "aws_export", "aws_cur", "azure_export"] = "listing"
    pattern: str = "*"
    no_files: Literal["stop", "empty"] = "stop"
    period: Literal["", "day", "month"] = ""
    period_column: str = ""
    period_rows: Literal["start", "within"] = "start"
    late_days: int = Field(default=0, ge=0, le=31)
    format: FileFormat | Literal["auto"] = "auto"
    encoding: str = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    null_texts: Sequence[str] = ("",)
    columns: Mapping[str, str | Sequence[str]] = Field(default_factory=dict)
    constants: Mapping[str, str] = Field(default_factory=dict)
    optional_columns: Sequence[str] = ()
    unknown_columns: Literal["refuse", "drop", "keep"] = "refuse"
    row_id: str = ""
    date_formats: Mapping[str, str] = Field(default_factory=dict)
    allowed: Mapping[str, Sequence[str]] = Field(default_factory=dict)
    extra_digits: Literal["refuse", "round"] = "refuse"
    on_bad_row: Literal["stop", "quarantine"] = "stop"
    bad_rows_max: int = Field(default=1_000, ge=1, le=10_000)
    allow_shrink: bool = False
    files_max: int = Field(default=1_000, ge=1, le=10_000)
    file_mib_max: int = Field(default=4_096, ge=1)
    delivery_mib_max: int = Field(default=32_768, ge=1)

    @field_validator("columns", mode="after")
    @classmethod
    def _lists(cls, value: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
        return {name: (found,) if isinstance(found, str) else tuple(found) for name, found in value.items()}

    @model_validator(mode="after")
    def _periods(self) -> FileSettings:
        if self.period and not self.period_column:
            raise ValueError("period needs period_column, the column with the period's first day")
        if self.period == "day" and self.delivery != "listing":
            raise ValueError("period: day needs delivery: listing; manifests cover months")
        return self

    def last_day(self, day: date) -> date:
        """Return the last day of the period that begins on `day`."""
        return day if self.period == "day" else day.replace(day=monthrange(day.year, day.month)[1])

    def opens(self) -> Sequence[Sequence[str]]:
        """Return the name of the credential, as `UsesCredentials` requires."""
        return ((self.secret,),) if self.secret else ()
