"""What models of files under configs/ have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Texts = Annotated[tuple[str, ...], Field(strict=False)]


class Closed(BaseModel):
    """Other keys than the known ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Open(BaseModel):
    """Known keys are checked, others are kept for their readers."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
