"""Naming rules for tables and steps, from `system/dataset_types.yml`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from convergence.config.files.models import DatasetTypes
from convergence.config.yaml.source import read_yaml
from convergence.errors import did_you_mean

FILE: Final = "system/dataset_types.yml"


class Naming:
    """The rules of one configs folder. A folder without the file has none: every name is allowed."""

    def __init__(self, rules: DatasetTypes | None) -> None:
        self._tables = None if rules is None else rules.tables
        self._actions = () if rules is None else rules.step_actions

    def table_problem(self, name: str) -> str | None:
        """Return what is wrong with a table's name, or None."""
        rules = self._tables
        if rules is None or name in rules.reference or name.startswith(tuple(rules.system_prefixes)):
            return None
        words = name.split("_")
        if len(words) < 4 or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            return f"the table {name!r} is not called {{provider}}_{{domain}}_{{granularity}}_{{state}}"
        for word, allowed, what in (
            (words[-2], rules.granularities, "granularity"),
            (words[-1], rules.states, "state"),
        ):
            if word not in allowed:
                known = f"({', '.join(allowed)}).{did_you_mean(word, allowed)}"
                return f"the table {name!r}: {word!r} is not a known {what} {known}"
        return None

    def step_problem(self, step_id: str) -> str | None:
        """Return what is wrong with a step's id, or None."""
        action, _, target = step_id.partition("_")
        if not self._actions or (action in self._actions and re.fullmatch(r"[a-z0-9_]+", target)):
            return None
        if action in self._actions:
            return f"the step {step_id!r} is not called {{action}}_{{target}}, in lower case"
        known = ", ".join(self._actions)
        return f"the step {step_id!r}: {action!r} is not a known action ({known}).{did_you_mean(action, self._actions)}"


def load_naming(root: Path) -> Naming:
    """Return the rules below `root`. An invalid file yields none: `validate` reports its mistakes."""
    file = root / FILE
    if not file.is_file():
        return Naming(None)
    source = read_yaml(file.read_bytes(), FILE)
    try:
        return Naming(None if source.problems else DatasetTypes.model_validate(source.data))
    except ValidationError:
        return Naming(None)
