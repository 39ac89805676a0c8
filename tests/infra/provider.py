"""A stand-in for the provider `google`, so that Terraform validates and plans without network and account.

It knows names, types and which attributes are required (google_schema.json), and nothing about values: whether Google
accepts them only an apply can show.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import msgpack

from tests.infra.wire import NESTING, messages

SCHEMA: Final = Path(__file__).with_name("google_schema.json")
PROJECT_NUMBER: Final = "123456789012"
_UNKNOWN: Final = msgpack.ExtType(0, b"\x00")  # how Terraform writes a value that only an apply will know
_OPTIONAL = ("string", False, True, False)
_PROVIDER: Final[dict[str, Any]] = {"attributes": [[n, *_OPTIONAL] for n in ("project", "region")], "blocks": []}
_COMPUTED = ("string", False, False, True)
_DATA: Final[dict[str, Any]] = {
    "google_project": {
        "attributes": [["project_id", *_OPTIONAL], *([n, *_COMPUTED] for n in ("id", "number", "name"))],
        "blocks": [],
    }
}


class Provider:
    """The seven calls that init, validate, plan and test make of a provider."""

    def __init__(self) -> None:
        self.resources: dict[str, Any] = json.loads(SCHEMA.read_text())["resources"]
        self._types = messages()
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", 64 << 20)])
        calls = {
            "GetSchema": ("Nothing", self._schema),
            "PrepareProviderConfig": ("Prepare", lambda q: self._types["Prepared"](prepared_config=q.config)),
            "ValidateResourceTypeConfig": ("Validate", lambda _: self._types["Diagnostics"]()),
            "ValidateDataSourceConfig": ("Validate", lambda _: self._types["Diagnostics"]()),
            "Configure": ("Configure", lambda _: self._types["Diagnostics"]()),
            "PlanResourceChange": ("Plan", self._plan),
            "ReadDataSource": ("Read", self._read),
            "Stop": ("Nothing", lambda _: self._types["Nothing"]()),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                lambda request, _, answer=answer: answer(request),
                request_deserializer=self._types[kind].FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, (kind, answer) in calls.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", handlers),))

    def start(self) -> str:
        """Listen, and return what TF_REATTACH_PROVIDERS must be. The process must be one that Terraform may not end."""
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        address = {"Network": "tcp", "String": f"127.0.0.1:{port}"}
        reattach = {"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True, "Addr": address}
        return json.dumps({"registry.terraform.io/hashicorp/google": reattach})

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop(None).wait()

    def _schema(self, _: Any) -> Any:
        answer = self._types["Schemas"]()
        answer.provider.block.CopyFrom(self._block(_PROVIDER))
        for name, block in self.resources.items():
            answer.resource_schemas[name].block.CopyFrom(self._block(block))
        for name, block in _DATA.items():
            answer.data_source_schemas[name].block.CopyFrom(self._block(block))
        return answer

    def _block(self, block: Mapping[str, Any]) -> Any:
        made = self._types["Block"]()
        for name, kind, required, optional, computed in block["attributes"]:
            made.attributes.add(
                name=name, type=json.dumps(kind).encode(), required=required, optional=optional,
                computed=computed and not required,
            )  # fmt: skip
        for name, mode, least, most, inner in block["blocks"]:
            nested = made.block_types.add(type_name=name, nesting=NESTING[mode], min_items=least, max_items=most)
            nested.block.CopyFrom(self._block(inner))
        return made

    def _plan(self, request: Any) -> Any:
        answer = self._types["Planned"](legacy_type_system=True)
        new = msgpack.unpackb(request.proposed_new_state.msgpack, raw=False, strict_map_key=False)
        if new is not None:
            _fill(self.resources[request.type_name], new)
        answer.planned_state.msgpack = msgpack.packb(new)
        return answer

    def _read(self, request: Any) -> Any:
        state = msgpack.unpackb(request.config.msgpack, raw=False, strict_map_key=False)
        state |= {"id": "projects/test", "number": PROJECT_NUMBER, "name": "test"}
        answer = self._types["State"]()
        answer.state.msgpack = msgpack.packb(state)
        return answer


def _fill(block: Mapping[str, Any], value: dict[str, Any]) -> None:
    """Mark what the provider would compute as unknown."""
    for name, _, _, _, computed in block["attributes"]:
        if computed and value.get(name) is None:
            value[name] = _UNKNOWN
    for name, _, _, _, inner in block["blocks"]:
        for each in value.get(name) or ():
            if isinstance(each, dict):
                _fill(inner, each)


class Terraform:
    """Terraform in one folder, with the stand-in."""

    def __init__(self, binary: str, folder: Path, reattach: str) -> None:
        self._binary, self.folder = binary, folder
        nothing = folder / "no.tfrc"
        nothing.touch()
        self._environment = {
            **os.environ,
            "TF_REATTACH_PROVIDERS": reattach,
            "TF_CLI_CONFIG_FILE": str(nothing),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command; its exit code and output are the caller's to judge."""
        return subprocess.run(
            [self._binary, *words, "-no-color"] if words[0] != "fmt" else [self._binary, *words],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip


@contextmanager
def terraform(binary: str, folder: Path) -> Iterator[Terraform]:
    """Start the stand-in, and give Terraform in `folder`."""
    provider = Provider()
    reattach = provider.start()
    try:
        yield Terraform(binary, folder, reattach)
    finally:
        provider.stop()
