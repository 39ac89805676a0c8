"""Runs in the emulator's own environment: sends statements from standard input to a server.

In: one JSON object a line, `{"sql": …}`. Out: one a line, `{"rows": [[…]]}` with values as docs/googlesql.md writes
them, or `{"error": …}`. The first line out is `{"ready": true}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "googlesql"))

from shown import shown  # type: ignore[import-not-found]


def answer(client: Any, statement: dict[str, Any]) -> dict[str, Any]:
    try:
        rows = client.query(statement["sql"]).result(timeout=60)
        return {"rows": [[shown(value) for value in row.values()] for row in rows]}
    except Exception as error:  # whatever the emulator raises is an answer
        return {"error": str(error).splitlines()[0][:300]}


def main() -> None:
    from google.api_core.client_options import ClientOptions
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    options = ClientOptions(api_endpoint=f"http://{sys.argv[1]}")
    client = bigquery.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
    client.create_dataset("d")
    client.default_query_job_config = bigquery.QueryJobConfig(default_dataset="p.d")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(client, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
