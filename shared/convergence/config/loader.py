"""From a file to the normalised model, with all its mistakes at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from convergence.config.checks import pipeline as checks
from convergence.config.dialects import pipelines as dialects
from convergence.config.model.errors import problems_of, without
from convergence.config.model.pipeline import Pipeline
from convergence.config.prepare import Prepared, prepare
from convergence.config.yaml.positions import KeyPath, Positions
from convergence.config.yaml.source import read_yaml
from convergence.errors import ConfigError, ConfigErrors, NotFound


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline without mistakes. `file` is relative to the configs folder; `digest` is of the file's bytes.

    `warnings` are not mistakes yet: a processor that is offered but not installed, a name that the caller has to
    provide.
    """

    pipeline: Pipeline
    path: str
    digest: str
    file: str
    positions: Positions
    warnings: tuple[ConfigError, ...] = field(default=())

    def where(self, key_path: KeyPath = ()) -> str:
        """Return `file:line:column` of a key, given in the words of the model (`("steps", 0, "config")`)."""
        return self.positions.where(key_path)

    @cached_property
    def prepared(self) -> Prepared:
        """What is the same for every run, worked out once."""
        return prepare(self.pipeline, self.positions)


def load_pipeline(path: Path, root: Path) -> LoadedPipeline:
    """Load the file `path` below the configs folder `root`.

    Raises:
        ConfigErrors: all mistakes of the file.
        NotFound: the file does not exist.
    """
    file = path.relative_to(root).as_posix()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFound(f"Pipeline not found: {path.relative_to(root).with_suffix('').as_posix()}") from error
    return parse_pipeline(content, path.relative_to(root).with_suffix("").as_posix(), file=file)


def parse_pipeline(text: bytes | str, name: str, *, file: str | None = None) -> LoadedPipeline:
    """Read a pipeline from YAML. `name` is its path, `file` its name in messages.

    Raises:
        ConfigErrors: all mistakes of the text.
    """
    source = read_yaml(text, file or f"{name}.yml")
    normal, positions, problems = dialects.normalise(source, name)
    problems = [*source.problems, *problems]
    pipeline = _validated(normal, positions, problems)
    warnings: list[ConfigError] = []
    prepared = None
    if pipeline is not None:
        prepared = prepare(pipeline, positions)
        found, warnings = checks.check(pipeline, prepared, positions)
        problems += found
    if problems or pipeline is None or prepared is None:
        raise ConfigErrors(_in_order(problems))
    content = text if isinstance(text, bytes) else text.encode()
    digest = hashlib.sha256(content).hexdigest()
    loaded = LoadedPipeline(pipeline, name, digest, positions.file, positions, (*source.warnings, *warnings))
    loaded.__dict__["prepared"] = prepared  # where cached_property keeps its value: it is already known
    return loaded


def _validated(normal: Mapping[str, Any], positions: Positions, problems: list[ConfigError]) -> Pipeline | None:
    """Validate; with mistakes, try again without the wrong values, so that the checks see the rest."""
    try:
        return Pipeline.model_validate(normal)
    except ValidationError as error:
        problems += problems_of(error, normal, positions)
        try:
            return Pipeline.model_validate(without(normal, error))
        except ValidationError:
            return None


def _in_order(problems: list[ConfigError]) -> list[ConfigError]:
    """By line; the same sentence at the same place once."""

    def line(problem: ConfigError) -> tuple[int, ...]:
        return tuple(int(part) for part in problem.where.split(":")[1:] if part.isdigit())

    return sorted({str(problem): problem for problem in problems}.values(), key=line)
