"""Reports as files: `configs/system/reports/*.sql`, one SELECT each, without parameters, so that each can be a view.

`configs/system/views/*.sql` are alike; they are views of each org, under their own names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from convergence.config.files.shipped import own_or_shipped
from convergence.domain.sql_names import bigquery_name
from convergence.errors import InvalidInput, NotFound, did_you_mean

FOLDER: Final = "system/reports"
VIEWS: Final = "system/views"
_TABLE: Final = re.compile(r"\{dataset\}\.(\w+)")


@dataclass(frozen=True, slots=True)
class Report:
    """A question with a name. `statement` has `{dataset}.` before each of the org's tables."""

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
    return {file.stem: _report(file) for file in sorted(own_or_shipped(configs_dir, FOLDER).glob("*.sql"))}


def load_views(configs_dir: Path) -> dict[str, Report]:
    """Return the statements of views by name. Raises what `load_reports` raises."""
    return {file.stem: _report(file) for file in sorted(own_or_shipped(configs_dir, VIEWS).glob("*.sql"))}


def find_report(configs_dir: Path, name: str) -> Report:
    """Return a report. Raises `NotFound` with the closest names."""
    reports = load_reports(configs_dir)
    if name not in reports:
        raise NotFound(f"there is no report {name[:100]!r}.{did_you_mean(name, reports)}")
    return reports[name]


def _report(file: Path) -> Report:
    first, _, statement = file.read_text(encoding="utf-8").partition("\n")
    if not first.startswith("-- ") or not statement.strip():
        raise InvalidInput(f"{file}: the first line must be `-- ` and what the report shows, then one SELECT")
    return Report(name=file.stem, about=first[3:].strip(), statement=statement.strip())
