"""Parameters that are kept in the state for later runs: those of schedules and backfills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from convergence.config.loader import LoadedPipeline
from convergence.errors import InvalidInput

_BYTES_MAX: Final = 16_384  # as JSON: a pass reads a hundred such documents at once


def check_kept(loaded: LoadedPipeline, parameters: Mapping[str, Any], subject: str) -> None:
    """Check what `subject` ("a schedule") keeps. Only a run seals secrets, so nothing that is kept may hold one.

    Raises:
        InvalidInput: a parameter of type secret, or too many bytes.
    """
    specs = loaded.pipeline.parameters
    secret = sorted(name for name in parameters if name in specs and specs[name].type == "secret")
    if secret:
        raise InvalidInput(f"{subject} may not contain secrets: {', '.join(secret)}; store a credential instead")
    size = len(orjson.dumps(dict(parameters)))
    if size > _BYTES_MAX:
        raise InvalidInput(f"parameters of {subject} may have at most {_BYTES_MAX} bytes as JSON, these have {size}")
