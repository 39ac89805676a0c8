"""Keys that older files have inside `config`."""

from __future__ import annotations

import pytest

from convergence.config.loader import LoadedPipeline
from convergence.errors import ConfigErrors
from tests.unit.config.builders import a_pipeline


def loaded(step: str) -> LoadedPipeline:
    return a_pipeline(f"steps:\n  - step_id: only_step\n{step}")


def test_blocks_inside_config_are_moved_out_and_keep_their_lines() -> None:
    pipeline = loaded(
        "    ps_type: generic.api_extractor\n"
        "    config:\n"
        "      url: https://x.example\n"
        "      destination: {table: t, mode: WRITE_APPEND, batch_size: 500}\n"
        "      transform:\n"
        "        flatten: true\n"
    )
    (step,) = pipeline.pipeline.steps
    assert step.config == {"url": "https://x.example"}
    assert step.destination == {"table": "t", "write_mode": "append", "batch_size": 500}
    assert step.transform == {"flatten": True}
    assert pipeline.where(("steps", 0, "transform", "flatten")) == "tests/one.yml:9:9"
    assert pipeline.where(("steps", 0, "destination", "table")) == "tests/one.yml:7:21"


def test_keys_of_the_first_dialect_are_moved() -> None:
    (seed,) = loaded(
        "    ps_type: openai.seed_csv\n    config: {csv_file: openai/seed/x.csv, destination_table: prices}\n"
    ).pipeline.steps
    assert (seed.source, seed.destination, seed.config) == ({"file": "openai/seed/x.csv"}, {"table": "prices"}, {})


def test_two_places_for_one_thing_are_a_mistake() -> None:
    with pytest.raises(ConfigErrors, match=r"one.yml:5:22: .*destination_table means the same as destination.table"):
        loaded(
            "    ps_type: generic.bq_execute\n    config: {sql: a, destination_table: t}\n    destination: {table: u}\n"
        )


def test_the_config_of_other_processors_is_theirs() -> None:
    (step,) = loaded(
        "    ps_type: generic.bq_execute:Own\n    config: {destination: {table: t}, provider: OPENAI}\n"
    ).pipeline.steps
    assert step.config == {"destination": {"table": "t"}, "provider": "OPENAI"}


@pytest.mark.parametrize(
    ("older", "current"),
    [
        *(("GCP_SA", "gcp"), ("GCP", "gcp"), ("OPENAI", "openai"), ("ANTHROPIC", "anthropic"), ("CLAUDE", "anthropic")),
        *(("AWS", "aws"), ("AWS_IAM", "aws"), ("AWS_KEYS", "aws"), ("AZURE", "azure"), ("OCI", "oci")),
    ],
)
def test_older_names_of_providers_are_understood(older: str, current: str) -> None:
    pipeline = a_pipeline(
        f"provider: {older}\nintegration_required: [{older}]\n"
        f"steps: [{{step_id: a, ps_type: integrations.kms_decrypt, config: {{provider: {older}}}}}]"
    ).pipeline
    assert (pipeline.provider, pipeline.integration_required) == (current, (current,))
    assert pipeline.steps[0].config == {"provider": current}


def test_a_google_list_with_an_address_of_its_own_is_the_generic_extractor() -> None:
    step = "steps: [{step_id: a, processor: {class: GcpApiExtractor, module: src.gcp}, config: {url: 'https://x'}}]"
    (found,) = a_pipeline(step).pipeline.steps
    assert (found.ps_type, found.config) == ("generic.api_extractor", {"url": "https://x", "auth": {"type": "google"}})


def test_the_class_of_googles_lists_is_known() -> None:
    pipeline = a_pipeline("steps: [{step_id: a, processor: {class: GcpApiExtractor, module: src.gcp}}]").pipeline
    assert pipeline.steps[0].ps_type == "gcp.api_extractor"
