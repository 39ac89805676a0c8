"""Settings that a production environment starts with."""

from __future__ import annotations

import pytest

ROOT_KEY = "kkkk" + "0123456789abcdefghijklmnopqr"
PRODUCTION = {
    "ENVIRONMENT": "production",
    "CONVERGENCE_ROOT_KEY": ROOT_KEY,
    "KMS_KEY_NAME": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    "CORS_ORIGINS": "https://a.example, https://b.example",
}


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
