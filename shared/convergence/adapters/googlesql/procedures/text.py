"""A procedure's file names the project as `{project_id}`; here it gets the one it runs in."""

from __future__ import annotations

import re
from typing import Final

from convergence.errors import ConfigError
from convergence.ports.warehouse import Routine

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_BACKTICKS: Final = re.compile(r"`[^`\n]*`")


def with_project(routine: Routine, project: str) -> str:
    """Return a routine's text with the project in its place. Raises `ConfigError` for any other placeholder."""

    def replaced(quoted: re.Match[str]) -> str:
        text = quoted.group(0)
        for name in _PLACEHOLDER.findall(text):
            if name not in {"project_id", "gcp_project_id", "project"}:
                line = routine.definition.count("\n", 0, quoted.start()) + 1
                message = f"{{{name}}} has no value when a procedure is stored: make it a parameter"
                raise ConfigError(message, where=f"{routine.source}:{line}")
        return _PLACEHOLDER.sub(project, text)

    return _BACKTICKS.sub(replaced, routine.definition)
