"""What the settings of both notifiers share."""

from __future__ import annotations

from pydantic import Field

from convergence.processors.settings import Settings


class Notice(Settings):
    """`only_steps`, `only_codes`: a default notification for some failures only, as `failed_step` and `error_code` say.

    A code that ends with a dot stands for all that begin with it.
    """

    subject: str = Field(default="", max_length=10_000)
    skip_unless_set_up: bool = False  # default notifications: without what it needs the step is skipped
    failed_step: str = ""
    error_code: str = ""
    only_steps: tuple[str, ...] | None = None
    only_codes: tuple[str, ...] | None = None
    cooldown_seconds: int = Field(default=0, ge=0)  # kept by the engine, which says how long it lasts
    resting_until: str = ""

    @property
    def unsent(self) -> str:
        """Return the reason why nothing is sent; empty when something is."""
        if not self._concerned:
            return f"not for a failure of {self.failed_step or 'the run'} ({self.error_code})"
        return f"the last one was recent: cooldown until {self.resting_until}" if self.resting_until else ""

    @property
    def _concerned(self) -> bool:
        if self.only_steps is not None:
            return self.failed_step in self.only_steps
        if self.only_codes is not None:
            return any(
                self.error_code == code or (code.endswith(".") and self.error_code.startswith(code))
                for code in self.only_codes
            )
        return True
