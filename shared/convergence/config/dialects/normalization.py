"""Translates a written file into the normal form; keeps the mistakes, and where each key came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from convergence.config.processors import ps_types
from convergence.config.yaml.positions import KeyPath
from convergence.config.yaml.source import Source
from convergence.errors import ConfigError, did_you_mean

# The older single-processor form has its only step's keys at the top.
SINGLE_KEYS: Final = (
    *("processor", "ps_type", "source", "target", "destination", "transform", "transformation", "config"),
    *("retry", "retry_policy"),
)


@dataclass(slots=True)
class Normalizer:
    """What the translation of one file has found so far. Paths given to `report` are as the author wrote them."""

    source: Source
    problems: list[ConfigError] = field(default_factory=list)
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def report(self, path: KeyPath, message: str) -> None:
        """Note a mistake."""
        self.problems.append(self.source.positions.problem(path, message))

    def came_from(self, normal: KeyPath, written: KeyPath) -> None:
        """Remember where a normalised key is in the file."""
        if normal != written:
            self.origins[normal] = written

    def written(self, normal: KeyPath) -> KeyPath:
        """Return where a normalised key is in the file."""
        for cut in range(len(normal), 0, -1):
            if normal[:cut] in self.origins:
                return self.origins[normal[:cut]] + normal[cut:]
        return normal

    def place(self, found: dict[str, Any], normal: KeyPath, written: KeyPath, value: Any) -> None:
        """Put a value under the last key of `normal`, once."""
        target = str(normal[-1])
        if target in found:
            first = self.origins.get(normal, normal)[-1]
            self.report(written, f"{written[-1]} means the same as {first}: keep one of them")
            return
        found[target] = value
        self.came_from(normal, written)


def seconds(normalizer: Normalizer, at: KeyPath, value: Any) -> Any:
    """Return a timeout in seconds; the last key of `at` names the unit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        normalizer.report(at, f"{at[-1]} must be a number, not {value!r}")
        return 60.0
    if value <= 0:
        normalizer.report(at, f"{at[-1]} must be more than 0")
        return 60.0
    return float(value * 60 if at[-1] == "timeout_minutes" else value)


def processor_name(normalizer: Normalizer, at: KeyPath, value: Any) -> Any:
    """Return today's `ps_type` of a name, or of the older `{class, module}`."""
    if isinstance(value, str):
        return ps_types.canonical(value)
    if not isinstance(value, Mapping):
        return value
    name, module = value.get("class"), value.get("module")
    for key in set(value) - {"class", "module"}:
        normalizer.report((*at, key), f"processor has no {key!r}.{did_you_mean(key, ('class', 'module'))}")
    if not isinstance(name, str) or not (module is None or isinstance(module, str)):
        normalizer.report(at, "processor must be a name, or {class: Name, module: path}")
        return None
    return ps_types.from_class(name, module)
