"""The environments of a deployment: the file with its settings, and the suffix of its datasets."""

from __future__ import annotations

from typing import Final

FILES: Final = {"development": ".env.local", "staging": ".env.stage", "production": ".env.prod"}
SHORT: Final = {"development": "dev", "staging": "stage", "production": "prod"}
