"""A dead letter: the record of a step's final failure, or of a message that could not be handled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from convergence.domain.records import from_stored
from convergence.domain.times import to_text

CHAINED: Final = "_then."  # in place of a step: the list of `then` and the place in it follow


class DeadLetterState(StrEnum):
    """`replayed`: its run is in a later epoch that has not completed; the three after it are closed."""

    OPEN = "open"
    REPLAYED = "replayed"
    COMPLETED = "completed"  # its run was replayed and completed
    DISCARDED = "discarded"
    SENT = "sent"  # a message that was published again


@dataclass(frozen=True, kw_only=True)
class Closed:
    """How a dead letter was closed. `by`: the key's id, `cli`, or `engine`."""

    state: DeadLetterState
    at: datetime
    by: str
    reason: str = ""

    def to_data(self) -> dict[str, Any]:
        """Return JSON."""
        return {"state": self.state.value, "at": to_text(self.at), "by": self.by, "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """What `dead_letters/{letter_id}` holds. A step's has a run and an epoch, a message's a topic and its bytes."""

    letter_id: str
    org: str
    error: Mapping[str, Any]  # {code, message, frame?}
    created_at: datetime
    run_id: str = ""
    step_id: str = ""
    ps_type: str = ""
    epoch: int | None = None
    pipeline: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0
    topic: str = ""
    data: str = ""  # base64; of a very long message the beginning
    data_bytes: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    closed: Closed | None = None

    @property
    def chained(self) -> bool:
        """True for the dead letter of a run that could not be started after another one (`run_id`: that one)."""
        return self.step_id.startswith(CHAINED)

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.error.get("code"))

    def state(self, run_epoch: int | None) -> DeadLetterState:
        """Return its state; `run_epoch` is its run's present epoch, None when there is no such run."""
        if self.closed is not None:
            return self.closed.state
        later = self.epoch is not None and run_epoch is not None and run_epoch > self.epoch
        return DeadLetterState.REPLAYED if later else DeadLetterState.OPEN

    @classmethod
    def from_data(cls, path: str, data: Mapping[str, Any]) -> Self:
        """Rebuild from what any release stored (`from_stored`)."""
        return from_stored(cls, {**data, "letter_id": path.rpartition("/")[2]})
