"""What a step is given, as one digest: two executions with the same one are meant to write the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from convergence.config.files.below import file_below
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.run import Run

_FILES: Final = (".csv", ".json", ".md", ".sql", ".txt", ".yaml", ".yml")
_PATH_MAX: Final = 300
_DIGEST_BYTES: Final = 12  # a fingerprint holds two, in hexadecimal, and has room for 63 characters
_DATES: Final = ("start_date", "end_date")


def input_digest(run: Run, plan: Plan, planned: PlanStep, configs_dir: Path) -> str:
    """Return the digest of the filled config, the files that it names, parameters, variables and dates.

    Secret parameters and credentials are left out: a new key does not change the data.
    """
    dates = [plan.core.get(name) for name in _DATES]
    given = [planned.ps_type, planned.config, run.parameters, plan.variables, dates]
    files = [digest(content) for content in _files(planned.config, configs_dir)]
    return digest(orjson.dumps([*given, files], default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))


def digest(data: bytes) -> str:
    """Return 24 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _files(config: Any, configs_dir: Path) -> Iterator[bytes]:
    for text in _strings(config):
        if not text.endswith(_FILES) or len(text) > _PATH_MAX or "\n" in text or "\0" in text:
            continue
        file = file_below(configs_dir, text)
        if file is not None:
            yield file.read_bytes()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)
