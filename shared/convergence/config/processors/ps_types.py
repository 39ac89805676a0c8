"""Names of processors: today's, those of older files, and how one is loaded.

A `ps_type` is a module's path below `convergence.processors` with dots, or the name of an entry point of the
group `convergence.processors`. Nothing else can be imported from a file: a config file runs no code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from importlib import import_module
from inspect import getattr_static, iscoroutinefunction, isfunction, ismethod, unwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from convergence.config.processors import packages
from convergence.config.processors.packages import GROUP, offers
from convergence.errors import StepFailed, did_you_mean

if TYPE_CHECKING:
    from convergence.ports.processor import Processor

FOLDER: Final = Path(__file__).parents[2] / "processors"

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(:[A-Za-z_][A-Za-z0-9_]*)?")

# Spellings of older files; class names match without case.
SPELLINGS: Final[Mapping[str, str]] = {
    "api_extractor": "generic.api_extractor",
    "bq_transformer": "generic.local_bq_transformer",
    "local_bq_transformer": "generic.local_bq_transformer",
    "bq_execute": "generic.bq_execute",
    "dq_check": "generic.dq_check",
    "data_quality": "generic.dq_check",
    "procedure_executor": "generic.procedure_executor",
    "generic.procedure_exec": "generic.procedure_executor",
    "generic.bq_procedure": "generic.procedure_executor",
    "bigquery_to_bigquery": "gcp.bq_etl",
    "gcp_api_extractor": "gcp.api_extractor",
    "cloud.gcp.api_extractor": "gcp.api_extractor",
    "gcp.bigquery_to_bigquery": "gcp.bq_etl",
    "gcp.external_bq_extractor": "gcp.bq_etl",
    "cloud.gcp.external_bq_extractor": "gcp.bq_etl",
    "cloud.gcp.bq_etl": "gcp.bq_etl",
    "shared.email_notification": "notify_systems.email_notification",
    "shared.slack_notification": "notify_systems.slack_notification",
}
CLASSES: Final[Mapping[str, str]] = {
    "gcpapiextractor": "gcp.api_extractor",
    "apiextractor": "generic.api_extractor",
    "externalbqextractor": "gcp.bq_etl",
    "openaiusageprocessor": "openai.usage",
    "openaicostprocessor": "openai.cost",
    "anthropicusageprocessor": "anthropic.usage",
    "anthropiccostprocessor": "anthropic.cost",
}
# Names that editors offer, installed or not: a file may use them; running one that is not installed is refused.
OFFERED_NAMES: Final = frozenset(
    {
        *("generic.api_extractor", "generic.bq_execute", "generic.bq_loader", "generic.dq_check"),
        *("generic.local_bq_transformer", "generic.procedure_executor"),
        *("openai.usage", "openai.cost", "openai.subscriptions", "openai.seed_csv", "openai.validation"),
        *("anthropic.usage", "anthropic.cost", "anthropic.validation"),
        *("genai.payg_usage", "genai.payg_cost", "genai.commitment_usage", "genai.commitment_cost"),
        *("genai.commitment_terms", "genai.contract_commitment"),
        *("genai.infrastructure_usage", "genai.infrastructure_cost"),
        *("integrations.kms_store", "integrations.kms_decrypt", "integrations.validate_openai"),
        *("integrations.validate_claude", "integrations.validate_gcp"),
        *("notify_systems.email_notification", "notify_systems.slack_notification"),
        *("gcp.bq_etl", "gcp.api_extractor", "gcp.kms_manager"),
        *("cloud.aws.authenticator", "cloud.aws.bedrock_usage", "cloud.aws.cost_explorer", "cloud.aws.cur_extractor"),
        *("cloud.azure.authenticator", "cloud.azure.cost_extractor", "cloud.azure.cost_query"),
        *("cloud.oci.authenticator", "cloud.oci.cost_extractor", "cloud.focus_converter"),
    }
)


def canonical(name: str) -> str:
    """Return today's spelling of a `ps_type`; other names are returned unchanged."""
    spelled = SPELLINGS.get(name) or CLASSES.get(name.lower())
    if spelled is not None:
        return spelled
    return name.removeprefix(GROUP + ".")


def from_class(class_name: str, module: str | None) -> str:
    """Return the `ps_type` of the older `processor: {class, module}`.

    A known class name gives today's processor; else the class itself, `module:Class`, where the module is below
    `convergence.processors` (the part of its path before `processors.` does not matter).
    """
    known = CLASSES.get(class_name.lower())
    if known is not None or not module:
        return known or class_name
    inner = re.sub(r"^.*\bprocessors\.", "", module)
    return f"{inner}:{class_name}"


