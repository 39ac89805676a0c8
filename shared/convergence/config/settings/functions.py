"""The settings of a deployed function: those of a server, and where Google's services are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from convergence.config.settings.deployment import Settings

_ENDPOINTS: Final = (
    "CONVERGENCE_FIRESTORE_ENDPOINT",
    "CONVERGENCE_PUBSUB_ENDPOINT",
    "CONVERGENCE_KMS_ENDPOINT",
    "CONVERGENCE_BIGQUERY_ENDPOINT",
    "CONVERGENCE_CERTIFICATES_URL",
)
_NOWHERE: Final = "unknown"  # outside the platform, on a developer's machine
_PUSH: Final = ("CONVERGENCE_PUSH_AUDIENCE", "CONVERGENCE_PUSH_SERVICE_ACCOUNT")
_API_ONLY: Final = frozenset({"CONVERGENCE_ROOT_KEY", "CORS_ORIGINS", "RATE_LIMIT_ENABLED"})

# host:port of a stand-in for a service; empty: the service itself, with the credentials of the instance.
Endpoint = Annotated[str, Field(pattern=r"^$|^[A-Za-z0-9.\[\]:-]+:\d{1,5}$")]


class FunctionSettings(Settings):
    """Every setting, under the name of its variable."""

    FORWARDED_HOPS: int = Field(default=1, ge=0, le=5)  # Cloud Run's front end appends who called it
    EVENT_STREAMS_MAX: int = Field(default=20, ge=1)  # of the 80 requests that an instance answers at once
    EVENT_STREAMS_PER_ORG: int = Field(default=5, ge=1)
    CONVERGENCE_CONFIGS: Path = Path("configs")
    CONVERGENCE_PUSH_AUDIENCE: str = ""  # the audience of the tokens of push deliveries
    CONVERGENCE_PUSH_SERVICE_ACCOUNT: str = ""  # the service account that they are issued to
    CONVERGENCE_CERTIFICATES_URL: str = ""  # where the keys are that sign these tokens; empty: Google's
    CONVERGENCE_TOPIC_PREFIX: str = Field(default="", pattern=r"^([a-z][a-z0-9-]*-)?$")
    CONVERGENCE_FIRESTORE_DATABASE: str = "(default)"
    CONVERGENCE_FIRESTORE_ENDPOINT: Endpoint = ""
    CONVERGENCE_PUBSUB_ENDPOINT: Endpoint = ""
    CONVERGENCE_KMS_ENDPOINT: Endpoint = ""
    CONVERGENCE_BIGQUERY_ENDPOINT: Endpoint = ""
    K_SERVICE: str = "convergence"  # set by the platform: the service
    K_REVISION: str = _NOWHERE  # set by the platform: its release

    def faults(self) -> list[tuple[str, str]]:
        """Return what a server refuses, stand-ins in production, and unsigned deliveries outside of development. A
        deployment without ENVIRONMENT does not count as a developer's machine.
        """
        found = super().faults()
        if self.production:
            found += [(name, "this is a stand-in for Google's service") for name in _ENDPOINTS if getattr(self, name)]
        if self.ENVIRONMENT != "development" or self.K_REVISION != _NOWHERE:
            found += [(name, "must be set: deliveries are signed") for name in _PUSH if not getattr(self, name)]
        return found


class PushSettings(FunctionSettings):
    """Settings of a function without the API: it starts without the root key, which its account cannot read."""

    def faults(self) -> list[tuple[str, str]]:
        """Return the faults of a function, without those of settings that only the API uses."""
        return [each for each in super().faults() if each[0] not in _API_ONLY]
