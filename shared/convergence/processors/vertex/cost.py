"""`vertex.cost`: cost of Vertex AI, by SKU, project and day, from the billing export of Google Cloud."""

from __future__ import annotations

from convergence.processors.genai.export_rows import ExportProcessor


class VertexCostProcessor(ExportProcessor):
    """Rows of the export whose service is Vertex AI."""

    fixed_table = "genai_billing_daily_raw"
    provider = "vertex"
    services = ("Vertex AI",)
    part = "cost"


def get_engine() -> VertexCostProcessor:
    """Return the processor."""
    return VertexCostProcessor()
