"""The place of a mistake is a path that opens from where the command was given, not only from the configs folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

from tests.unit.entry.conftest import Cli
from tests.unit.entry.one_step import HEAD, step

PLACE: Final = re.compile(r"^(?:warning: |  )(\S+?):([1-9]\d*)", re.MULTILINE)
DOUBTFUL: Final = step(
    "generic.api_extractor",
    "{url: 'https://api.shop.example/x', params: {day: '{dat}'}}",
    "    destination: {table: shop_raw}\n",
)
WRONG: Final = f"{HEAD}steps:\n  - {{step_id: run_it, ps_type: generic.nop}}\n"


def places(text: str) -> list[tuple[Path, int]]:
    """Return the files and lines that a command named, as a shell in this folder would open them."""
    return [(Path(file), int(line)) for file, line in PLACE.findall(text)]


@pytest.mark.parametrize(
    "command", [("validate", "shop/slip"), ("plan", "acme", "shop/slip"), ("run", "acme", "shop/slip")]
)
@pytest.mark.parametrize("folder", [".", "elsewhere/deep"])
def test_a_mistake_is_opened_from_the_working_directory(
    acme: Cli, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], folder: str
) -> None:
    (configs / "shop/slip.yml").write_text(WRONG)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / folder)
    up = "" if folder == "." else "../../"
    for given in (f"{up}configs", str(tmp_path / "configs")):
        answer = acme("--configs", given, "--data-dir", f"{up}.convergence", *command)
        assert answer.code == 2
        [(file, line)] = places(answer.err)
        assert file.read_text() == WRONG
        assert "generic.nop" in WRONG.splitlines()[line - 1]
        if folder == ".":
            assert file == Path("configs/shop/slip.yml")


def test_warnings_json_and_lists_have_such_places_too(acme: Cli, configs: Path) -> None:
    (configs / "shop/slip.yml").write_text(DOUBTFUL)
    for words in (("validate", "shop/slip"), ("plan", "acme", "shop/slip", "-p", "dat=2026-11-07")):
        assert places(acme(*words).err)[0] == (Path("configs/shop/slip.yml"), 6), words
    (configs / "shop/slip.yml").write_text(WRONG)
    refused = json.loads(acme("run", "acme", "shop/slip", "--json").err)["error"]["problems"]
    assert [each["where"] for each in refused] == ["configs/shop/slip.yml:4:23"]
    listed = {each["name"]: each for each in acme("pipelines", "--json").data["pipelines"]}
    assert listed["shop/slip"]["problem"].startswith("configs/shop/slip.yml:4:23: ")


def test_a_schema_file_is_named_with_its_folder_and_the_line_of_the_column(cli: Cli, configs: Path) -> None:
    (configs / "shop/schemas").mkdir()
    file = configs / "shop/schemas/shop_orders.json"
    for text, line in {
        '[{"name": "day", "type": "DATE"},\n {"name": "sum", "type": "NUMBER"}]': 2,
        '{"fields": [{"name": "day", "type": "DATE"}],\n"colour": 5}': 1,
        '[{"name": "day", "type": "DATE"},': 1,
    }.items():
        file.write_text(text)
        answer = cli("validate", "shop/schemas")
        assert answer.code == 2
        assert places(answer.err) == [(Path("configs/shop/schemas/shop_orders.json"), line)], answer.err
