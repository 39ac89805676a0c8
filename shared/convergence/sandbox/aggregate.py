"""Makes the two small files that the sandbox replays from the published sources.

    python -m convergence.sandbox.aggregate ../shared/data

The output depends on the sources only, so running it again changes nothing. `data/README.md` names both licences.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parent / "data"
TRACE_FILE: Final = "azure_llm_inference_2023.csv"
PRICES_FILE: Final = "litellm_prices_1.106.2.json"

SERVICES: Final = ("conv", "code")
TRACE_START: Final = 18 * 3600 + 15 * 60  # 2023-11-16 18:15:00; both files end before 19:15:00
TRACE_SECONDS: Final = 3600

# What the sandbox's bill is priced with; see `traffic.py` for who uses which model.
PRICED_MODELS: Final = (
    "azure/gpt-4o",
    "claude-haiku-4-5",
    "claude-opus-4-8",
    "claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4o-search-preview",
    "gpt-5-mini",
    "gpt-5.6-luna",
    "medium/1024-x-1024/gpt-image-1",
    "omni-moderation-latest",
    "openai/container",
    "text-embedding-3-small",
    "tts-1",
    "whisper-1",
)


def aggregate_trace(files: Mapping[str, Iterable[str]]) -> str:
    """Return CSV: requests and tokens per second (0 to 3599) and service; seconds without requests are left out.

    `files`: service → lines of its published CSV (TIMESTAMP, ContextTokens, GeneratedTokens).
    """
    sums: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for service in SERVICES:
        for row in csv.DictReader(files[service]):
            hours, minutes, seconds = row["TIMESTAMP"][11:19].split(":")
            second = int(hours) * 3600 + int(minutes) * 60 + int(seconds) - TRACE_START
            assert 0 <= second < TRACE_SECONDS, f"{service}: {row['TIMESTAMP']} lies outside the hour of the trace"
            total = sums[second, service]
            total[0] += 1
            total[1] += int(row["ContextTokens"])
            total[2] += int(row["GeneratedTokens"])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["second", "service", "requests", "context_tokens", "generated_tokens"])
    writer.writerows([second, service, *sums[second, service]] for second, service in sorted(sums))
    return out.getvalue()


def extract_prices(text: str) -> str:
    """Return JSON with the cost fields of `PRICED_MODELS`; every number keeps the digits of the source as text."""
    source: dict[str, dict[str, Any]] = json.loads(text, parse_float=str, parse_int=str)
    models = {
        name: {key: value for key, value in sorted(source[name].items()) if "cost" in key} for name in PRICED_MODELS
    }
    return json.dumps({"source": "litellm", "version": "1.106.2", "currency": "USD", "models": models}, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write both files; the only argument is the folder with `llm/` and `prices/`."""
    if len(arguments) != 1:
        sys.stderr.write(
            "usage: python -m convergence.sandbox.aggregate FOLDER (the one that holds llm/ and prices/)\n"
        )
        return 2
    source = Path(arguments[0])
    names = {service: source / "llm" / f"azure_llm_inference_2023_{service}.csv" for service in SERVICES}
    trace = aggregate_trace({service: name.read_text("utf-8").splitlines() for service, name in names.items()})
    prices = extract_prices((source / "prices" / "litellm_1.106.2_subset.json").read_text("utf-8"))
    (DATA / TRACE_FILE).write_text(trace, "utf-8")
    (DATA / PRICES_FILE).write_text(prices, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
