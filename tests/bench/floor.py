"""The least that durable state costs on this machine: two bare SQLite transactions for each step."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

BODY = '{"step_id":"s","status":"running","epoch":0,"token":"t","lease":"2026-01-01T00:00:00Z"}' + " " * 400


def floor_ms_per_step(folder: Path, *, synchronous: str, steps: int = 1000) -> float:
    """Return milliseconds for two single-row commits in WAL mode."""
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("CREATE TABLE t (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
    started = time.perf_counter()
    for number in range(steps):
        for _ in range(2):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", (f"s{number}", BODY))
            db.execute("COMMIT")
    seconds = time.perf_counter() - started
    db.close()
    return seconds * 1000 / steps
