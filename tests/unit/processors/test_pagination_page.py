"""Each line of the page's table of paginations sends what it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from convergence.processors.generic.api.pages import Pages
from convergence.processors.generic.api.settings import ApiSettings, Pagination
from convergence.processors.http.paging import Answer

PAGE = (Path(__file__).parents[3] / "docs" / "writing-pipelines.md").read_text()
LINES = re.findall(r"^\| `(\{type: .*?\})` \| `(.*?)` \| (.*?) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("config", "answer", "sent"), LINES)
def test_the_next_call_sends_what_the_page_promises(config: str, answer: str, sent: str) -> None:
    options = ApiSettings(
        url="https://api.acme.example/v1/usage", data_path="data", pagination=Pagination(**yaml.safe_load(config))
    )
    pages = Pages(options, "Acme")
    following = pages.following(Answer(json.loads(answer), {}), pages.first(None))
    found = "" if following is None else "&".join(f"{name}={value}" for name, value in following.params)
    assert found == ("" if sent.startswith("nothing") else sent.strip("`"))


def test_the_page_has_a_line_for_each_type_and_names_each_key() -> None:
    kinds = {yaml.safe_load(config)["type"] for config, _, _ in LINES}
    assert kinds == {"cursor", "next_page_token", "link", "offset", "page", "none"}
    assert all(f"`{name}`" in PAGE or f"{name}:" in PAGE for name in Pagination.model_fields)
