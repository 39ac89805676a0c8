"""The hour of the trace as traffic of an organization: what is replayed, and what is assumed.

One minute of the sandbox replays one second of the trace, so the hour repeats every 2.5 days and any date range
has an answer. All requests of one second and service form one group. What the trace does not hold (models, users,
cache hits, calls of other kinds) follows from the second by the rules below; `describe` prints them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from convergence.sandbox.aggregate import DATA, TRACE_FILE, TRACE_SECONDS
from convergence.sandbox.kinds import KINDS, Kind

Result = dict[str, str | int | bool | None]

CACHE_BLOCK: Final = 128  # tokens; the provider's prompt cache works in such blocks

# A second's last digit decides its model: 0 takes the first entry, 9 the last.
CONV_MODELS: Final = (
    *("gpt-4o-mini",) * 4,
    *("gpt-4o",) * 3,
    *("gpt-5.6-luna",) * 2,
    "gpt-4o-search-preview",
)
CODE_MODELS: Final = (*("gpt-4.1",) * 5, *("gpt-4.1-mini",) * 3, *("gpt-5-mini",) * 2)
WRITES_CACHE: Final = frozenset({"gpt-5.6-luna"})  # models whose cache writes are metered
CACHED_PERCENT: Final = {"conv": 30, "code": 50}
CACHE_WRITE_PERCENT: Final = 10


@dataclass(frozen=True, slots=True)
class Group:
    """The requests of one second and service."""

    second: int
    service: str
    requests: int
    context_tokens: int
    generated_tokens: int

    @property
    def who(self) -> Result:
        """Project, user and key of the second."""
        project = "proj_assistant" if self.service == "conv" else "proj_coding"
        user = self.second % 3
        return {"project_id": project, "user_id": f"user_{user + 1}", "api_key_id": f"key_{project[5:]}_{user % 2 + 1}"}

    @property
    def model(self) -> str:
        """The assumed model."""
        return (CONV_MODELS if self.service == "conv" else CODE_MODELS)[self.second % 10]

    @property
    def batch(self) -> bool:
        """One second in twelve of gpt-4o and gpt-4.1 went through the batch API."""
        return self.second % 12 == 0 and self.model in {"gpt-4o", "gpt-4.1"}

    @property
    def service_tier(self) -> str:
        """gpt-5-mini runs on the flex tier; every fifteenth second of gpt-4o has priority."""
        if self.model == "gpt-5-mini":
            return "flex"
        return "priority" if self.model == "gpt-4o" and self.second % 15 == 10 else "default"


def _blocks(tokens: int, percent: int) -> int:
    return tokens * percent // 100 // CACHE_BLOCK * CACHE_BLOCK


def _completions(group: Group) -> Result:
    cached = _blocks(group.context_tokens, CACHED_PERCENT[group.service])
    written = _blocks(group.context_tokens, CACHE_WRITE_PERCENT) if group.model in WRITES_CACHE else 0
    uncached = group.context_tokens - cached - written
    return {
        **group.who,
        "model": group.model,
        "batch": group.batch,
        "service_tier": group.service_tier,
        "input_tokens": group.context_tokens,
        "input_cached_tokens": cached,
        "input_cache_write_tokens": written,
        "input_uncached_tokens": uncached,
        "input_text_tokens": uncached,
        "input_cached_text_tokens": cached,
        "output_tokens": group.generated_tokens,
        "output_text_tokens": group.generated_tokens,
        "num_model_requests": group.requests,
    }


def _level(group: Group) -> str:
    return ("low", "medium", "high")[group.second % 3]


def usage(kind: Kind, group: Group) -> Result | None:
    """Return what the group adds to the endpoint, ungrouped; None when its second does not count there."""
    if kind.service not in {None, group.service} or group.second % kind.every != kind.at:
        return None
    once: dict[str, Result] = {
        "embeddings": {"model": "text-embedding-3-small", "input_tokens": group.context_tokens},
        "moderations": {"model": "omni-moderation-latest", "input_tokens": group.context_tokens},
        "images": {"model": "gpt-image-1", "size": "1024x1024", "source": "image.generation", "images": group.requests},
        "audio_speeches": {"model": "tts-1", "characters": 4 * group.generated_tokens},
        "audio_transcriptions": {"model": "whisper-1", "seconds": 30 * group.requests},
        "vector_stores": {"usage_bytes": 4 * group.context_tokens},
        "code_interpreter_sessions": {"num_sessions": group.requests},
        "file_search_calls": {"vector_store_id": "vs_handbook", "num_requests": group.requests},
        "web_search_calls": {"model": group.model, "context_level": _level(group), "num_requests": group.requests},
    }
    if kind.name == "completions":
        return _completions(group)
    return {**group.who, "num_model_requests": group.requests, **once[kind.name]}


@lru_cache(maxsize=1)
def _groups() -> tuple[tuple[Group, ...], ...]:
    """All groups, by second."""
    seconds: list[list[Group]] = [[] for _ in range(TRACE_SECONDS)]
    with (DATA / TRACE_FILE).open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            second = int(row["second"])
            seconds[second].append(
                Group(
                    second,
                    row["service"],
                    int(row["requests"]),
                    int(row["context_tokens"]),
                    int(row["generated_tokens"]),
                )
            )
    return tuple(tuple(groups) for groups in seconds)


@lru_cache(maxsize=256)
def _window(kind: str, phase: int, minutes: int) -> tuple[Result, ...]:
    seconds = _groups()
    return tuple(
        row
        for minute in range(minutes)
        for group in seconds[(phase + minute) % TRACE_SECONDS]
        if (row := usage(KINDS[kind], group)) is not None
    )


def rows(kind: str, start: int, end: int) -> Sequence[Result]:
    """Return the endpoint's ungrouped rows from `start` to before `end`, both Unix seconds on full minutes."""
    return _window(kind, start // 60 % TRACE_SECONDS, (end - start) // 60)


def describe() -> str:
    """Return what is real and what is assumed, with source and licence, for people."""
    return (
        "Sandbox: usage and cost APIs of OpenAI, Anthropic, DeepSeek, Google and Azure on loopback,\n"
        "  replaying published figures.\n"
        "  Real: requests and tokens of two LLM services over one hour, 2023-11-16 18:15 to 19:15 UTC\n"
        "    (Azure/AzurePublicDataset, CC BY 4.0; Patel et al., Splitwise, ISCA 2024). One minute here replays\n"
        "    one second of that hour, so the hour lasts 2.5 days and repeats.\n"
        "  Assumed: models (the trace names none). Chat: 40 % of seconds gpt-4o-mini, 30 % gpt-4o,\n"
        "    20 % gpt-5.6-luna, 10 % gpt-4o-search-preview. Code: 50 % gpt-4.1, 30 % gpt-4.1-mini, 20 % gpt-5-mini.\n"
        "    Cached input 30 % (chat) and 50 % (code), cut to blocks of 128, cache writes 10 % (gpt-5.6-luna),\n"
        "    batch, service tiers, two projects, three users; other kinds of usage take a fixed share of the seconds.\n"
        "  Its bill: each group of requests is priced by litellm 1.106.2 (MIT), a list other than the one that\n"
        "    the pipeline computes with; where the two disagree, so do bill and computation."
    )
