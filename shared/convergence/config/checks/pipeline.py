"""Checks that span fields of a pipeline: the graph, the names, the processors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from convergence.config.checks.comparisons import kinds, never_equal
from convergence.config.checks.lookalikes import Finding, credentials, environment_names, lookalikes, unquoted
from convergence.config.checks.parameters import check_parameters, ungiven
from convergence.config.conditions import expression, parser
from convergence.config.files.notifications import CHANNELS
from convergence.config.model.pipeline import BLOCKS, Pipeline, Step
from convergence.config.prepare import Prepared
from convergence.config.processors import ps_types
from convergence.config.templates.builtin_names import BUILT_INS, ENDING, IMPLICIT_PARAMETERS, ROOTS, is_profile, slip
from convergence.config.templates.compiled import Use
from convergence.config.templates.template import SLOT
from convergence.config.yaml.positions import KeyPath, Positions
from convergence.domain.plan import topological_order
from convergence.errors import FINDINGS_MAX, WARNINGS_MAX, ConfigError, did_you_mean, near_names

_NEARLY = 0.8  # similarity at which one name may be a misspelling of the other
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*){1,3}")
_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PIPELINE_ID = re.compile(r"[A-Za-z0-9_-]+")


def check(pipeline: Pipeline, prepared: Prepared, positions: Positions) -> tuple[list[ConfigError], list[ConfigError]]:
    """Return the mistakes and the warnings of a pipeline."""
    look = _Look(pipeline, prepared, positions)
    looks = (look.identity, look.parameters, look.steps, look.graph, look.conditions, look.templates, look.unquoted)
    problems = chain(prepared.mistakes, chain.from_iterable(each() for each in looks))
    # Suggestions are slow to compute, so only those that are reported are computed.
    doubts = chain.from_iterable(islice(kind, WARNINGS_MAX) for kind in look.warnings())
    return list(islice(problems, FINDINGS_MAX + 1)), list(doubts)


def is_pipeline_path(path: str) -> bool:
    """True for two to four segments of letters, digits, `_` and `-`."""
    return _PATH.fullmatch(path) is not None


class _Look:
    def __init__(self, pipeline: Pipeline, prepared: Prepared, positions: Positions) -> None:
        self._pipeline = pipeline
        self._prepared = prepared
        self._problem = positions.problem
        self._numbered = list(enumerate(pipeline.steps))
        self._graph = {step.step_id: step.depends_on for step in pipeline.steps if step.trigger is None}
        force = pipeline.execution.force_param
        self._givable = {*pipeline.variables, *pipeline.parameters, *IMPLICIT_PARAMETERS, *([force] if force else [])}
        self._known = {*BUILT_INS, *self._givable}
        self._before: dict[str, frozenset[str]] = {}  # step → all that it waits for
        self._slips: dict[tuple[str, bool], str | None] = {}  # (name, in an end step) → the name that is meant

    def identity(self) -> Iterator[ConfigError]:
        if not is_pipeline_path(self._pipeline.path):
            yield self._problem(
                (), f"{self._pipeline.path!r} is not a pipeline path: two to four segments below configs/"
            )
        for index, alias in enumerate(self._pipeline.aliases):
            if not is_pipeline_path(alias):
                yield self._problem(("aliases", index), f"{alias!r} is not a pipeline path: two to four segments")
        plain = SLOT.sub("x", self._pipeline.pipeline_id)
        if not _PIPELINE_ID.fullmatch(plain):
            yield self._problem(
                ("pipeline_id",), "write a pipeline_id with letters, digits, - and _ beside its templates"
            )

    def parameters(self) -> Iterator[ConfigError]:
        yield from check_parameters(self._pipeline, self._prepared.names, self._problem)

    def steps(self) -> Iterator[ConfigError]:
        first: dict[str, int] = {}
        for index, step in self._numbered:
            at: KeyPath = ("steps", index)
            if step.step_id in first:
                before = f"step {first[step.step_id] + 1}"
                message = f"{before} is called {step.step_id!r} as well: rename one of them, step ids are unique"
                yield self._problem((*at, "step_id"), message)
            first.setdefault(step.step_id, index)
            if step.ps_type and not ps_types.is_installed(step.ps_type) and step.ps_type not in ps_types.OFFERED_NAMES:
                yield self._problem((*at, "ps_type"), ps_types.unknown(step.ps_type))
            elif step.ps_type and (refused := ps_types.contested(step.ps_type)):
                yield self._problem((*at, "ps_type"), refused)
            if step.trigger is not None and step.depends_on:
                message = "a step with a trigger is outside the graph: remove its depends_on"
                yield self._problem((*at, "depends_on"), message)

    def graph(self) -> Iterator[ConfigError]:
        end_steps = {step.step_id for step in self._pipeline.steps if step.trigger is not None}
        for index, step in self._numbered:
            for number, dependency in enumerate(step.depends_on):
                if dependency in self._graph:
                    continue
                at: KeyPath = ("steps", index, "depends_on", number)
                if dependency in end_steps:
                    message = (
                        f"{dependency!r} has a trigger: it starts when the run has ended, so no step can depend on it; "
                        "remove the one or the other"
                    )
                else:
                    message = f"no step is called {dependency!r}.{did_you_mean(dependency, self._graph)}"
                yield self._problem(at, message)
        _, cycle = topological_order(self._graph)
        if cycle:
            index = next(index for index, step in self._numbered if step.step_id == cycle[0])
            trail = " → ".join(cycle)
            message = f"these steps wait for each other, so none can start: remove one of the depends_on of {trail}"
            yield self._problem(("steps", index, "depends_on"), message)

    def conditions(self) -> Iterator[ConfigError]:
        for prepared in self._prepared.steps:
            if prepared.when is None:
                continue
            at: KeyPath = ("steps", prepared.position, "when")
            for name in expression.names(prepared.when):
                match name.path[0]:
                    case "results":
                        yield from self._result(prepared.step, name.path[1], at)
                    case "":
                        yield from self._slip(name.path[1], at)
                    case "parameters" | "variables" if name.path[1] not in self._givable | self._prepared.names:
                        known = did_you_mean(name.path[1], self._givable)
                        yield self._problem(at, f"no {name.path[0][:-1]} is called {name.path[1]!r}.{known}")

    def templates(self) -> Iterator[ConfigError]:
        for prepared in self._prepared.steps:
            ending = prepared.step.trigger is not None
            for use in prepared.uses:
                yield from self._use(use, prepared.step, ending=ending)
        seen = {use for prepared in self._prepared.steps for use in prepared.uses}
        for use in self._prepared.uses:
            if use not in seen:
                yield from self._use(use, None, ending=False)

    def unquoted(self) -> Iterator[ConfigError]:
        for at, value in self._free():
            for path, message in unquoted(value, at, self._known):
                yield self._problem(path, message)

    def warnings(self) -> Iterator[Iterator[ConfigError]]:
        """Yield the warnings in turn by kind, so that many of one kind do not crowd out the others."""
        yield self._unusual_id()
        yield self._unknown_channels()
        yield self._nearly()
        yield self._older_signs()
        yield self._never_equal()
        yield ungiven(self._pipeline, self._problem)
        yield self._doubtful(lambda value, at: lookalikes(value, at, self._known))
        if not self._pipeline.strict_names:  # in a file with parameters such a name is a mistake
            yield self._doubtful(lambda value, at: environment_names(value, at, self._known))
        yield self._doubtful(credentials)

    def _nearly(self) -> Iterator[ConfigError]:
        """Names that each run has to give, but that closely resemble names which it has anyway."""
        if self._pipeline.strict_names:
            return  # such names are mistakes there, not warnings
        for use in self._prepared.uses:
            root, dot, _ = use.name.partition(".")
            if dot or root in self._known or root in {*ENDING, *ROOTS} or is_profile(root) or use.optional:
                continue
            near = near_names(root, (name for name in self._known if name + "s" != root != name), cutoff=_NEARLY)
            if near and slip(root, self._known) is None:
                yield self._problem(use.path, f"nothing here defines {root!r}, so each run must provide it.{near}")

    def _unusual_id(self) -> Iterator[ConfigError]:
        own = self._pipeline.pipeline_id.removeprefix("{org_slug}-")
        if not _KEBAB.fullmatch(SLOT.sub("x", own)):
            yield self._problem(("pipeline_id",), f"{own!r} is better written in kebab-case")

    def _unknown_channels(self) -> Iterator[ConfigError]:
        for event, channels in self._pipeline.notifications:
            for channel in channels:
                if channel not in {*CHANNELS, "none"}:
                    known = did_you_mean(channel, [*CHANNELS, "none"])
                    message = f"no channel is called {channel!r}, so nothing is sent there.{known}"
                    yield self._problem(("notifications", event), message)

    def _older_signs(self) -> Iterator[ConfigError]:
        for index, step in self._numbered:
            for sign, instead in parser.older_signs(step.when or ""):
                yield self._problem(("steps", index, "when"), f"{sign} is read as {instead}: write {instead}")

    def _never_equal(self) -> Iterator[ConfigError]:
        known: dict[str, str] | None = None  # most files compare nothing
        for prepared in self._prepared.steps:
            if prepared.when is None:
                continue
            known = kinds(self._pipeline) if known is None else known
            for message in never_equal(prepared.when, known):
                yield self._problem(("steps", prepared.position, "when"), message)

    def _doubtful(self, find: Callable[[Any, KeyPath], Iterator[Finding]]) -> Iterator[ConfigError]:
        """Texts that may not do what their author expects; what is reported as a mistake is left out."""
        for at, value in self._free():
            for path, message in find(value, at):
                yield self._problem(path, message)

    def _free(self) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
        """The parts of the file in which templates work at any depth."""
        yield ("variables",), self._pipeline.variables
        for index, step in self._numbered:
            for block in BLOCKS:
                if found := getattr(step, block):
                    yield ("steps", index, block), found

    def _use(self, use: Use, step: Step | None, *, ending: bool) -> Iterator[ConfigError]:
        root, _, rest = use.name.partition(".")
        if root == "secrets" or self._is_secret(rest if root == "parameters" else root):
            message = f"{{{use.name}}} would write a secret into the plan: its processor opens it inside the step"
            yield self._problem(use.path, message)
        elif root == "results":
            if step is None or not rest or use.path[:1] != ("steps",):
                yield self._problem(use.path, "results of steps are known only in steps: {results.step.field}")
            else:
                yield from self._result(step, rest.partition(".")[0], use.path)
        elif root in {"parameters", "variables"} and rest:
            if rest.partition(".")[0] not in self._givable:
                known = did_you_mean(rest, self._givable)
                yield self._problem(use.path, f"no {root[:-1]} is called {rest!r}.{known}")
        elif root in ENDING and not ending and root not in self._known:
            yield self._problem(use.path, f"{{{root}}} is known only to end steps (those with a trigger)")
        elif not (ending and root in ENDING):
            yield from self._slip(root, use.path, ending=ending)

    def _slip(self, name: str, at: KeyPath, *, ending: bool = False) -> Iterator[ConfigError]:
        """A name that does not exist; end steps also know how the run ended."""
        if name in self._known or is_profile(name):
            return
        known = self._known | ENDING if ending else self._known
        if (name, ending) not in self._slips:
            self._slips[name, ending] = slip(name, known)
        meant = self._slips[name, ending]
        if meant is not None:
            yield self._problem(at, f"nothing is called {name!r}. Did you mean {meant!r}?")
        elif self._pipeline.strict_names:
            yield self._problem(at, f"{name!r} is not among the declared parameters.{did_you_mean(name, known)}")

    def _is_secret(self, name: str) -> bool:
        spec = self._pipeline.parameters.get(name)
        return spec is not None and spec.type == "secret"

    def _result(self, step: Step, other: str, at: KeyPath) -> Iterator[ConfigError]:
        if other not in self._graph:
            yield self._problem(at, f"no step is called {other!r}.{did_you_mean(other, self._graph)}")
        elif step.trigger is None and other not in self._ancestors(step):
            message = f"{step.step_id!r} does not wait for {other!r}: name it in depends_on to see its results"
            yield self._problem(at, message)

    def _ancestors(self, step: Step) -> frozenset[str]:
        if step.step_id not in self._before:
            found: set[str] = set()
            waiting = list(step.depends_on)
            while waiting:
                name = waiting.pop()
                if name not in found:
                    found.add(name)
                    waiting.extend(self._graph.get(name, ()))
            self._before = {step.step_id: frozenset(found)}
        return self._before[step.step_id]
