"""Which closed billing periods are published: `configs/system/publication.yml`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from convergence.config.files.models import Publication
from convergence.config.files.shipped import own_or_shipped
from convergence.config.model.errors import problems_of
from convergence.config.yaml.source import read_yaml
from convergence.domain.publication import Policy
from convergence.errors import ConfigErrors

FILE: Final = "system/publication.yml"


def load_publication(configs_dir: Path) -> Policy:
    """Return the policy. Raises `ConfigErrors` with the mistakes of the file."""
    source = read_yaml(own_or_shipped(configs_dir, FILE).read_bytes(), FILE)
    if source.problems:
        raise ConfigErrors(source.problems)
    try:
        found = Publication.model_validate(source.data)
    except ValidationError as error:
        raise ConfigErrors(problems_of(error, source.data, source.positions)) from error
    return Policy(over=found.publish.over, not_compared=found.publish.not_compared, late=found.late)
