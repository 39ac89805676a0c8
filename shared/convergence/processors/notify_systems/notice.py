"""What the settings of both notifiers share."""

from __future__ import annotations

import os
import re
from typing import Final

from pydantic import Field

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.processors.settings import Settings

PUBLIC_URL: Final = "CONVERGENCE_PUBLIC_URL"  # where the dashboard is, such as https://convergence.example
_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,260}(/[A-Za-z0-9._~/-]{0,200})?")


def page_of(context: Context) -> str:
    """Return the address of the run's page in the dashboard; empty where this installation names none.

    Raises:
        StepFailed: CONVERGENCE_PUBLIC_URL is not an address.
    """
    base = os.environ.get(PUBLIC_URL, "").strip()
    if not base:
        return ""
    if not _URL.fullmatch(base):
        raise StepFailed(f"{PUBLIC_URL} is not an address such as https://convergence.example")
    return f"{base.rstrip('/')}/ui/{context.org_slug}/runs/{context.run_id}"


class Notice(Settings):
    """`only_steps`, `only_codes`: a default notification for some failures only, as `failed_step` and `error_code` say.

    A code that ends with a dot means all that begin with it.
    """

    subject: str = Field(default="", max_length=10_000)
    skip_unless_set_up: bool = False  # default notifications: without what it needs the step is skipped
    failed_step: str = ""
    error_code: str = ""
    only_steps: tuple[str, ...] | None = None
    only_codes: tuple[str, ...] | None = None
    cooldown_seconds: int = Field(default=0, ge=0)  # handled by the engine, which knows how long it lasts
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
