"""How procedures are named: the project in their files, and the paths by which CALL finds them."""

from __future__ import annotations

import re
from typing import Final

from convergence.errors import ConfigError, Denied
from convergence.ports.warehouse import SHARED_DATASET, Routine

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_BACKTICKS: Final = re.compile(r"`[^`\n]*`")


def procedure_name(path: str, project: str) -> str:
    """Return the name of the procedure that `path` (`[[project.]organizations.]name`) means.

    Raises:
        Denied: the path leads to another project or dataset: what is there has not been checked.
    """
    *place, name = path.split(".")
    if (place and place[-1] != SHARED_DATASET) or place[:-1] not in ([], [project]):
        raise Denied(f"The procedure {path} cannot be called: only those of {project}.{SHARED_DATASET} can.")
    return name


def with_project(routine: Routine, project: str, dataset: str = "") -> str:
    """Return a routine's text with the project in its place; a migration's with the dataset that it runs in, too.

    Raises `ConfigError` for any other placeholder.
    """
    known = dict.fromkeys(("project_id", "gcp_project_id", "project"), project)
    if dataset:
        known |= dict.fromkeys(("dataset", "dataset_id", "org_dataset"), dataset)

    def replaced(quoted: re.Match[str]) -> str:
        text = quoted.group(0)
        for name in _PLACEHOLDER.findall(text):
            if name not in known:
                line = routine.definition.count("\n", 0, quoted.start()) + 1
                when = "a migration runs" if dataset else "a procedure is stored: make it a parameter"
                raise ConfigError(f"{{{name}}} has no value when {when}", where=f"{routine.source}:{line}")
        return _PLACEHOLDER.sub(lambda found: known[found.group(1)], text)

    return _BACKTICKS.sub(replaced, routine.definition)
