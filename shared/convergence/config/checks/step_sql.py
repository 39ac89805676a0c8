"""The SQL that a file's steps hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from convergence.config.model.pipeline import BLOCKS, Step
from convergence.config.processors import ps_types
from convergence.config.templates.compiled import is_sql
from convergence.config.yaml.positions import KeyPath
from convergence.errors import StepFailed

Text = tuple[KeyPath, str]


def runs_sql(ps_type: str) -> bool:
    """True for a processor whose SQL is for the org's warehouse."""
    try:
        return bool(getattr(ps_types.load(ps_type), "runs_sql", False))
    except StepFailed:  # the check of processors reports why it cannot be loaded
        return False


def loads_rows(ps_type: str) -> bool:
    """True for a processor of one statement, whose rows a destination takes."""
    return runs_sql(ps_type) and hasattr(ps_types.load(ps_type), "destination_model")


def texts(step: Step, index: int) -> Iterator[Text]:
    """Yield the statements of a step with their places; one that a parameter gives as a whole is not among them."""
    for block in BLOCKS:
        yield from _texts(getattr(step, block), ("steps", index, block))


def texts_of_files(step: Step, configs_dir: Path) -> Iterator[str]:
    """Yield the statements in files that the step names; templates are not interpreted there.

    A missing or invalid file is reported where processors are checked.
    """
    model = getattr(ps_types.load(step.ps_type), "config_model", None)
    if model is None or not hasattr(model, "delegates"):
        return
    try:
        delegated = model.model_validate(step.config or {}).delegates(configs_dir)
    except (StepFailed, ValidationError):
        return
    for _, config in delegated:
        yield from (text for _, text in _texts(config, ("config",)))


def _texts(value: Any, at: KeyPath) -> Iterator[Text]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*at, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*at, index))
    elif isinstance(value, str) and value.strip() and is_sql(at) and not _named_whole(value):
        yield at, value


def _named_whole(text: str) -> bool:
    """True for a statement that is one template: a parameter gives all of it."""
    return re.fullmatch(r"\s*\$?\{+[^{}]+\}+\s*", text) is not None
