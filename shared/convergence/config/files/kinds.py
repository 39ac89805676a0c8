"""The kind of each file under configs/, by its location."""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePath
from typing import Final

_CHECKS: Final = frozenset({"checks", "dq", "dq_checks", "dq_config", "dq_configs"})  # what `dq_config` names

_OF_SYSTEM: Final = frozenset(
    {"providers", "dataset_types", "plans", "retention", "precedence", "publication", "allocation"}
)


class Kind(StrEnum):
    """What a file is, by its location."""

    PIPELINE = "pipeline"
    ALERTS = "alerts"
    NOTIFIER = "notifier"
    NOTIFICATIONS = "notifications"
    PROVIDERS = "providers"
    PROVIDER = "provider"
    DATASET_TYPES = "dataset_types"
    PLANS = "plans"
    RETENTION = "retention"
    PRECEDENCE = "precedence"
    PUBLICATION = "publication"
    ALLOCATION = "allocation"
    TABLE_SCHEMA = "table schema"
    PROCEDURE = "procedure"
    MIGRATION = "migration"
    REPORT = "report"
    VIEW = "view"
    OTHER = "other"  # seeds, notes, data checks (read by the step that names them): not checked here

    def named(self, count: int) -> str:
        """Return the name for that many of them: `pipeline`, `pipelines`, `plans file`."""
        name = self.value if self in _ONE_EACH else f"{self.value} file"
        return name if count == 1 else f"{name}s"


_SQL_OF_SYSTEM: Final = {"migrations": Kind.MIGRATION, "reports": Kind.REPORT, "views": Kind.VIEW}
_ONE_EACH: Final = frozenset(
    {Kind.PIPELINE, Kind.NOTIFIER, Kind.PROVIDER, Kind.TABLE_SCHEMA, Kind.PROCEDURE, *_SQL_OF_SYSTEM.values()}
)


def kind_of(path: PurePath) -> Kind:
    """Return the kind of the file at `path`, relative to the configs folder."""
    parts, suffix = path.parts, path.suffix
    yaml = suffix in {".yml", ".yaml"}
    if parts[0] == "alerts" and yaml:
        return Kind.ALERTS
    if parts[0] == "allocation" and yaml and len(parts) == 2:
        return Kind.ALLOCATION
    if parts[0] == "notify_systems" and yaml and path.stem == "config":
        return Kind.NOTIFIER
    if parts[0] == "notifications" and len(parts) == 2 and suffix == ".json":
        return Kind.NOTIFICATIONS
    if parts[0] == "system" and len(parts) > 2 and suffix == ".sql" and parts[1] in _SQL_OF_SYSTEM:
        return _SQL_OF_SYSTEM[parts[1]]
    if parts[0] == "system" and yaml:
        return Kind(path.stem) if len(parts) == 2 and path.stem in _OF_SYSTEM else Kind.OTHER
    if parts[1:] == ("provider.yml",):
        return Kind.PROVIDER
    if suffix == ".json" and not {"schemas", "seed"}.isdisjoint(parts[:-1]):
        return Kind.TABLE_SCHEMA
    if suffix == ".sql" and "procedures" in parts[:-1]:
        return Kind.PROCEDURE
    if not _CHECKS.isdisjoint(parts[:-1]):
        return Kind.OTHER
    return Kind.PIPELINE if yaml and len(parts) > 1 else Kind.OTHER
