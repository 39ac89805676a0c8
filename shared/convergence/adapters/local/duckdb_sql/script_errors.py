"""What can interrupt a script: an error with its place, or a jump."""

from __future__ import annotations

from dataclasses import dataclass, field

from convergence.adapters.googlesql.scripts.nodes import Text
from convergence.errors import StepFailed


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in a script: the file, and the statement there."""

    source: str
    at: Text

    def __str__(self) -> str:
        return f"{self.source}:{self.at.line}:{self.at.column}"


class ScriptError(StepFailed):
    """A statement failed. `message` is what `@@error.message` says; the text shown has the place before it."""

    def __init__(self, message: str, frames: tuple[Frame, ...]) -> None:
        self.message, self.frames = message, frames
        first = str(frames[0]) if frames else ""
        super().__init__(f"{first}: {message}" if first else message)

    @property
    def statement_text(self) -> str:
        """The statement that failed."""
        return self.frames[0].at.sql if self.frames else ""

    @property
    def stack_trace(self) -> str:
        """The places from the failing statement outwards, one a line."""
        return "\n".join(f"At {frame}" for frame in self.frames)


@dataclass(slots=True)
class Leave(Exception):
    """LEAVE: out of the loop or block with this label, or of the innermost loop."""

    label: str


@dataclass(slots=True)
class Iterate(Exception):
    """ITERATE: continue with the next iteration."""

    label: str


@dataclass(slots=True)
class Return(Exception):
    """RETURN: out of the procedure."""

    frames: list[Frame] = field(default_factory=list)
