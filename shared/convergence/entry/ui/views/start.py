"""The fields of a form that runs a pipeline."""

from __future__ import annotations

from collections.abc import Mapping

from convergence.config.loader import LoadedPipeline
from convergence.entry.ui.views.replay import Editable, as_text, choices

_FIELD = "p."  # in front of a parameter's name
_RANGE = ("start_date", "end_date")


def start_fields(loaded: LoadedPipeline, sent: Mapping[str, str]) -> list[Editable]:
    """Return the declared parameters with what was sent, else their defaults where these are plain values."""
    return [
        Editable(
            name=name,
            type=spec.type,
            description=spec.description,
            allowed=choices(spec),
            before="",
            value=sent.get(f"{_FIELD}{name}", _default(spec.default)),
            secret=spec.type == "secret",
            required=spec.required,
        )
        for name, spec in loaded.pipeline.parameters.items()
    ]


def start_days(loaded: LoadedPipeline, sent: Mapping[str, str]) -> dict[str, str]:
    """Return the days that every run has, as the form holds them; none where the pipeline declares days of its own."""
    if any(name in loaded.pipeline.parameters for name in ("date", *_RANGE)):
        return {}
    return {name: sent.get(f"{_FIELD}{name}", "") for name in _RANGE}


def given(sent: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a form; an empty field takes the default."""
    named = {name.removeprefix(_FIELD): value for name, value in sent.items() if name.startswith(_FIELD)}
    return {name: value for name, value in named.items() if value != ""}


def _default(value: object) -> str:
    text = as_text(value)
    return "" if "{" in text else text  # a template is filled in when the run starts
