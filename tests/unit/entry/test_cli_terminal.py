"""Texts of tenants and servers reach the terminal as text: nothing in them moves the cursor or changes its colours."""

from __future__ import annotations

import os
import pty
from collections.abc import Callable

import orjson
import pytest

from convergence.entry.cli.output import Output
from convergence.errors import InvalidInput
from tests.unit.entry.conftest import Cli

HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\rd\x9b5me\u202ef\x7f"
WRITTEN_OUT = r"a\x1b[2Jb\x1b]0;title\x07c\rd\x9b5me\u202ef\x7f"
RAW = set("\x1b\x07\r\x9b\u202e\x7f")

WAYS: dict[str, Callable[[Output], None]] = {
    "line": lambda out: out.line(HOSTILE),
    "note": lambda out: out.note(HOSTILE),
    "wrapped": lambda out: out.wrapped(HOSTILE.replace("\r", "")),
    "table": lambda out: out.table((HOSTILE,), [(HOSTILE,)]),
    "warnings": lambda out: out.warnings([HOSTILE], out.note),
    "error": lambda out: out.error(InvalidInput(HOSTILE)),
    "bug": lambda out: out.error(ValueError(HOSTILE)),
}


@pytest.mark.parametrize("way", WAYS)
def test_control_characters_are_written_out(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.verbose = True
    WAYS[way](out)
    printed = "".join(capsys.readouterr())
    assert not RAW & set(printed), printed
    assert r"\x1b[2Jb" in printed


def test_the_styles_of_this_program_stay(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = Output()
    monkeypatch.setattr(out, "_color", True)
    out.table(("status",), [("failed",)])
    printed = capsys.readouterr().out
    assert "\x1b[1mstatus\x1b[0m" in printed
    assert "\x1b[31mfailed\x1b[0m" in printed


def test_json_stays_json_and_holds_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    Output().data({"reason": HOSTILE})
    printed = capsys.readouterr().out
    assert not RAW & set(printed)
    assert orjson.loads(printed) == {"reason": HOSTILE}


def test_rows_for_programs_stay_as_they_are_and_a_terminal_gets_text() -> None:
    def printed(fd: int) -> bytes:
        stream = os.fdopen(os.dup(fd), "w", encoding="utf-8", newline="")
        with stream, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", stream)
            Output().rows(HOSTILE)
        return os.read(source, 1000)

    source, sink = os.pipe()
    assert printed(sink).decode() == HOSTILE + "\n"
    for each in (source, sink):
        os.close(each)
    source, sink = pty.openpty()
    assert printed(sink).decode() == WRITTEN_OUT + "\r\n"
    for each in (source, sink):
        os.close(each)


def test_the_reason_of_a_pause_is_shown_as_text(acme: Cli) -> None:
    assert acme("pipeline", "pause", "acme", "example/hello", "--reason", HOSTILE).code == 0
    refused = acme("run", "acme", "example/hello")
    assert (refused.code, RAW & set(refused.err)) == (1, set())
    shown = acme("pipeline", "paused", "acme")
    assert WRITTEN_OUT in shown.out
    assert not RAW & set(shown.out)
