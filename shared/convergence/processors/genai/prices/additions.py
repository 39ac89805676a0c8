"""Published prices that genai-prices lacks; `make_list.py` adds it to the lists it makes.

- OpenAI's audio models: prices of audio tokens as in LiteLLM 1.106.2 (MIT,
  `gpt-4o-audio-preview-2024-12-17`, `…-2025-06-03`, `gpt-4o-mini-audio-preview-2024-12-17`, `gpt-4o-mini-tts`:
  `input_cost_per_audio_token`, `output_cost_per_audio_token`). The snapshot of 2024-10-01 was more expensive and is on
  neither list, so it stays without a price of audio.
- Anthropic's inference in the US: "For Claude 4.6 and later models, specifying US-only inference through the
  inference_geo parameter incurs a 1.1x multiplier on all token pricing categories, including input tokens, output
  tokens, cache writes, and cache reads"; it multiplies with fast mode and batch
  (platform.claude.com/docs/en/about-claude/pricing, data residency pricing).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from convergence.domain.money import EXACT, exact_text
from convergence.processors.genai.prices.price import TOKEN_KINDS

Line = dict[str, str]

LITELLM: Final = {"source": "litellm", "source_version": "1.106.2"}
# Listed model → kind → USD per million tokens.
AUDIO: Final = {
    "gpt-4o-audio-preview": {"input_audio": "40", "output_audio": "80"},
    "gpt-4o-mini-audio-preview": {"input_audio": "10", "output_audio": "20"},
    "gpt-4o-mini-tts": {"output_audio": "12"},
}
DEARER_SNAPSHOT: Final = "gpt-4o-audio-preview-2024-10-01"

US: Final = "us"
US_FACTOR: Final = Decimal("1.1")
US_SINCE: Final = (4, 6)  # generation of the model
_GENERATION: Final = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2}))?")


def more_lines(provider: str, lines: list[Line]) -> Iterator[Line]:
    """Yield the lines of a provider's list, and those that the package lacks."""
    yield from lines
    if provider == "openai":
        yield from _audio(lines)
    elif provider == "anthropic":
        yield from _us(lines)


def _audio(lines: Iterable[Line]) -> Iterator[Line]:
    """Audio prices of the previews; the dearer snapshot becomes a model of its own, with its text prices only."""
    plain = [line for line in lines if line["model"] in AUDIO]
    listed = {line["model"]: line for line in plain}
    for model, prices in AUDIO.items():
        for kind, price in prices.items() if model in listed else ():
            if any(line["kind"] == kind for line in plain if line["model"] == model):
                raise ValueError(f"genai-prices lists {kind} of {model} now: take it out of AUDIO")
            yield {**listed[model], "kind": kind, "price": price, **LITELLM}
    for line in plain:
        if line["model"] == "gpt-4o-audio-preview":
            yield {**line, "model": DEARER_SNAPSHOT, "model_match": DEARER_SNAPSHOT}


def _us(lines: Iterable[Line]) -> Iterator[Line]:
    """Each token price again for inference in the US, for the models that offer it."""
    for line in lines:
        if line["kind"] in TOKEN_KINDS and has_inference_geo(line["model"]):
            price = exact_text(EXACT.multiply(Decimal(line["price"]), US_FACTOR))
            yield {**line, "region": US, "price": price, "source": f"{line['source']} x {US_FACTOR} (US)"}


def has_inference_geo(model: str) -> bool:
    """Whether the model is of generation 4.6 or later; earlier ones refuse the parameter."""
    found = _GENERATION.fullmatch(model)
    return found is not None and (int(found[1]), int(found[2] or 0)) >= US_SINCE
