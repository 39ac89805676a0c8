"""What stands on a terminal of 60, 80 and 120 columns, on a dumb one and in a pipe, character by character.

Ids, times and durations are replaced by others of the same length. After a wanted change, write the files anew:
SNAPSHOTS=write pytest tests/unit/entry/test_cli_snapshots.py
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.entry.conftest import Cli

FOLDER = Path(__file__).parent / "snapshots"
DAYS = ("-p", "start_date=2026-11-01", "-p", "end_date=2026-11-07")
BROKEN = """
pipeline_id: "{org_slug}-shop-broken"
provider: shop
timout_minutes: 5
steps:
  - {step_id: extract_orders, ps_type: generic.nop, depends_on: [load_orders], config: {day: "{{ date | upper }}"}}
"""
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "status": (("status",),),
    "history": (("history", "acme"),),
    "logs": (("logs",),),
    "plan": (("plan", "acme", "shop/load", *DAYS),),
    "errors": (("validate", "shop/broken"), ("history", "acne"), ("run", "acme"), ("status", "run_x")),
    "doctor": (("doctor",),),
    "query": (
        ("query", "acme", f"SELECT 1 AS id, '{'many words ' * 15}' AS said", "--output", "vertical"),
        ("query", "acme", "SELECT id, COUNT(*) FROM (SELECT 1 AS id)"),
        ("query", "acme", "SELECT 1 FORM t"),
    ),
    "run": (("run", "acme", "shop/load", *DAYS),),
    "backfill": (
        ("backfill", "acme", "shop/load", "--from", "2026-11-01", "--to", "2026-11-02", "--mode", "all", "--dry-run"),
        ("backfill", "acme", "shop/load", "--from", "2026-11-01", "--to", "2026-11-02", "--mode", "all"),
    ),
}
MOVING = {"run", "backfill"}  # on a terminal bars move on stderr: what stays is on stdout
FORMS: dict[str, tuple[int, str, bool]] = {  # columns, TERM, whether it is a terminal
    "60 columns": (60, "xterm", True),
    "80 columns": (80, "xterm", True),
    "120 columns": (120, "xterm", True),
    "dumb, 80 columns": (80, "dumb", True),
    "pipe": (80, "xterm", False),
}
VARYING = [
    (re.compile(r"\x1b\[\d+m"), ""),
    (re.compile(r"run_[0-9a-f]{20}"), "run_0123456789abcdef0123"),
    (re.compile(r"bf_[0-9a-f]{20}"), "bf_0123456789abcdef0123"),
    (re.compile(r"\d{4}-\d\d-\d\d(\s+)\d\d:\d\d:\d\d"), r"2026-11-29\g<1>01:02:03"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}"), "01:02:03.004"),
    (re.compile(r"\b\d\.\d\d s"), "0.01 s"),
]

TO_BE_COPIED = ("look:", "again:", "See:", "=== ")  # they hold commands, which no line break may cut

Draw = Callable[[str], str]


@pytest.fixture
def draw(acme: Cli, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Return a function that draws a command in all forms; there are a completed and a failed, replayed run."""
    for name in ("NO_COLOR", "SMTP_HOST", "DEFAULT_ADMIN_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    assert acme("run", "acme", "example/hello", *DAYS).code == 0
    assert acme("run", "acme", "shop/load", *DAYS).code == 1
    assert acme("replay", acme("status", "--json").data["run_id"], "-p", "file=openai/seed/plans.csv").code == 1
    assert acme("procedures", "sync").code == 0  # else the doctor lists those of this release
    (configs / "shop" / "broken.yml").write_text(BROKEN)

    def all_forms(name: str) -> str:
        parts = []
        for form, (columns, term, terminal) in FORMS.items():
            monkeypatch.setenv("COLUMNS", str(columns))
            monkeypatch.setenv("TERM", term)
            monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)  # noqa: B023 - called within this turn
            monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)  # noqa: B023 - as above
            written = ""
            for words in COMMANDS[name]:
                answer = acme(*words)
                written += answer.out + answer.err
                shown = answer.out + ("" if name in MOVING else answer.err)
                parts.append(f"=== {form}: convergence {' '.join(words)}\n{shown}")
            assert ("\x1b[" in written) == (terminal and term != "dumb"), (form, name)
        text = "".join(parts).replace(str(tmp_path), "/tmp/acme")
        for pattern, instead in VARYING:
            text = pattern.sub(instead, text)
        return text

    return all_forms


def same(name: str, drawn: str) -> None:
    """Compare with the file, or write it where that is asked for."""
    file = FOLDER / f"{name}.txt"
    if os.environ.get("SNAPSHOTS") == "write":
        file.write_text(drawn, "utf-8")
    assert drawn == file.read_text("utf-8")


def test_what_stands_on_the_screen(draw: Draw) -> None:
    for name in COMMANDS:
        same(name, draw(name))


def test_no_line_is_wider_than_its_terminal_and_no_form_lacks_a_word_of_another() -> None:
    for name in COMMANDS:
        parts = re.split(r"^=== (.+?): .*\n", (FOLDER / f"{name}.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]
        words: dict[str, set[str]] = {}
        for form, text in zip(parts[::2], parts[1::2], strict=True):
            words.setdefault(form, set()).update(re.findall(r"[\w./'-]+", text))
            if width := re.search(r"(\d+) columns", form):
                for line in text.splitlines():
                    copied = line.strip().startswith(TO_BE_COPIED)
                    assert len(line) <= int(width[1]) or copied, (name, form, line)
        assert len(words) == len(FORMS)
        for form, found in words.items():
            assert found >= words["pipe"], (name, form, words["pipe"] - found)