def known_names() -> frozenset[str]:
    """Return every name that can be loaded, and those that editors offer."""
    return installed() | OFFERED_NAMES


def installed() -> frozenset[str]:
    """Return the names that can be loaded: modules (found by their files, not imported) and entry points."""
    return modules_below(FOLDER) | frozenset(offers())


def is_installed(name: str) -> bool:
    """True when `load(name)` can find it."""
    module, _, class_name = name.partition(":")
    if class_name and _NAME.fullmatch(name):
        return (FOLDER / (module.replace(".", "/") + ".py")).is_file() or module in offers()
    return module in modules_below(FOLDER) or module in offers()


def is_shipped(name: str) -> bool:
    """True for a processor of the product, installed or only offered."""
    return name in OFFERED_NAMES or name in modules_below(FOLDER)


def load(name: str) -> Processor:
    """Import the processor's module and make one.

    Raises:
        StepFailed: the name is unknown or offered by several packages, its module cannot be imported, or what it
            offers is not a processor.
    """
    refused = contested(canonical(name))
    if refused:
        raise StepFailed(refused)
    processor = _maker(name)()
    if isinstance(processor, type) and isfunction(getattr_static(processor, "execute", None)):
        made = processor.__name__
        raise StepFailed(f"get_engine() of {name!r} returns the class {made}, not an object of it: return {made}()")
    if not callable(getattr(processor, "execute", None)):
        raise StepFailed(f"what get_engine() of {name!r} returns has no `async def execute(step_config, context)`")
    return processor


def is_async(processor: Processor) -> bool:
    """True unless `execute` is a plain function, which the engine cannot await."""
    execute = unwrap(processor.execute)
    return iscoroutinefunction(execute) or not (isfunction(execute) or ismethod(execute))


def contested(name: str) -> str:
    """Return a sentence about a name that more than one package offers, an empty text otherwise."""
    module, _, _ = name.partition(":")
    return packages.contested(module, shipped=module in modules_below(FOLDER))


def unknown(name: str) -> str:
    """Return the sentence for a name that cannot be loaded."""
    file = FOLDER / (name.replace(".", "/") + ".py")
    if _NAME.fullmatch(name) and file.is_file():
        return f"{file.relative_to(FOLDER.parent)} does not have `def get_engine()`, which returns the processor"
    made = Path(f"{name.partition('.')[0]}_convergence")
    if _NAME.fullmatch(name) and (made / "pyproject.toml").is_file():  # of `convergence new processor`
        return f"no processor is called {name!r}. Its package is here but not installed: pip install -e {made}"
    families = {known.partition(".")[0] for known in known_names()}
    if _NAME.fullmatch(name) and name.partition(".")[0] not in families:
        return (
            f"no processor is called {name!r}. If it is your own, install its package where this runs: "
            "pip install -e FOLDER (`convergence new processor` makes one)"
        )
    return f"no processor is called {name!r}.{did_you_mean(name, known_names())}"


@lru_cache(maxsize=256)
def _maker(name: str) -> Callable[[], Processor]:
    name = canonical(name)
    module_name, _, class_name = name.partition(":")
    if not _NAME.fullmatch(name) or not is_installed(name):
        if name in OFFERED_NAMES:
            raise StepFailed(f"the processor {name!r} is not part of this installation yet")
        raise StepFailed(unknown(name))
    found = offers().get(module_name)
    try:
        module: Any = found[0].entry.load() if found else import_module(f"{GROUP}.{module_name}")
    except Exception as error:
        raise StepFailed(f"the processor {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if class_name:
        older = getattr(module, class_name, None)
        if not isinstance(older, type):
            raise StepFailed(f"the module {module_name!r} has no class {class_name!r}")
        from convergence.config.processors.legacy_processor import LegacyProcessor

        return partial(LegacyProcessor, older)
    make = getattr(module, "get_engine", None)
    if make is None:
        raise StepFailed(f"the module of {name!r} has no get_engine()")
    return cast("Callable[[], Processor]", make)


@lru_cache(maxsize=4)
def modules_below(folder: Path) -> frozenset[str]:
    """Return the names of the modules below `folder` that define `get_engine`, dotted."""
    files = [file for file in folder.rglob("*.py") if b"def get_engine(" in file.read_bytes()]
    return frozenset(".".join(file.relative_to(folder).with_suffix("").parts) for file in files)
