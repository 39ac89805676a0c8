"""Runs in the emulator's own environment: starts local-bigquery, answers statements from standard input.

In: one JSON object a line, `{"sql": …}`. Out: one a line, `{"rows": [[…]]}` with values as docs/googlesql.md writes
them, or `{"error": …}`. The first line out is `{"ready": true}`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "googlesql"))

from shown import shown  # type: ignore[import-not-found]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server; DuckDB's extensions come from wheels, once for each home folder."""
    from duckdb_extensions import import_extension  # type: ignore[import-not-found]

    os.environ["HOME"] = str(folder)
    for name in ("ducklake", "icu", "spatial"):
        import_extension(name)
    port = free_port()
    command = [str(Path(sys.executable).parent / "local-bigquery"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--grpc-port", str(free_port()), "--project", "p", "--data-dir", str(folder / "data")]
    (folder / "data").mkdir(exist_ok=True)
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
        except urllib.error.HTTPError:
            return server, port  # it answers
        except OSError:
            continue
    raise SystemExit("the emulator ended before it answered")


def answer(client: Any, statement: dict[str, Any]) -> dict[str, Any]:
    try:
        rows = client.query(statement["sql"]).result(timeout=60)
        return {"rows": [[shown(value) for value in row.values()] for row in rows]}
    except Exception as error:  # whatever the emulator raises is an answer
        return {"error": str(error).splitlines()[0][:300]}


def main() -> None:
    from google.api_core.client_options import ClientOptions  # type: ignore[import-not-found]
    from google.auth.credentials import AnonymousCredentials  # type: ignore[import-not-found]
    from google.cloud import bigquery  # type: ignore[import-not-found,import-untyped]

    server, port = start(Path(sys.argv[1]))
    try:
        options = ClientOptions(api_endpoint=f"http://127.0.0.1:{port}")
        client = bigquery.Client(project="p", credentials=AnonymousCredentials(), client_options=options)
        client.create_dataset("d")
        client.default_query_job_config = bigquery.QueryJobConfig(default_dataset="p.d")
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(client, json.loads(line))), flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
