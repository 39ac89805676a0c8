"""A provider that echoes the secret in every encoding: it is in no state, log, event, answer or dead letter."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.local.bus import LocalBus
from convergence.engine.step.redact import MASK
from convergence.ports.bus import RUN_EVENTS
from convergence.sandbox.http import HttpServer, Request, Response
from tests.unit.engine.encodings import ENCODINGS
from tests.unit.entry.api.conftest import Api, RunScenario

CLIENT_SECRET = "cs-QxZ7/wJ+k9\"Vb3<Nn&5Tt%e'Y0ü~LmR"
TOKEN = "ya29.A0Zq/pX+8sW-uvE_6hG1dKc4fB2oCiOa"
PIPELINE = """
pipeline_id: "{{org_slug}}-shop-echo"
provider: shop
parameters:
  form: {{type: string, required: true}}
steps:
  - step_id: extract_things
    ps_type: generic.api_extractor
    retry: {{max_attempts: 1}}
    config:
      url: "{url}/things"
      params: {{form: "{{form}}"}}
      auth: {{type: oauth2, provider: shop, token_url: "{url}/token"}}
      rate_limit: {{max_retries: 0}}
      allow_private_addresses: true
    destination: {{table: shop_things_daily_raw}}
"""
FORMS = [f"0|secret|{name}" for name in ENCODINGS]  # a run each, and the plan allows 100 a day
FORMS += [f"0|token|{name}" for name in list(ENCODINGS)[::2]]
FORMS += [f"{pad}|secret|{name}" for pad in (270, 285) for name in ("raw", "base64", "hex", "URL", "JSON")]  # are cut


def squashed(text: str) -> str:
    """Return a text as it is in whatever JSON it was stored in: without quotes, backslashes and blanks."""
    return re.sub(r"\\+[nr]|[\\\"\s]", "", text)


def echo(form: str) -> str:
    pad, part, name = form.split("|")
    return "x" * int(pad) + " " + ENCODINGS[name](TOKEN if part == "token" else CLIENT_SECRET)


def answer(request: Request) -> Response:
    if request.path == "/token":
        return Response(200, json.dumps({"access_token": TOKEN}).encode())
    form = dict(request.query)["form"]
    kind = "error" if len(form) % 2 else "detail"  # texts, and texts in objects
    return Response(400, json.dumps({kind: {"message": echo(form)}}).encode())


def test_a_secret_that_a_provider_echoes_is_seen_nowhere(
    run_scenario: RunScenario, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "configs" / "shop"
    (place / "schemas").mkdir(parents=True)
    (place / "schemas" / "shop_things_daily_raw.json").write_text(json.dumps([{"name": "id", "type": "INT64"}]))
    events: list[str] = []
    answers: list[str] = []

    async def scenario(api: Api) -> None:
        server = HttpServer(answer)
        (place / "echo.yml").write_text(PIPELINE.format(url=await server.start()))
        services = api.installation.services
        assert isinstance(services.bus, LocalBus)
        services.bus.tap(RUN_EVENTS, lambda messages: events.extend(each.data.decode() for each in messages))
        client = json.dumps({"client_id": "app-1", "client_secret": CLIENT_SECRET})
        await services.credentials.store("acme", "shop", client, name="default")
        try:
            ran = [await run(api, form) for form in FORMS]
        finally:
            await server.stop()
        paths = ("status/acme/{}", "logs/acme/{}", "logs/acme/{}/steps", "logs/acme/{}/transitions")
        for path in (f"/pipelines/{path.format(run_id)}" for run_id in ran for path in paths):
            answers.append((await api.ask("GET", path, org="acme")).text)  # noqa: PERF401 - awaits
        answers.append((await api.ask("GET", "/pipelines/history/acme", org="acme", params={"limit": 100})).text)

    async def run(api: Api, form: str) -> str:
        got: dict[str, Any] = await api.run("shop/echo", json={"form": form})
        answers.append(json.dumps(got))
        return str(got["run_id"])

    run_scenario(scenario)
    files = [file.read_bytes().decode("latin-1") for file in (tmp_path / "data").rglob("*") if file.is_file()]
    everything = squashed("\n".join([*answers, *events, caplog.text, *files]))
    assert everything.count(MASK) > 3 * len(FORMS)
    for form in FORMS:
        written = squashed(echo(form)).lstrip("x").removesuffix("ICJtb3JlIjogMX0=")  # what one encoding adds behind it
        for at in range(4, len(written) - 14, 5):
            assert written[at : at + 14] not in everything, (form, written[at : at + 14])
