"""The settings of functions: what staging and production refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from convergence.config.settings.deployment import read_as
from convergence.config.settings.functions import FunctionSettings, PushSettings
from convergence.errors import ConfigErrors
from tests.unit.config.environment import PRODUCTION, given

ROOT = Path(__file__).parents[3]
SIGNED = {
    "CONVERGENCE_PUSH_AUDIENCE": "https://step.example",
    "CONVERGENCE_PUSH_SERVICE_ACCOUNT": "push@p.iam.gserviceaccount.com",
}
STAND_INS = {
    "CONVERGENCE_FIRESTORE_ENDPOINT": "127.0.0.1:8080",
    "CONVERGENCE_PUBSUB_ENDPOINT": "127.0.0.1:8081",
    "CONVERGENCE_KMS_ENDPOINT": "[::1]:8082",
    "CONVERGENCE_BIGQUERY_ENDPOINT": "localhost:9050",
    "CONVERGENCE_CERTIFICATES_URL": "http://127.0.0.1:1/certs",
}


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FunctionSettings.model_fields:
        monkeypatch.delenv(name, raising=False)


def test_a_developer_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **STAND_INS)
    assert read_as(FunctionSettings, tmp_path).CONVERGENCE_FIRESTORE_ENDPOINT == "127.0.0.1:8080"


def test_production_starts_signed_and_without_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **PRODUCTION, **SIGNED)
    assert read_as(FunctionSettings, tmp_path).production


@pytest.mark.parametrize("name", STAND_INS)
def test_production_refuses_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    given(monkeypatch, **PRODUCTION, **SIGNED, **{name: STAND_INS[name]})
    with pytest.raises(ConfigErrors, match=rf"{name}: this is a stand-in.*\(production\)"):
        read_as(FunctionSettings, tmp_path)


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("name", SIGNED)
def test_unsigned_deliveries_are_for_development_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str, name: str
) -> None:
    given(monkeypatch, **(PRODUCTION | SIGNED | {"ENVIRONMENT": environment, name: ""}))
    with pytest.raises(ConfigErrors, match=rf"{name}: must be set: deliveries are signed.*\({environment}\)"):
        read_as(FunctionSettings, tmp_path)


def test_a_deployment_whose_environment_was_forgotten_does_not_start_unsigned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, K_REVISION="dispatcher-00001-abc")
    with pytest.raises(ConfigErrors, match="must be set: deliveries are signed"):
        read_as(FunctionSettings, tmp_path)
    given(monkeypatch, **SIGNED)
    assert not read_as(FunctionSettings, tmp_path).production


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080", "127.0.0.1", "host:port", "a b:1"])
def test_an_endpoint_is_host_and_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    given(monkeypatch, CONVERGENCE_KMS_ENDPOINT=endpoint)
    with pytest.raises(ConfigErrors, match="CONVERGENCE_KMS_ENDPOINT"):
        read_as(FunctionSettings, tmp_path)


def test_a_function_without_the_api_needs_no_root_key_and_no_origins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, **(PRODUCTION | SIGNED | {"CONVERGENCE_ROOT_KEY": "", "CORS_ORIGINS": ""}))
    assert read_as(PushSettings, tmp_path).production
    with pytest.raises(ConfigErrors, match="CONVERGENCE_ROOT_KEY: the root key has fewer"):
        read_as(FunctionSettings, tmp_path)
    given(monkeypatch, KMS_KEY_NAME="")
    with pytest.raises(ConfigErrors, match="KMS_KEY_NAME"):
        read_as(PushSettings, tmp_path)


def test_streams_of_events_leave_room_for_all_else_that_an_instance_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch)
    settings = read_as(FunctionSettings, tmp_path)
    concurrency = yaml.safe_load((ROOT / "functions/dispatcher/function.yaml").read_text())["concurrency"]
    assert concurrency >= 4 * settings.EVENT_STREAMS_MAX
    assert 4 * settings.EVENT_STREAMS_PER_ORG <= settings.EVENT_STREAMS_MAX  # no org keeps all others out
    given(monkeypatch, EVENT_STREAMS_MAX="7")
    assert read_as(FunctionSettings, tmp_path).EVENT_STREAMS_MAX == 7
