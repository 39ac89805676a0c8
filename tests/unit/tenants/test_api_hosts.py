"""Which hosts a run may call in production, whatever the parameters are called that spell them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from convergence.adapters.http.client import StepClient
from convergence.config.files.providers import load_providers
from convergence.config.loader import parse_pipeline
from convergence.errors import StepFailed, Transient
from convergence.ports.http.hosts import hosts_checked
from convergence.tenants.api_hosts import TenantHosts

CONFIGS = Path(__file__).parents[3] / "configs"
REGISTRY = load_providers(CONFIGS)
FILE = """
pipeline_id: "{org_slug}-shop"
provider: shop
parameters:
  region: {type: string, default: eu}
  server: {type: string, default: api.shop.example}
  edition: {type: string, allowed: [one.shop.example, two.shop.example], default: one.shop.example}
  note: {type: string, default: ""}
  second: {type: string, default: ""}
variables:
  base: "https://{server}/v1"
  tenant: main.shop.example
steps:
  - {step_id: look, ps_type: generic.noop, config: {said: "https://fixed.shop.example/{region}"}}
"""
LOADED = parse_pipeline(FILE, "shop/cost")


def hosts(**parameters: Any) -> TenantHosts:
    return TenantHosts(lambda: REGISTRY, lambda: LOADED, parameters)


@pytest.mark.parametrize(
    ("parameters", "host"),
    [
        ({"server": "evil.example"}, "evil.example"),
        ({"server": "EVIL.example"}, "evil.example"),
        ({"region": "evil.example/?"}, "evil.example"),
        ({"region": "evil.example:8443"}, "evil.example"),
        ({"region": "x@evil.example#"}, "evil.example"),
        ({"note": "https://evil.example/v1"}, "evil.example"),
        ({"note": "see //evil.example"}, "evil.example"),
        ({"region": "example"}, "api.example"),  # "https://api.{region}"
        ({"region": "evil.exam", "note": "ple"}, "evil.example"),
        ({"region": "evil", "note": "example"}, "evil.example"),
        ({"note": "evil。example"}, "evil.example"),
        ({"note": "bücher.example"}, "xn--bcher-kva.example"),
        ({"note": {"deep": ["evil.example"]}}, "evil.example"),
        ({"tenant": "evil.example"}, "evil.example"),  # a variable of the file may be given too
        ({"edition": "three.shop.example"}, "three.shop.example"),
        ({"server": "localhost"}, "localhost"),
        ({"server": "10.0.0.5"}, "10.0.0.5"),
        ({"server": 2130706433}, "2130706433"),
    ],
)
def test_a_host_that_a_parameter_spells_is_not_called(parameters: Mapping[str, Any], host: str) -> None:
    with pytest.raises(StepFailed, match=r"^the parameter \w+ leads to the host"):
        hosts(**parameters)(host)
    with pytest.raises(StepFailed):
        TenantHosts(lambda: REGISTRY, lambda: None, parameters)(host)


@pytest.mark.parametrize(
    ("parameters", "host"),
    [
        ({"note": "https://api.openai.com/v1"}, "api.openai.com"),  # in the registry
        ({"note": "fixed.shop.example"}, "fixed.shop.example"),  # in the file
        ({"server": "api.shop.example"}, "api.shop.example"),  # a default
        ({"edition": "two.shop.example"}, "two.shop.example"),  # one of the file's choice
        ({"tenant": "main.shop.example"}, "main.shop.example"),
        ({"region": "eu"}, "eu.shop.example"),  # below a domain that the operator chose
        ({"note": "api", "region": "us"}, "api.other.example"),
        ({"start_date": "2026-11-01", "note": None, "second": True}, "api.other.example"),
        ({}, "hooks.slack.com"),
    ],
)
def test_other_hosts_may_be_called(parameters: Mapping[str, Any], host: str) -> None:
    hosts(**parameters)(host)


def test_the_transport_asks_for_every_request_and_before_it_resolves_a_name() -> None:
    resolved: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        resolved.append(host)
        raise OSError("nothing is called here")

    async def main() -> None:
        async with StepClient(resolve, reach="public") as client:
            with hosts_checked(hosts(server="evil.example")):
                task = asyncio.create_task(client.get("https://EVIL.example/v1"))
                for call in (client.get("https://evil.example/v1"), task):
                    with pytest.raises(StepFailed, match="server leads to the host"):
                        await call
                assert resolved == []
                with pytest.raises(Transient):
                    await client.get("https://api.openai.com/v1")
            with pytest.raises(Transient):
                await client.get("https://evil.example/v1")
            assert resolved == ["api.openai.com", "evil.example"]

    asyncio.run(main())
