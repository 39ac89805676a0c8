"""The progress of an extraction: its counts, and the checkpoint from which it continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from convergence.errors import StepFailed
from convergence.processors.balance import balanced
from convergence.processors.http.paging import Call


@dataclass(slots=True, kw_only=True)
class Progress:
    """Counts of rows, and where the next page is. `since` is the cursor that the extraction began with."""

    call: Call | None = None
    guard: Sequence[Any] = ("", 1, 0)
    short: int = 0
    since: str | None = None
    pages: int = 0
    read: int = 0
    staged: int = 0
    filtered: int = 0
    quarantined: int = 0
    http_calls: int = 0
    http_retries: int = 0
    unseen: list[str] | None = None  # mapped paths that no record had so far
    dropped: dict[str, int] = field(default_factory=dict)  # fields without a column, and in how many records
    remainder: str = ""  # what the last page reports about a next one that was not requested
    digests: list[str] = field(default_factory=list)  # of the first page and of the previous one

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any] | None) -> Progress:
        """Go on, or begin."""
        if checkpoint is None:
            return cls()
        call = dict(checkpoint["call"])
        call["params"] = tuple((name, value) for name, value in call["params"])
        return cls(**{**checkpoint, "call": Call(**call)})

    def checkpoint(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return asdict(self)

    def count(self, records: Sequence[Any], service: str, *, numbered: bool) -> None:
        """Count a page.

        Raises `StepFailed` when it repeats the page before it or, with `numbered` pages, the first one: some APIs start
        over after the end.
        """
        self.pages += 1
        self.read += len(records)
        if not records:
            return
        digest = sha256(orjson.dumps(records, default=str)).hexdigest()[:16]  # the CPU has it in hardware
        if digest in (self.digests if numbered else self.digests[-1:]):
            raise StepFailed(
                f"{service}: page {self.pages} holds the same records as an earlier page; does the API know the"
                " parameter that config.pagination names?"
            )
        self.digests = [*self.digests[:1], digest]

    def balance(self, loaded: int, *, merged: bool) -> dict[str, dict[str, int]]:
        """Return read = loaded + quarantined + filtered + duplicate. Raises `StepFailed` when it does not close."""
        return balanced(
            self.read,
            loaded=loaded,
            quarantined=self.quarantined,
            filtered=self.filtered,
            duplicate=self.staged - loaded if merged else 0,
        )
