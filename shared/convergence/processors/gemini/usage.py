"""`gemini.usage`: quantities of the Gemini API, by SKU, project and day, from the billing export of Google Cloud."""

from __future__ import annotations

from convergence.processors.genai.export_rows import ExportProcessor


class GeminiUsageProcessor(ExportProcessor):
    """Rows of the export whose service is Gemini API."""

    fixed_table = "genai_metrics_daily_raw"
    provider = "gemini"
    services = ("Gemini API", "Generative Language API")
    part = "usage"


def get_engine() -> GeminiUsageProcessor:
    """Return the processor."""
    return GeminiUsageProcessor()
