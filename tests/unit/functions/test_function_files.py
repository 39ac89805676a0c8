"""What the six functions say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.files.functions import FunctionFile, read_function
from convergence.engine.services import EngineSettings
from convergence.errors import ConfigErrors
from convergence.ports import bus

FUNCTIONS = Path(__file__).parents[3] / "functions"
FOLDERS = sorted(path.parent for path in FUNCTIONS.glob("*/function.yaml"))


def functions() -> dict[str, FunctionFile]:
    return {folder.name: read_function(folder) for folder in FOLDERS}


def test_there_are_six_functions_and_each_is_twenty_lines_at_most() -> None:
    assert [folder.name for folder in FOLDERS] == [
        "dead_letter",
        "dispatcher",
        "notifier",
        "scheduler",
        "step",
        "webhook",
    ]
    for folder in FOLDERS:
        assert len((folder / "main.py").read_text("utf-8").splitlines()) <= 20, folder.name


def test_every_topic_of_the_engine_has_exactly_one_function() -> None:
    heard = sorted(trigger.topic for each in functions().values() for trigger in each.triggers)
    published = {
        bus.STEP_READY,
        bus.QUEUE_CHANGED,
        bus.DEAD_LETTER,
        bus.RUN_EVENTS,
        bus.AUDIT_EVENTS,
        bus.WEBHOOK_READY,
    }
    assert len(heard) == len(set(heard))
    assert set(heard) == published | {"dispatch", "tick"}
    dead_letters = {trigger.dead_letter_topic for each in functions().values() for trigger in each.triggers}
    assert dead_letters == {None, bus.DEAD_LETTER}


def test_a_processor_ends_before_its_function_and_the_function_before_the_ack_deadline() -> None:
    step = functions()["step"]
    assert EngineSettings().execution_max_s == 480 < step.timeout_s == 540 < step.triggers[0].ack_deadline_s == 600


def test_only_the_dispatcher_is_open_to_the_world() -> None:
    assert [name for name, each in functions().items() if each.http == "public"] == ["dispatcher"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("timeout_s: 90", "the ack deadline must be longer than timeout_s"),
        ("cpu: 0.5", "concurrency over 1 needs a cpu of at least 1"),
        ("memory: 4", "memory"),
        ("name: other", "is in a folder with another name"),
        ("name: longer_than_an_account", "at most 18 characters"),
    ],
)
def test_a_mistake_is_reported_with_its_place(tmp_path: Path, line: str, complaint: str) -> None:
    key = line.partition(":")[0]
    good = {
        "name": "name: made",
        "triggers": "triggers: [{topic: a, ack_deadline_s: 60, backoff_min_s: 1, backoff_max_s: 9}]",
        "memory_mib": "memory_mib: 512",
        "cpu": "cpu: 1",
        "timeout_s": "timeout_s: 30",
        "concurrency": "concurrency: 4",
        "max_instances": "max_instances: 2",
    }
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "function.yaml").write_text("\n".join((good | {key: line}).values()))
    with pytest.raises(ConfigErrors, match=complaint):
        read_function(folder)
