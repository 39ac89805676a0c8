"""List the pipelines, and validate a pipeline file."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from typing_extensions import TypedDict

from convergence.config.checks.processors import check_processors
from convergence.config.loader import LoadedPipeline, parse_pipeline
from convergence.engine.services import Services
from convergence.entry.api.auth import Known, check
from convergence.entry.api.json import Json
from convergence.entry.api.problems import documented
from convergence.entry.api.runtime import At
from convergence.errors import ConfigError, ConfigErrors, InvalidInput, NotFound, did_you_mean

router = APIRouter(prefix="/validator", tags=["discovery"])
YAML: Final = {
    "required": True,
    "content": {"application/yaml": {"schema": {}, "examples": {"a step": {"value": "name: Hello\nsteps: []\n"}}}},
}


class Parameter(TypedDict):
    """A parameter of a pipeline."""

    name: str
    type: str
    required: bool
    default: Any
    allowed: list[Any] | None
    description: str


class PipelineAnswer(TypedDict):
    """A pipeline. `name` is its path: what a run names."""

    name: str
    display_name: str
    provider: str
    domain: str
    description: str
    parameters: list[Parameter]


class Pipelines(TypedDict):
    """Pipelines, by name."""

    pipelines: list[PipelineAnswer]


class Mistake(TypedDict):
    """One mistake: where in the file, which key, what."""

    where: str
    path: str
    message: str


class Verdict(TypedDict):
    """What is wrong with a file; warnings do not count."""

    valid: bool
    problems: list[Mistake]
    warnings: list[Mistake]


@router.get("/pipelines", response_model=Pipelines, responses=documented())
async def pipelines(at: At) -> Json:
    """List all pipelines. No key needed."""
    return Json({"pipelines": [_data(loaded) for loaded in await at.pipelines.get()]})


@router.get("/pipelines/{provider}", response_model=Pipelines, responses=documented(404))
async def of_provider(provider: Annotated[str, Path(examples=["openai"])], at: At) -> Json:
    """List the pipelines of a provider. No key needed."""
    known = await at.pipelines.get()
    found = [_data(loaded) for loaded in known if loaded.pipeline.provider == provider]
    if not found:
        raise NotFound(
            f"Unknown provider: {provider[:100]}.{did_you_mean(provider, {x.pipeline.provider for x in known})}"
        )
    return Json({"pipelines": found})


@router.post("/validate", response_model=Verdict, responses=documented(), openapi_extra={"requestBody": YAML})
async def validate(request: Request, caller: Known, at: At) -> Json:
    """Check a pipeline file, sent as the body: every mistake with its line. Nothing is stored."""
    check(caller, caller.org, "read")
    text = await request.body()
    if not text:
        raise InvalidInput("The body is empty; send the pipeline file.")
    return Json(await asyncio.to_thread(_verdict, text, at.services))  # a large file must not block other requests


def _data(loaded: LoadedPipeline) -> PipelineAnswer:
    pipeline = loaded.pipeline
    return {
        "name": loaded.path,
        "display_name": pipeline.name or loaded.path,
        "provider": pipeline.provider,
        "domain": pipeline.domain,
        "description": pipeline.description,
        "parameters": [
            {
                "name": name,
                "type": spec.type,
                "required": spec.required,
                "default": spec.default,
                "allowed": None if spec.allowed is None else list(spec.allowed),
                "description": spec.description,
            }
            for name, spec in pipeline.parameters.items()
        ],
    }


def _verdict(text: bytes, services: Services) -> Verdict:
    try:
        loaded = parse_pipeline(text, "posted/pipeline", file="pipeline.yml")
    except ConfigErrors as errors:
        return {"valid": False, "problems": _mistakes(errors.problems), "warnings": []}
    wrong, doubtful = check_processors(loaded, "embedded", services.schemas, services.configs_dir)
    return {"valid": not wrong, "problems": _mistakes(wrong), "warnings": _mistakes([*loaded.warnings, *doubtful])}


def _mistakes(problems: Any) -> list[Mistake]:
    found: list[ConfigError] = list(problems)
    return [{"where": each.where, "path": each.path, "message": each.message} for each in found]
