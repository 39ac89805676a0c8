"""A call is sent with every central table as a subquery of the org's rows, wherever its script names one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import pytest

from convergence.adapters.gcp.warehouse.call_script import compose_call
from convergence.adapters.gcp.warehouse.ledger import Ledger
from convergence.adapters.googlesql.procedures.fold import fold_procedure
from convergence.adapters.googlesql.procedures.parser import parse_procedure
from convergence.adapters.googlesql.procedures.reach import read_folded
from convergence.adapters.googlesql.scripts.parser import parse_script
from tests.contract.warehouse.routines import SCOPE

HEAD: Final = "CREATE PROCEDURE `demo.organizations`."
NAME: Final = "organizations.org_profiles"
OWN: Final = "(SELECT * FROM `demo.organizations.org_profiles` WHERE x_org_slug = 'acme')"
READ: Final = f"(SELECT MAX(plan) FROM {NAME})"
CALLED: Final = f"""{HEAD}sp_called(IN p_plan STRING)
BEGIN
  DECLARE v STRING DEFAULT {READ};
  DECLARE w STRING DEFAULT {READ};
  IF v IS NULL THEN RETURN; END IF;
  INSERT INTO run_log (message) VALUES ({READ});
END;"""
PLACES: Final = [
    f"DECLARE v STRING DEFAULT {READ};",
    f"DECLARE v STRING; SET v = CONCAT({READ}, {READ});",
    f"IF {READ} = 'a' THEN SELECT 1; ELSEIF {READ} = 'b' THEN SELECT 2; END IF;",
    f"CASE {READ} WHEN 'a' THEN SELECT {READ}; ELSE SELECT 2; END CASE;",
    f"WHILE {READ} = 'a' DO SELECT {READ}; END WHILE;",
    f"REPEAT SELECT 1; UNTIL {READ} = 'a' END REPEAT;",
    f"FOR r IN (SELECT plan FROM {NAME} AS p) DO SELECT r.plan, {READ}; END FOR;",
    f"ASSERT {READ} = 'a' AS 'no';",
    f"BEGIN SELECT 1; EXCEPTION WHEN ERROR THEN RAISE USING MESSAGE = {READ}; END;",
    f'EXECUTE IMMEDIATE "SELECT plan FROM {NAME}";',
    "EXECUTE IMMEDIATE FORMAT('SELECT %s FROM %s.%s', 'plan', 'organizations', 'org_profiles');",
    f"EXECUTE IMMEDIATE 'INSERT INTO run_log (message) VALUES (?)' USING {READ};",
    f"CALL `demo.organizations`.sp_called({READ});",
    f"DECLARE v STRING; CALL `demo.organizations`.sp_called({READ});",
    f"BEGIN TRANSACTION; INSERT INTO run_log (message) SELECT plan FROM {NAME}; COMMIT TRANSACTION;",
    f"INSERT INTO run_log (message) VALUES ({READ}); BEGIN TRANSACTION; COMMIT TRANSACTION; SELECT @@row_count;",
]


@pytest.mark.parametrize("place", PLACES)
def test_every_place_of_a_script_reads_the_orgs_rows(place: str) -> None:
    called = parse_procedure(CALLED, "sp_called.sql")
    procedure = parse_procedure(f"{HEAD}sp()\nBEGIN\n  {place}\nEND;", "sp.sql")
    folded = fold_procedure(procedure, {}, lambda _: called, {"@@project_id": "demo"})
    reach = read_folded(folded, SCOPE, project="demo")
    jobs: Any = SimpleNamespace(client=SimpleNamespace(project="demo"))
    nothing: Any = None
    sent = compose_call(folded, reach, SCOPE, [], Ledger(jobs, nothing, nothing), project="demo").sql
    parse_script(sent)
    assert OWN in sent
    assert "org_profiles" not in sent.replace(f"{OWN} AS `org_profiles`", "").replace(f"{OWN} AS p", "")
    assert ("organizations", "org_profiles") in reach.existing
