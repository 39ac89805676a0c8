"""Write `docs/client.ts`: the API's types and the calls that front ends make, from the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from fastapi import FastAPI

Schema = Mapping[str, Any]


class Call(NamedTuple):
    """A function of the client: its name, and the operation that it calls."""

    name: str
    method: str
    path: str


CALLS: Final = (
    Call("runPipeline", "post", "/api/v1/pipelines/run/{org}/{path}"),
    Call("getPipelineStatus", "get", "/api/v1/pipelines/status/{org}/{run_id}"),
    Call("getPipelineHistory", "get", "/api/v1/pipelines/history/{org}"),
    Call("getSchedules", "get", "/api/v1/scheduler/schedules/{org}"),
    Call("cancelRun", "post", "/api/v1/pipelines/cancel/{org}/{run_id}"),
    Call("replayRun", "post", "/api/v1/pipelines/replay/{org}/{run_id}"),
)
_SIMPLE: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_PLACE: Final = re.compile(r"\{(\w+)\}")
_HEAD: Final = """\
// Generated from the API's OpenAPI document by `make client`; do not edit.
// Dates and times are text in UTC. A refusal throws ApiError with the problem document (RFC 9457).

export interface Settings {
  /** Such as https://convergence.example */
  baseUrl: string;
  /** A key of the org; a browser should call a server of yours that adds it. */
  apiKey?: string;
  fetch?: typeof fetch;
}

export class ApiError extends Error {
  constructor(readonly status: number, readonly problem: Problem) {
    super(problem.detail);
    this.name = "ApiError";
  }
}

async function call<T>(
  settings: Settings,
  method: string,
  path: string,
  query: Record<string, unknown>,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  const url = new URL(settings.baseUrl.replace(/\\/$/, "") + path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
  }
  const sent: Record<string, string> = { accept: "application/json", ...headers };
  if (settings.apiKey) sent["X-API-Key"] = settings.apiKey;
  if (body !== undefined) sent["content-type"] = "application/json";
  const answer = await (settings.fetch ?? fetch)(url.toString(), {
    method,
    headers: sent,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const content: unknown = await answer.json();
  if (!answer.ok) throw new ApiError(answer.status, content as Problem);
  return content as T;
}
"""


def client(app: FastAPI) -> str:
    """Return the file."""
    document = app.openapi()
    schemas: Schema = document["components"]["schemas"]
    operations = [(each, document["paths"][each.path][each.method]) for each in CALLS]
    used = _reached(["Problem", *(name for _, found in operations for name in _names(found))], schemas)
    types = [_declaration(name, schemas[name]) for name in sorted(used)]
    return "\n".join([_HEAD, *types, *(_function(each, found) for each, found in operations)])


def _function(call: Call, operation: Schema) -> str:
    parameters = operation.get("parameters", [])
    path = [each["name"] for each in parameters if each["in"] == "path"]
    query = [each for each in parameters if each["in"] == "query"]
    header = [each for each in parameters if each["in"] == "header"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    arguments = ["settings: Settings", *(f"{_camel(name)}: string" for name in path)]
    if body is not None:
        arguments.append(f"body?: {_type(_without_null(body))}")
    options = [f"{_key(each['name'])}?: {_type(_without_null(each['schema']))}" for each in query]
    options += [f"{_camel(each['name'])}?: string" for each in header]
    if options:
        arguments.append(f"options: {{ {'; '.join(options)} }} = {{}}")
    url = _PLACE.sub(lambda found: "${" + _encoded(found[1]) + "}", call.path)
    names = ", ".join(f"{_key(each['name'])}: options{_member(each['name'])}" for each in query)
    sent = (
        f'settings, "{call.method.upper()}", `{url}`, {{ {names} }}'
        if names
        else f'settings, "{call.method.upper()}", `{url}`, {{}}'
    )
    sent += ", body" if body is not None else ", undefined" if header else ""
    heads = "".join(
        f'{_camel(each["name"])} === undefined ? {{}} : {{ "{each["name"]}": options.{_camel(each["name"])} }}'
        for each in header
    )
    sent += f", options.{heads}" if header else ""
    return (
        f"/** {operation['description'].splitlines()[0]} */\n"
        f"export async function {call.name}({', '.join(arguments)}): Promise<{_answer(operation)}> {{\n"
        f"  return call({sent});\n}}\n"
    )


def _answer(operation: Schema) -> str:
    found = [
        _type(answer["content"]["application/json"]["schema"])
        for status, answer in operation["responses"].items()
        if status.startswith("2") and "application/json" in answer.get("content", {})
    ]
    return " | ".join(dict.fromkeys(part for each in found for part in each.split(" | ")))


def _declaration(name: str, schema: Schema) -> str:
    about = str(schema.get("description", "")).split("\n\n")[0].replace("*/", "").replace("\n", " ").strip()
    head = f"/** {about} */\n" if about else ""
    if schema.get("type") != "object" or "properties" not in schema:
        return f"{head}export type {name} = {_type(schema)};\n"
    required = set(schema.get("required", ()))
    lines = [
        f"  {_key(each)}{'' if each in required else '?'}: {_type(of)};" for each, of in schema["properties"].items()
    ]
    return f"{head}export interface {name} {{\n" + "\n".join(lines) + "\n}\n"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " | ".join(dict.fromkeys(_type(each) for each in schema[word]))
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items", {}))
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind == "object":
        more = schema.get("additionalProperties", True)
        return f"Record<string, {_type(more) if isinstance(more, Mapping) else 'unknown'}>"
    return _SIMPLE.get(str(kind), "unknown")


def _without_null(schema: Schema) -> Schema:
    """Return the schema of an optional value: what is left out need not be null as well."""
    if "anyOf" not in schema:
        return schema
    return {"anyOf": [each for each in schema["anyOf"] if each.get("type") != "null"]}


def _reached(names: list[str], schemas: Schema) -> set[str]:
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += _names(schemas[name])
    return found


def _names(value: Any) -> Iterator[str]:
    """Yield the schemas that a part of the document refers to; refusals are the `Problem` that is there anyway."""
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)


def _encoded(name: str) -> str:
    """Return the expression of a path's part; a pipeline's path keeps its slashes."""
    variable = _camel(name)
    if name == "path":
        return f'{variable}.split("/").map(encodeURIComponent).join("/")'
    return f"encodeURIComponent({variable})"


def _camel(name: str) -> str:
    first, *others = re.split(r"[_-]", name)
    return first[:1].lower() + first[1:] + "".join(each[:1].upper() + each[1:] for each in others)


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else json.dumps(name)


def _member(name: str) -> str:
    return f".{name}" if _NAME.fullmatch(name) else f"[{json.dumps(name)}]"
