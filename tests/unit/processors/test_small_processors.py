"""Seeds, credentials, procedures, settings: each with its refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from convergence.errors import StepFailed
from convergence.ports.warehouse import Parameter, QueryResult
from convergence.processors.generic import noop, procedure_executor
from convergence.processors.generic.arguments import Argument, arguments
from convergence.processors.generic.procedure_executor import ProcedureSettings
from convergence.processors.integrations import kms_decrypt, kms_store
from convergence.processors.openai.seed_csv import batches
from convergence.processors.settings import Destination, settings
from tests.unit.processors.step_world import ManualClock, Vault, WorldContext


def context(**fields: Any) -> WorldContext:
    """A context for steps without HTTP calls."""
    return WorldContext(None, None, ManualClock(), **fields)  # neither client nor tables


def test_noop_succeeds_and_gives_its_config_back() -> None:
    result = asyncio.run(noop.get_engine().execute({"config": {"said": "hello"}}, context()))
    assert result == {"said": "hello", "status": "SUCCESS"}


def test_a_wrong_key_of_a_section_is_named_with_the_known_ones() -> None:
    with pytest.raises(StepFailed, match=r"destination\.tabel.*Known keys: table"):
        settings(Destination, {"destination": {"tabel": "x"}}, "destination")


def test_a_csv_comes_in_batches_with_empty_fields_as_null() -> None:
    data = "\ufeffa,b\n" + "".join(f"{number},\n" for number in range(1001))
    found = list(batches(data.encode(), "x.csv"))
    assert [len(batch) for batch in found] == [1000, 1]
    assert found[1] == [{"a": "1000", "b": None}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n1\n1,2,3\n", r"x.csv:3: 1 fields, the header has 2; x.csv:4: 3 fields"),
        (b"a,a\n1,2\n", r"x.csv:1: the header must name every column once"),
        (b"", r"x.csv:1: the header"),
        (b"a,b\n", r"no rows below the header"),
        (b'a,b\n"1,2\n', r"x.csv:2: unexpected end"),
        (b"a,b\n\xff,2\n", r"not UTF-8"),
    ],
)
def test_a_broken_csv_names_its_bad_lines(data: bytes, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        list(batches(data, "x.csv"))


def store(secret: str, **config: Any) -> tuple[Mapping[str, Any], Vault]:
    vault = Vault({"api_key": secret})
    here = context(secrets=vault, credentials=vault)
    config = {"provider": "openai", **config}
    return asyncio.run(kms_store.get_engine().execute({"config": config}, here)), vault


def test_a_key_is_stored_and_only_its_id_comes_back() -> None:
    result, vault = store("sk-admin-1\n")
    assert vault.stored == {("openai", "default"): "sk-admin-1"}
    assert result["credential_id"] == "cred_openai_default"
    assert "sk-admin-1" not in str(result)


def test_a_second_name_keeps_a_second_key() -> None:
    assert store("sk-admin-2", name="europe")[1].stored == {("openai", "europe"): "sk-admin-2"}


@pytest.mark.parametrize("secret", ["", "   ", "two words"])
def test_what_is_not_a_key_is_refused_without_quoting_it(secret: str) -> None:
    with pytest.raises(StepFailed, match="that is not a key") as caught:
        store(secret)
    assert "two words" not in str(caught.value)


class Calls:
    """Remembers what was called."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, Parameter]]] = []
        self.tables: list[str] = []

    async def ensure_table(self, table: str) -> None:
        self.tables.append(table)

    async def call(
        self, procedure: str, given: Mapping[str, Parameter], *, wait_s: float, repeatable: bool = False
    ) -> QueryResult:
        self.seen.append((procedure, given))
        return QueryResult(columns=("cost",), rows=[{"cost": Decimal("1.50")}] * 30, rows_affected=7)


@pytest.mark.parametrize(
    "procedure", ["sp_x", {"name": "sp_x", "dataset": "organizations"}, "`p.organizations`.sp_x", "organizations.sp_x"]
)
def test_a_procedure_is_called_by_its_name_and_its_last_select_comes_back(procedure: object) -> None:
    calls = Calls()
    here = context(warehouse=calls)
    step_config = {"config": {"procedure": procedure, "params": {"p_n": 3}}, "destination": {"table": "t"}}
    result = asyncio.run(procedure_executor.get_engine().execute(step_config, here))
    assert calls.seen == [("sp_x", {"p_n": Parameter("INT64", 3)})]
    assert (calls.tables, result["rows_written"], len(result["result"])) == (["t"], 7, 20)
    assert result["result"][0] == {"cost": "1.50"}


def test_arguments_take_the_type_that_the_author_wrote() -> None:
    given = [
        {"name": "p_day", "type": "DATE", "value": "2026-11-10"},
        {"name": "p_rate", "type": "numeric", "value": 0.1},
        {"name": "p_force", "type": "BOOL", "value": "true"},
        {"name": "p_note", "optional": True},
        {"name": "p_limit", "type": "INT64", "value": "", "optional": True, "default": 5},
    ]
    options = ProcedureSettings.model_validate({"procedure": "sp_x", "parameters": given, "provider": "openai"})
    found = arguments(options.parameters, options.params)
    assert found == {
        "p_day": Parameter("DATE", date(2026, 11, 10)),
        "p_rate": Parameter("NUMERIC", Decimal("0.1")),
        "p_force": Parameter("BOOL", value=True),
        "p_note": Parameter("STRING", None),
        "p_limit": Parameter("INT64", 5),
    }


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"name": "p_x"}, "'p_x' has no value"),
        ({"name": "p_x", "type": "DATE", "value": "soon"}, "'p_x' is 'soon', which is not a DATE"),
        ({"name": "p_x", "type": "DATE; DROP", "value": "x"}, "not a GoogleSQL type"),
        ({"name": "p_twice", "value": "x"}, "'p_twice' is given twice"),
    ],
)
def test_a_bad_argument_is_refused_by_name(argument: dict[str, Any], message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        arguments([Argument.model_validate(argument)], {"p_twice": 1})


def decrypted(provider: str, *marks: bool, **config: Any) -> Mapping[str, Any]:
    vault = Vault({provider: "key"})
    vault.marks += [(provider, valid, "") for valid in marks]
    given = {"config": {"provider": provider, **config}}
    return asyncio.run(kms_decrypt.get_engine().execute(given, context(secrets=vault, credentials=vault)))


def test_require_valid_wants_a_credential_that_was_found_valid() -> None:
    assert decrypted("openai", True, require_valid=True)["opens"] is True
    assert decrypted("openai")["warnings"] == []
    for marks, word in (((), "stored"), ((False,), "invalid")):
        message = (
            f"is {word}, and config.require_valid needs a valid one; try it with: convergence integration validate"
        )
        with pytest.raises(StepFailed, match=f"{message} acme openai"):
            decrypted("openai", *marks, require_valid=True)


def test_a_credential_that_nothing_can_try_is_accepted_with_a_warning() -> None:
    assert decrypted("crm", require_valid=True)["warnings"] == [
        "the credential of 'crm' was never validated: nothing here can do that"
    ]
    with pytest.raises(StepFailed, match="is invalid"):
        decrypted("crm", False, require_valid=True)
