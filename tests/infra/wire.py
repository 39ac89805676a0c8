"""The messages of Terraform's plugin protocol, version 5, as far as validating and planning need them.

Source: hashicorp/terraform, docs/plugin-protocol/tfplugin5.proto. Field numbers are the protocol's.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# message → fields: `type name number`, `*` before what is repeated, `map` of text to the type that follows.
MESSAGES: Final = {
    "DynamicValue": "bytes msgpack 1, bytes json 2",
    "Diagnostic": "int32 severity 1, string summary 2, string detail 3",
    "Attribute": "string name 1, bytes type 2, string description 3, bool required 4, bool optional 5, bool computed 6",
    "NestedBlock": "string type_name 1, Block block 2, int32 nesting 3, int64 min_items 4, int64 max_items 5",
    "Block": "int64 version 1, *Attribute attributes 2, *NestedBlock block_types 3",
    "Schema": "int64 version 1, Block block 2",
    "Nothing": "",
    "Schemas": "Schema provider 1, map Schema resource_schemas 2, map Schema data_source_schemas 3",
    "Prepare": "DynamicValue config 1",
    "Prepared": "DynamicValue prepared_config 1, *Diagnostic diagnostics 2",
    "Validate": "string type_name 1, DynamicValue config 2",
    "Diagnostics": "*Diagnostic diagnostics 1",
    "Configure": "string terraform_version 1, DynamicValue config 2",
    "Plan": "string type_name 1, DynamicValue prior_state 2, DynamicValue proposed_new_state 3, DynamicValue config 4",
    "Planned": "DynamicValue planned_state 1, *Diagnostic diagnostics 4, bool legacy_type_system 5",
    "Read": "string type_name 1, DynamicValue config 2",
    "State": "DynamicValue state 1, *Diagnostic diagnostics 2",
}
NESTING: Final = {"SINGLE": 1, "LIST": 2, "SET": 3}
_PACKAGE: Final = "tfplugin5"


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="tfplugin5.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in filter(None, fields.split(", ")):
            *kinds, field_name, number = text.split()
            if kinds[0] == "map":
                entry = message.nested_type.add(name="".join(map(str.title, field_name.split("_"))) + "Entry")
                entry.options.map_entry = True
                _add(entry, "string", "key", 1)
                _add(entry, kinds[1], "value", 2)
                _add(message, f"*{name}.{entry.name}", field_name, int(number))
            else:
                _add(message, kinds[0], field_name, int(number))
    return file


def _add(message: descriptor_pb2.DescriptorProto, kind: str, name: str, number: int) -> None:
    repeated, kind = kind.startswith("*"), kind.removeprefix("*")
    field = message.field.add(name=name, number=number, label=3 if repeated else 1)
    scalar = descriptor_pb2.FieldDescriptorProto.Type.items()
    types = {key.removeprefix("TYPE_").lower(): value for key, value in scalar}
    if kind in types:
        field.type = types[kind]
    else:
        field.type, field.type_name = types["message"], f".{_PACKAGE}.{kind}"


def messages() -> dict[str, Any]:
    """Return the class of each message."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in MESSAGES}
    return {name: message_factory.GetMessageClass(each) for name, each in found.items()}
