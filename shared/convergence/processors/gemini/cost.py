"""`gemini.cost`: cost of the Gemini API, by SKU, project and day, from the billing export of Google Cloud."""

from __future__ import annotations

from convergence.processors.genai.export_rows import ExportProcessor


class GeminiCostProcessor(ExportProcessor):
    """Rows of the export whose service is Gemini API."""

    fixed_table = "genai_billing_daily_raw"
    provider = "gemini"
    services = ("Gemini API", "Generative Language API")
    part = "cost"


def get_engine() -> GeminiCostProcessor:
    """Return the processor."""
    return GeminiCostProcessor()
