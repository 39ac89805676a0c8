"""Settings: where they come from, and what production refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from convergence.config.settings.deployment import Settings, read_settings
from convergence.errors import ConfigErrors
from tests.unit.config.environment import PRODUCTION, ROOT_KEY, given


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.model_fields, "CA_ROOT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_anything_it_is_development_on_port_8001(tmp_path: Path) -> None:
    settings = read_settings(tmp_path)
    assert (settings.env, settings.PORT, settings.GCP_PROJECT_ID) == ("dev", 8001, "local-dev-project")
    assert (settings.RATE_LIMIT_REQUESTS_PER_MINUTE, settings.RATE_LIMIT_GLOBAL_REQUESTS_PER_MINUTE) == (100, 10_000)


@pytest.mark.parametrize(("environment", "file"), [("development", ".env.local"), ("staging", ".env.stage")])
def test_the_file_of_the_environment_is_read_and_variables_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str, file: str
) -> None:
    (tmp_path / file).write_text("PORT=9000\nBIGQUERY_LOCATION=EU\n")
    given(monkeypatch, ENVIRONMENT=environment, PORT="9001")
    settings = read_settings(tmp_path)
    assert (settings.PORT, settings.BIGQUERY_LOCATION) == (9001, "EU")


def test_a_bare_env_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1")
    with pytest.raises(ConfigErrors, match=r"call it \.env\.local"):
        read_settings(tmp_path)


def test_an_unknown_environment_and_a_wrong_value_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, ENVIRONMENT="prodction")
    with pytest.raises(ConfigErrors, match="Did you mean 'production'"):
        read_settings(tmp_path)
    given(monkeypatch, ENVIRONMENT="development", PORT="many")
    with pytest.raises(ConfigErrors, match="PORT: Input should be a valid integer"):
        read_settings(tmp_path)


def test_production_starts_when_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **PRODUCTION)
    settings = read_settings(tmp_path)
    assert (settings.env, settings.CORS_ORIGINS) == ("prod", ("https://a.example", "https://b.example"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONVERGENCE_ROOT_KEY", "kkkk" + "0123456789abcdefghijklmnopq"),
        ("CONVERGENCE_ROOT_KEY", "k" * 64),
        ("CONVERGENCE_ROOT_KEY", "kkkk12345" * 4),
        ("DISABLE_AUTH", "true"),
        ("RATE_LIMIT_ENABLED", "false"),
        ("KMS_KEY_NAME", ""),
        ("CORS_ORIGINS", " , "),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "https://a.example, http://a.example"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "https://*.example"),
    ],
)
def test_production_refuses_each_fault_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    given(monkeypatch, **(PRODUCTION | {name: value}))
    with pytest.raises(ConfigErrors) as refused:
        read_settings(tmp_path)
    assert [problem.where for problem in refused.value.problems] == [name]
    assert "kkkk" not in str(refused.value)


def test_production_names_all_faults_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, ENVIRONMENT="production", DISABLE_AUTH="1", RATE_LIMIT_ENABLED="0")
    with pytest.raises(ConfigErrors) as refused:
        read_settings(tmp_path)
    assert len(refused.value.problems) == 5


def test_the_root_key_is_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, CONVERGENCE_ROOT_KEY="topsecret")
    assert "topsecret" not in repr(Settings())


def test_staging_does_not_start_without_authentication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, ENVIRONMENT="staging", DISABLE_AUTH="true")
    with pytest.raises(ConfigErrors, match="DISABLE_AUTH: authentication cannot be switched off"):
        read_settings(tmp_path)
    given(monkeypatch, DISABLE_AUTH="false")
    assert read_settings(tmp_path).env == "stage"


@pytest.mark.parametrize("file", ["", "CONVERGENCE_ROOT_KEY=of-the-file\n", "CA_ROOT_API_KEY=of-the-file\n"])
@pytest.mark.parametrize("name", ["CONVERGENCE_ROOT_KEY", "CA_ROOT_API_KEY"])
def test_the_root_key_has_one_name_and_its_former_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    (tmp_path / ".env.local").write_text(file)
    given(monkeypatch, **{name: "of-the-environment"})
    assert read_settings(tmp_path).CONVERGENCE_ROOT_KEY.get_secret_value() == "of-the-environment"


def test_an_empty_variable_counts_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = dict.fromkeys(Settings.model_fields, "") | {"ENVIRONMENT": "development"}
    given(monkeypatch, **empty, CA_ROOT_API_KEY=ROOT_KEY)
    settings = read_settings(tmp_path)
    assert settings.CONVERGENCE_ROOT_KEY.get_secret_value() == ROOT_KEY
    assert (settings.PORT, settings.DISABLE_AUTH, settings.RATE_LIMIT_ENABLED) == (8001, False, True)
