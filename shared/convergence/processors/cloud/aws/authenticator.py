"""`cloud.aws.authenticator`: tries the stored credential of AWS."""

from __future__ import annotations

from convergence.processors.cloud.access import PlaceAuthenticator


def get_engine() -> PlaceAuthenticator:
    """Return the processor."""
    return PlaceAuthenticator()
