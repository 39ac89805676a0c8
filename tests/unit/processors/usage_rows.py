"""Rows of usage as `openai.usage` writes them."""

from __future__ import annotations

from datetime import date
from typing import Any

DAY = date(2026, 11, 10)
NOTHING = dict.fromkeys(
    (
        *("project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "input_tokens"),
        *("input_cached_tokens", "input_cache_write_tokens", "input_audio_tokens", "input_image_tokens"),
        *("input_cached_audio_tokens", "input_cached_image_tokens", "output_tokens", "output_audio_tokens"),
        *("output_image_tokens", "num_requests", "num_model_requests", "images", "characters", "seconds"),
        *("usage_bytes", "num_sessions"),
    )
)


def used(kind: str = "completions", **fields: Any) -> dict[str, Any]:
    return {**NOTHING, "usage_date": DAY, "usage_kind": kind, **fields}
