"""The usage endpoints: what each counts, what it can be grouped and filtered by, which seconds add to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One usage endpoint: when a second of the chat service adds to it, and what it may be grouped by."""

    name: str
    object: str
    group_by: tuple[str, ...]
    metrics: tuple[str, ...]
    every: int = 1  # seconds
    at: int = 0
    service: str | None = "conv"  # None: both
    filters: dict[str, str] = field(default_factory=dict)  # query name → field


_WHO: Final = ("project_id", "user_id", "api_key_id")
_TOKENS: Final = (
    "input_tokens",
    "input_cached_tokens",
    "input_cache_write_tokens",
    "input_uncached_tokens",
    "input_text_tokens",
    "input_cached_text_tokens",
    "output_tokens",
    "output_text_tokens",
    "num_model_requests",
)
_FILTERS: Final = {"project_ids": "project_id", "user_ids": "user_id", "api_key_ids": "api_key_id", "models": "model"}
_PROJECTS: Final = {"project_ids": "project_id"}

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("completions", "completions", (*_WHO, "model", "batch", "service_tier"), _TOKENS,
             service=None, filters={**_FILTERS, "batch": "batch"}),
        Kind("embeddings", "embeddings", (*_WHO, "model"), ("input_tokens", "num_model_requests"),
             every=5, filters=_FILTERS),
        Kind("moderations", "moderations", (*_WHO, "model"), ("input_tokens", "num_model_requests"),
             every=4, at=1, filters=_FILTERS),
        Kind("images", "images", (*_WHO, "model", "size", "source"), ("images", "num_model_requests"),
             every=240, at=7, filters={**_FILTERS, "sizes": "size", "sources": "source"}),
        Kind("audio_speeches", "audio_speeches", (*_WHO, "model"), ("characters", "num_model_requests"),
             every=50, at=11, filters=_FILTERS),
        Kind("audio_transcriptions", "audio_transcriptions", (*_WHO, "model"), ("seconds", "num_model_requests"),
             every=50, at=12, filters=_FILTERS),
        Kind("vector_stores", "vector_stores", ("project_id",), ("usage_bytes",), every=100, at=13, filters=_PROJECTS),
        Kind("code_interpreter_sessions", "code_interpreter_sessions", ("project_id",), ("num_sessions",),
             every=120, at=14, service="code", filters=_PROJECTS),
        Kind("file_search_calls", "file_searches", (*_WHO, "vector_store_id"), ("num_requests",),
             every=20, at=15, filters={**_FILTERS, "vector_store_ids": "vector_store_id"}),
        Kind("web_search_calls", "web_searches", (*_WHO, "model", "context_level"),
             ("num_requests", "num_model_requests"), every=100, at=12,
             filters={**_FILTERS, "context_levels": "context_level"}),
    )
}  # fmt: skip
