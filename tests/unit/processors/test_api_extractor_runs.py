"""`generic.api_extractor` in the engine: slices, crashes, and rows that become visible at the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from convergence.bootstrap import EmbeddedOptions, embedded
from convergence.domain.run import Run
from convergence.engine.dispatch import dispatch
from convergence.engine.prepare_run import RunRequest
from convergence.ports.warehouse import Scope, Statement
from convergence.sandbox.http import HttpServer, Request, Response
from tests.bench import engine

PIPELINE = """
pipeline_id: "{{org_slug}}-acme-usage-things"
provider: acme
domain: usage
steps:
  - step_id: extract_things
    ps_type: generic.api_extractor
    retry: {{max_attempts: 2, backoff_seconds: 0}}
    config:
      url: "{url}/things"
      data_path: data
      pagination: {{type: offset, page_size: 100}}
      rate_limit: {{max_retries: 0}}
      allow_private_addresses: true
    destination: {{table: acme_things_daily_raw, batch_size: 100, checkpoint_rows: 200}}

  - step_id: notify_end
    ps_type: notify_systems.slack_notification
    trigger: always
    config:
      webhook_url: "{url}/hook"
      allow_private_addresses: true
      message: "{{pipeline_id}} {{status}}"
"""


class Things:
    """A thousand rows; one page answers 500 once."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.reported: list[str] = []
        self.hooked = asyncio.Event()

    def __call__(self, request: Request) -> Response:
        if request.path == "/hook":
            self.reported.append(json.loads(request.body)["text"])
            self.hooked.set()
            return Response(200)
        offset = int(dict(request.query).get("offset", 0))
        self.offsets.append(offset)
        if offset == 500 and self.offsets.count(500) == 1:
            return Response(500)
        rows = [{"id": number, "name": "n"} for number in range(offset, min(offset + 100, 1000))]
        return Response(200, json.dumps({"data": rows}).encode())


async def extracted(folder: Path, things: Things) -> tuple[Run, list[dict[str, Any]]]:
    server = HttpServer(things)
    url = await server.start()
    root = engine.configs(folder)
    place = root / "acme" / "usage"
    (place / "schemas").mkdir(parents=True)
    columns = [{"name": "id", "type": "INT64"}, {"name": "name", "type": "STRING"}]
    (place / "schemas" / "acme_things_daily_raw.json").write_text(json.dumps(columns))
    (place / "things.yml").write_text(PIPELINE.format(url=url))
    options = EmbeddedOptions(data_dir=folder / "data", configs_dir=root)
    try:
        async with embedded(options, "test") as installation:
            await engine.found(installation)
            await installation.worker.start()
            run = await dispatch(installation.services, RunRequest(org="org0", pipeline="acme/usage/things"))
            ended = await installation.worker.wait("org0", run.run_id)
            await asyncio.wait_for(things.hooked.wait(), 10)  # handlers run behind the end
            sql = "SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM acme_things_daily_raw"
            found = await installation.services.warehouse.query(Statement(sql, scope=Scope(dataset="org0_dev")))
            return ended, found.rows
    finally:
        await server.stop()


def test_rows_of_all_slices_are_loaded_once_and_a_failure_costs_only_its_slice(tmp_path: Path) -> None:
    things = Things()
    run, rows = asyncio.run(extracted(tmp_path, things))
    assert run.status == "completed", run.error
    assert rows == [{"n": 1000, "ids": 1000}]
    assert things.reported == ["org0-acme-usage-things completed"]
    assert run.totals == {"rows_processed": 1000, "rows_written": 1000}
    # Slices end after 200 rows. The page that failed is asked for again; what slices before it staged is not.
    assert things.offsets.count(500) == 2
    assert [things.offsets.count(offset) for offset in (0, 100)] == [1, 1]
