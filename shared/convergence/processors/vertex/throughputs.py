"""`vertex.throughputs`: the GSU that Provisioned Throughput has now, by model and region → `vertex_throughputs_raw`.

Google has no API that lists the orders. Cloud Monitoring has the limit that follows from them, without term and price:
publisher/online_serving/dedicated_gsu_limit (GAUGE, beta, Gemini models only). Source: Google Cloud metrics,
aiplatform; Provisioned Throughput, "Use Provisioned Throughput", metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Row
from convergence.processors.genai.commitments.listed import committed, differences, store
from convergence.processors.http.paging import cursor_paging
from convergence.processors.settings import Destination, settings, table_of
from convergence.processors.vertex.usage import VertexSettings, connect

TABLE: Final = "vertex_throughputs_raw"
METRIC: Final = "aiplatform.googleapis.com/publisher/online_serving/dedicated_gsu_limit"
BACK: Final = timedelta(days=1)


class VertexThroughputs:
    """The newest point of each series of the last day; the rows of a day are those of its last listing."""

    config_model = VertexSettings
    destination_model = Destination
    fixed_table = TABLE

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """List, and replace the rows of today; units that differ from the commitments' are warnings.

        Raises:
            StepFailed: an answer of another shape, or one that Google says is not whole.
            CredentialRejected: the account may not read metrics.
        """
        options, rows = settings(VertexSettings, step_config), list[Row]()
        client, now = await connect(context, options), context.now()
        params = [
            ("filter", f'metric.type = "{METRIC}"'),
            ("interval.startTime", (now - BACK).isoformat()),
            ("interval.endTime", now.isoformat()),
        ]
        path = f"/projects/{quote(options.project, safe='')}/timeSeries"
        paging = cursor_paging(param="pageToken", cursor="nextPageToken", more="nextPageToken")
        async for page in client.pages(path, params, paging=paging):
            if page.get("executionErrors"):
                raise StepFailed("Cloud Monitoring could not read all of its data: models would be missing")
            rows += [row_of(series, options.project) for series in page.get("timeSeries") or ()]
        listed: dict[str, int] = {}
        for row in rows:
            listed[row["model"]] = listed.get(row["model"], 0) + row["units"]
        bought = await committed(context, "vertex")
        held = {model: units for model, units in listed.items() if units or model in bought}
        warnings = [*differences(held, bought, "model", "GSU")]
        return await store(context, table_of(step_config, TABLE), rows, warnings)


def row_of(series: Any, project: str) -> Row:
    """Return the row of a series, by its newest point, which is first. Raises `StepFailed` for another shape."""
    try:
        labels, newest = series["resource"]["labels"], series["points"][0]
        return {
            "project_id": project,
            "location": labels.get("location"),
            "model": labels["model_user_id"],
            "units": int(newest["value"]["int64Value"]),
            "read_at": newest["interval"]["endTime"],
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StepFailed(f"Cloud Monitoring: a series without model or whole-numbered points ({error!r})") from error


def get_engine() -> VertexThroughputs:
    """Return the processor."""
    return VertexThroughputs()
