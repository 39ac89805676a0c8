"""The registry of providers, merged from the central file and the providers' own folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convergence.config.catalog import Catalog
from convergence.config.checks.validation import validate
from convergence.config.files.providers import load_providers, provider_name
from convergence.errors import ConfigErrors, NotFound
from convergence.tenants.api_urls import check_api_urls

CONFIGS = Path(__file__).parents[3] / "configs"
ACME = """
type: saas
display_name: Acme
api_base_url: https://api.acme.example/v1
aliases: [acme_inc]
provider_groups: [saas]
api_hosts: [login.acme.example]
"""


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    (tmp_path / "system").mkdir()
    shutil.copy(CONFIGS / "system" / "providers.yml", tmp_path / "system")
    return tmp_path


def test_the_central_file_may_be_absent(tmp_path: Path) -> None:
    own_file(tmp_path, ACME)
    own_file(tmp_path, ACME.replace("acme_inc", "claude"), "openrouter")
    registry, shipped = load_providers(tmp_path), load_providers(CONFIGS)
    assert registry.providers.keys() == {*shipped.providers, "acme"}
    assert registry.providers["openai"] == shipped.providers["openai"]
    assert registry.providers["openrouter"].display_name == "Acme", "a folder's own provider precedes the shipped one"
    assert provider_name(registry, "claude") == "openrouter"
    assert registry.provider_groups["saas"][-2:] == ["acme", "openrouter"]


def test_a_shipped_pipeline_that_the_folder_lacks_says_where_it_is(tmp_path: Path) -> None:
    own_file(tmp_path, ACME)
    with pytest.raises(NotFound, match=r"openai/auth/setup\. The product ships it: .* copy the folder openai/"):
        Catalog(tmp_path).get("openai/auth/setup")


def own_file(configs: Path, text: str, provider: str = "acme") -> Path:
    file = configs / provider / "provider.yml"
    file.parent.mkdir()
    file.write_text(text)
    return file


def test_a_provider_in_its_own_folder_is_one_like_any_other(configs: Path) -> None:
    own_file(configs, ACME)
    registry = load_providers(configs)
    assert provider_name(registry, "acme") == provider_name(registry, "acme_inc") == "acme"
    assert registry.providers["acme"].display_name == "Acme"
    assert registry.provider_groups["saas"] == ["acme"]
    assert "openai" in registry.providers
    given = {"api_base_url": "https://api.acme.example/v1", "token_url": "https://login.acme.example/token"}
    check_api_urls(registry, given)


@pytest.mark.parametrize(
    ("provider", "text", "word"),
    [("openai", ACME, "openai"), ("acme", ACME.replace("acme_inc", "claude"), "claude")],
)
def test_a_name_in_two_files_is_an_error_that_names_both(configs: Path, provider: str, text: str, word: str) -> None:
    own_file(configs, text, provider)
    with pytest.raises(ConfigErrors) as caught:
        load_providers(configs)
    assert [str(problem) for problem in validate(configs, [], everything=True).problems] == [str(caught.value)]
    assert (f"{provider}/provider.yml: the provider '{word}' is also defined in system/providers.yml") in str(
        caught.value
    )


def test_validate_checks_a_providers_own_file(configs: Path) -> None:
    file = own_file(configs, ACME.replace("type: saas\n", ""))
    (problem,) = validate(configs, [file]).problems
    assert "acme/provider.yml" in str(problem)
    assert "type is missing" in str(problem)


def test_a_misspelt_provider_is_a_warning_without_a_registry_of_the_folders_own_too(tmp_path: Path) -> None:
    file = tmp_path / "acme" / "daily" / "one.yml"
    file.parent.mkdir(parents=True)
    file.write_text("integration_required: [acmee, openai]\nsteps: [{step_id: look, ps_type: generic.noop}]\n")
    [warning] = validate(tmp_path, [file]).warnings
    assert str(warning) == (
        "acme/daily/one.yml:1:24: integration_required[0]: no provider is called 'acmee', so it has no credential."
        " Did you mean 'acme'? To declare a new one: convergence new provider acmee."
    )


def test_an_unknown_provider_says_how_one_is_declared(configs: Path) -> None:
    own_file(configs, ACME)
    with pytest.raises(NotFound, match=r"Unknown provider: acmee\. Did you mean 'acme'.*new provider acmee"):
        provider_name(load_providers(configs), "acmee")
