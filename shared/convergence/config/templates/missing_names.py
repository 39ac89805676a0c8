"""The slow path of `resolve`: a full report on names that have no value."""

from __future__ import annotations

from convergence.config.loader import LoadedPipeline
from convergence.config.prepare import PreparedStep, is_deferred, is_deferred_in_end_step
from convergence.config.templates.builtin_names import ENDING, is_profile
from convergence.config.templates.compiled import Scope, Use
from convergence.config.templates.template import NoValue, lookup
from convergence.errors import ConfigError, did_you_mean


class MissingNames:
    """Reports names that `scope` lacks."""

    def __init__(self, loaded: LoadedPipeline, scope: Scope) -> None:
        self._loaded = loaded
        self._scope = scope

    def step(self, prepared: PreparedStep, error: Exception, mistakes: list[ConfigError]) -> str | None:
        """Return the step's problem, or add mistakes that refuse the run."""
        deferred = is_deferred if prepared.step.trigger is None else is_deferred_in_end_step
        missing = [
            use for use in prepared.uses if not use.optional and not deferred(use.name) and self._lacks(use.name)
        ]
        may_not_run = prepared.step.when is not None or prepared.step.trigger is not None
        found: list[ConfigError] = []
        for use in missing:
            self.mistake(use, found)
        if not missing:
            found.append(self._loaded.positions.problem(("steps", prepared.position), _sentence(error)))
        if may_not_run or (missing and all(is_profile(self._root(use.name)) for use in missing)):
            return "\n".join(str(problem) for problem in found)
        mistakes.extend(found)
        return None

    def mistake(self, use: Use, mistakes: list[ConfigError]) -> None:
        """Add what is wrong with one mention of a name."""
        root = self._root(use.name)
        via = f" (the variable {use.name!r} needs it)" if root != use.name else ""
        if is_profile(root):
            short = root.removeprefix("integration.")
            message = f"{{{short}}} is not in the org's profile{via}: add it to the integration"
        elif root in ENDING:
            message = f"{{{root}}} is known only to end steps (those with a trigger)"
        else:
            message = f"{{{root}}} has no value{via}: give the parameter {root!r}.{did_you_mean(root, self._known())}"
        mistakes.append(self._loaded.positions.problem(use.path, message))

    def _known(self) -> list[str]:
        return [name for name in self._scope if name not in {"parameters", "variables", "integration"}]

    def _lacks(self, name: str) -> bool:
        try:
            return lookup(self._scope, name) is None
        except NoValue:
            return True

    def _root(self, name: str) -> str:
        """Follow variables to the name that is really missing."""
        by_name = {item.name: item for item in self._loaded.prepared.variables}
        seen: set[str] = set()
        while name in by_name and name not in seen:
            seen.add(name)
            name = next((use.name for use in by_name[name].uses if use.name == name or self._lacks(use.name)), name)
        return name


def _sentence(error: Exception) -> str:
    return f"{{{error.args[0]}}} has no value" if isinstance(error, LookupError) else str(error)
