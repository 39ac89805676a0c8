"""Reports as files: `configs/system/reports/*.sql`, one SELECT each, without parameters, so that each can be a view.

`configs/system/views/*.sql` have the same form; they become views of each org, under their own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from convergence.config.files.shipped import own_or_shipped
from convergence.domain.sql_names import bigquery_name
from convergence.errors import InvalidInput, NotFound, did_you_mean

FOLDER: Final = "system/reports"
VIEWS: Final = "system/views"
_TABLE: Final = re.compile(r"\{dataset(?::all_days)?\}\.(\w+)")
_OF_DAYS: Final = re.compile(r"\{dataset\}\.(\w+)")
_WITH: Final = re.compile(r"WITH\s+(RECURSIVE\s+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Days:
    """The days that a report is asked about, both inclusive; None is open."""

    first: date | None = None
    last: date | None = None

    def condition(self, day: str) -> str:
        """Return the condition that restricts the expression `day` to these days."""
        bounds = ((">=", self.first), ("<=", self.last))
        return " AND ".join(f"{day} {sign} DATE '{bound}'" for sign, bound in bounds if bound is not None)  # dates only


@dataclass(frozen=True, slots=True)
class Report:
    """A query with a name. `statement` has `{dataset}.` before each of the org's tables.

    `{dataset:all_days}.` precedes a table whose rows are all read even when the report is about some days.
    """

    name: str
    about: str
    statement: str

    @property
    def tables(self) -> frozenset[str]:
        """The org's tables that it reads."""
        return frozenset(_TABLE.findall(self.statement))

    def sql(self, *where: str) -> str:
        """Return the statement for the tables of a project and dataset; without them for those of the scope."""
        return _TABLE.sub(lambda found: bigquery_name(*where, found[1]), self.statement)

    def sql_of_days(self, days: Days, columns: Callable[[str], Collection[str]]) -> str:
        """Return the statement for the rows of some days only; `columns` gives those of a table of the scope.

        The day is that of ChargePeriodStart, else `usage_date`, else the data date of the row.

        Raises:
            InvalidInput: the statement begins WITH RECURSIVE, where a table cannot be replaced by some of its days.
        """
        if days == Days():
            return self.sql()
        begins = _WITH.match(self.statement)
        if begins and begins[1]:
            raise InvalidInput(f"the report {self.name!r} begins WITH RECURSIVE, so it can only read all days")
        rest = self.sql()[begins.end() :] if begins else self.sql()
        chosen = (
            f"{bigquery_name(table)} AS (SELECT * FROM {bigquery_name(table)}"  # noqa: S608 - quoted
            f" WHERE {days.condition(_day_of(columns(table)))})"
            for table in sorted(set(_OF_DAYS.findall(self.statement)))
        )
        return f"WITH {', '.join(chosen)}{', ' if begins else ' '}{rest}"

    def view(self, *where: str) -> str:
        """Return the statement that makes it the view `report_{name}` of a project and dataset."""
        return self.view_named(f"report_{self.name}", *where)

    def view_named(self, name: str, *where: str) -> str:
        """Return the statement that makes it a view of this name."""
        return f"CREATE OR REPLACE VIEW {bigquery_name(*where, name)} AS\n{self.sql(*where)}"


def load_reports(configs_dir: Path) -> dict[str, Report]:
    """Return the reports by name: those of the configs folder, or the product's own where it has none.

    Raises:
        InvalidInput: a file does not begin with a line `-- what the report shows`.
    """
    return {file.stem: read_report(file) for file in sorted(own_or_shipped(configs_dir, FOLDER).glob("*.sql"))}


def load_views(configs_dir: Path) -> dict[str, Report]:
    """Return the statements of views by name. Raises what `load_reports` raises."""
    return {file.stem: read_report(file) for file in sorted(own_or_shipped(configs_dir, VIEWS).glob("*.sql"))}


def find_report(configs_dir: Path, name: str) -> Report:
    """Return a report. Raises `NotFound` with the closest names."""
    reports = load_reports(configs_dir)
    if name not in reports:
        raise NotFound(f"there is no report {name[:100]!r}.{did_you_mean(name, reports)}")
    return reports[name]


def _day_of(columns: Collection[str]) -> str:
    if "ChargePeriodStart" in columns:
        return "DATE(ChargePeriodStart)"
    return "usage_date" if "usage_date" in columns else "x_pipeline_run_date"


def read_report(file: Path) -> Report:
    """Return the report of a file. Raises `InvalidInput`: the file does not begin with what the report shows."""
    first, _, statement = file.read_text(encoding="utf-8").partition("\n")
    if not first.startswith("-- ") or not statement.strip():
        raise InvalidInput(f"{file}: the first line must be `-- ` and what the report shows, then one SELECT")
    return Report(name=file.stem, about=first[3:].strip(), statement=statement.strip())
