"""How long records are kept: `configs/system/retention.yml`, and what an org's profile says within its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import ValidationError

from convergence.config.files.models import Retention
from convergence.config.files.shipped import own_or_shipped
from convergence.config.model.errors import problems_of
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigErrors, InvalidInput, did_you_mean

FILE = "system/retention.yml"
RecordKind = Literal["runs", "dead_letters", "requests", "webhook_deliveries"]
PROFILE_NAMES: Final = tuple(f"retention_{kind}_days" for kind in get_args(RecordKind))
_DIGITS_MAX: Final = 5


def expires(retention: Retention, kind: RecordKind, profile: Mapping[str, Any], since: datetime) -> datetime:
    """Return when an org's record that was finished at `since` may be removed.

    The profile's `retention_{kind}_days` applies if it is a number, clamped to the bounds.
    """
    kept = getattr(retention, kind)
    own = whole_days(profile.get(f"retention_{kind}_days"))
    days = kept.days if own is None else min(kept.at_most, max(kept.at_least, own))
    return since + timedelta(days=days)


def whole_days(value: object) -> int | None:
    """Return a number of days, which may also be text, as from a command line; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _DIGITS_MAX:
        return int(value)
    return value if type(value) is int and value >= 0 else None


def check_profile(profile: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for a retention in an org's profile that would have no effect."""
    for name in (each for each in profile if each.startswith("retention_")):
        if name not in PROFILE_NAMES:
            raise InvalidInput(f"profile.{name} is unknown.{did_you_mean(name, PROFILE_NAMES)}")
        if profile[name] is not None and whole_days(profile[name]) is None:
            raise InvalidInput(f"profile.{name} must be a whole number of days, not {str(profile[name])[:60]!r}")


def load_retention(configs_dir: Path) -> Retention:
    """Return what the file says. Raises `ConfigErrors` with its mistakes."""
    source = read_yaml(own_or_shipped(configs_dir, FILE).read_bytes(), FILE)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        return Retention.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error


class RetentionFile:
    """The file of a configs folder, read again when it changes."""

    def __init__(self, configs_dir: Path) -> None:
        self._root = configs_dir
        self._read: tuple[tuple[int, int], Retention] | None = None

    def get(self) -> Retention:
        """Return what it says. Raises what `load_retention` raises."""
        stat = own_or_shipped(self._root, FILE).stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, load_retention(self._root))
        return self._read[1]
