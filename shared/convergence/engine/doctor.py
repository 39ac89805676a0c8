"""Is an installation in order? Each check asks one part of it, and each fault comes with its cure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from convergence.config.files.org_files import files_of_orgs
from convergence.config.files.procedures import load_procedures
from convergence.domain.finding import Finding
from convergence.domain.times import to_text
from convergence.domain.wording import counted
from convergence.engine.lateness import LATE
from convergence.engine.migrate import pending
from convergence.engine.schedules.store import SCHEDULES
from convergence.engine.schema_sync import missing_columns
from convergence.engine.services import Services
from convergence.errors import ConvergenceError, near_names
from convergence.ports.documents import Where

KEPT: Final = timedelta(days=2)  # beyond its time; a shorter policy leaves much to an hourly sweep
SAMPLE: Final = 25  # orgs whose datasets are looked at
_SHOWN: Final = 5
_PROBE: Final = b"doctor"


async def examine(services: Services, names: Collection[str] = ()) -> list[Finding]:
    """Run every check, or those of `names`; one that raises is a finding too."""
    found = []
    for name, (check, cure) in _CHECKS.items():
        if names and name not in names:
            continue
        try:
            said, advice = await check(services)
            found.append(Finding(name, said, advice, warning=bool(advice) and name in _WARNINGS))
        except ConvergenceError as error:
            found.append(Finding(name, str(error), cure))
    return found


def answer(findings: list[Finding]) -> dict[str, Any]:
    """Return findings as the API and `--json` show them."""
    return {"healthy": not any(each.is_fault for each in findings), "findings": [asdict(each) for each in findings]}


async def _store(services: Services) -> tuple[str, str]:
    await services.documents.get("orgs/readiness")
    return f"answers; {counted(len(await services.orgs.slugs()), 'org')}", ""


async def _keyring(services: Services) -> tuple[str, str]:
    opened = await services.keyring.decrypt(await services.keyring.encrypt(_PROBE, "doctor"), "doctor")
    assert opened == _PROBE, "a keyring opens what it sealed"
    return "seals and opens", ""


async def _procedures(services: Services) -> tuple[str, str]:
    stored = {each.name: each.digest for each in await services.warehouse.list_routines()}
    late = [each.name for each in load_procedures(services.configs_dir) if stored.get(each.name) != each.digest]
    return (
        (f"differ from their files: {_some(late)}", "convergence procedures sync")
        if late
        else ("match their files", "")
    )


async def _migrations(services: Services) -> tuple[str, str]:
    slugs, of_all = await _sample(services)
    names = sorted({name for each in (await pending(services, slugs)).values() for name in each})
    return (f"pending: {_some(names)}", "convergence migrate") if names else (f"none is pending{of_all}", "")


async def _schemas(services: Services) -> tuple[str, str]:
    slugs, of_all = await _sample(services)
    behind = sorted(".".join(each) for each in await missing_columns(services, slugs, shared=True))
    if behind:
        return f"columns are missing in {_some(behind)}", "convergence schemas sync"
    return f"match their files{of_all}", ""


async def _sample(services: Services) -> tuple[list[str], str]:
    """Return orgs from all over the list, its first and its last among them: each costs queries, and work that was
    interrupted has done the first ones; and what to say when there are others."""
    slugs = await services.orgs.slugs()
    chosen = sorted({slugs[place * (len(slugs) - 1) // (SAMPLE - 1)] for place in range(SAMPLE)}) if slugs else []
    return chosen, f" in {len(chosen)} of {len(slugs)} orgs" if len(chosen) < len(slugs) else ""


async def _schedules(services: Services) -> tuple[str, str]:
    return await _waiting(services, SCHEDULES, "due_at", "schedules")


async def _reconciler(services: Services) -> tuple[str, str]:
    return await _waiting(services, "runs", "check_at", "runs")


async def _org_files(services: Services) -> tuple[str, str]:
    """Find files for one org whose org does not exist: nothing ever reads them."""
    slugs = await services.orgs.slugs()
    strange = [path for path in files_of_orgs(services.configs_dir) if path.stem not in slugs]
    if not strange:
        return "each belongs to an org", ""
    cure = "give the file the org's slug as its name, or remove it"
    near = near_names(strange[0].stem, slugs)
    return (
        f"for an org that does not exist: {_some([path.as_posix() for path in strange])}",
        f"{cure}.{near}" if near else cure,
    )


async def _waiting(services: Services, collection: str, field: str, what: str) -> tuple[str, str]:
    late = await _older(services, collection, field, LATE)
    if not late:
        return f"no {what} are late", ""
    minutes = int(LATE.total_seconds() // 60)
    return f"{what} that wait for a tick for more than {minutes} minutes: {_some(late)}", _TICKS


async def _retention(services: Services) -> tuple[str, str]:
    left = await _older(services, "runs", "expire_at", KEPT)
    if not left:
        return "what has expired is removed", ""
    return f"runs that should have been removed more than {KEPT.days} days ago: {_some(left)}", _TICKS


async def _older(services: Services, collection: str, field: str, age: timedelta) -> list[str]:
    """Return a few ids of documents whose instant in `field` has passed for that long."""
    before = to_text(services.clock.now() - age)
    page = await services.documents.query(collection, where=[Where(field, "<=", before)], limit=_SHOWN)
    return [each.path.rpartition("/")[2] for each in page.documents]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


_Check = Callable[[Services], Awaitable[tuple[str, str]]]  # what was found, and the cure
_BIGQUERY: Final = "grant the account BigQuery's roles (docs/google-cloud.md, Permissions)"
_TICKS: Final = "make sure that ticks arrive (job convergence-tick, function scheduler) or `convergence serve` runs"
_INDEXES: Final = "apply infra/: an index may be missing"
# name → (check, the cure when it raises)
_CHECKS: Final[Mapping[str, tuple[_Check, str]]] = {
    "store": (_store, "make sure that Firestore's database exists and the account may use it (docs/deploy.md)"),
    "keyring": (_keyring, "enable the key's version, or grant its use to the account (docs/runbooks.md)"),
    "procedures": (_procedures, _BIGQUERY),
    "migrations": (_migrations, "correct the script that the message names"),
    "schemas": (_schemas, _BIGQUERY),
    "schedules": (_schedules, _INDEXES),
    "reconciler": (_reconciler, _INDEXES),
    "retention": (_retention, _INDEXES),
    "org files": (_org_files, "make sure that the configs folder can be read"),
}
_WARNINGS: Final = frozenset({"org files"})  # the same folder may be used by another installation, which has the org
