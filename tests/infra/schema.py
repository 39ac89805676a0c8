"""Rebuild google_schema.json, the reduced schema of Google's provider, from the package cdktn-provider-google.

usage: pip download --no-deps cdktn-provider-google==21.1.0, unzip it, untar the .tgz inside, then
       python -m tests.infra.schema PACKAGE_FOLDER WHEEL

Only facts are kept: names, types, what is required, how often a block may stand, of the resources that infra/ uses.
A block is `attributes` [name, type, required, optional, computed] and `blocks` [name, nesting, least, most, block].
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from infra.project import ROOT
from tests.infra.provider import SCHEMA

_SCALARS: Final = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
_COMPUTED: Final = {"String": "string", "Number": "number", "Boolean": "bool", "List": ["list", "string"]}
_NESTING: Final = {"list": "LIST", "set": "SET", "struct": "SINGLE"}
_ATTRIBUTE: Final = re.compile(
    r"^\s+(\w+): \{\n\s+value: ([^\n]*),\n\s+isBlock: (true|false),\n\s+type: \"(\w+)\",\n"
    r"\s+storageClassType: \"(\w+)\",",
    re.MULTILINE,
)


class Package:
    """The npm package inside the wheel."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._scope = json.loads((root / "package.json").read_text())["name"]

    @cached_property
    def _types(self) -> Any:
        return json.loads((self._root / ".jsii").read_text())["types"]

    def resource(self, name: str) -> dict[str, Any]:
        """Return the schema of a resource such as google_pubsub_topic."""
        words = name.removeprefix("google_").split("_")
        code = (self._root / "lib" / "-".join(words) / "index.js").read_text()
        space = "".join(word.title() if index else word for index, word in enumerate(words))
        found = re.search(r"class (\w+) extends cdkt\w\.TerraformResource", code)
        assert found, name
        body = code[code.index(f"class {found[1]} extends") :]
        text = body[body.index("synthesizeHclAttributes") :]
        made = self._block(code, space, text, f"{self._scope}.{space}.{found[1]}Config")
        known = {each[0] for each in made["attributes"]} | {each[0] for each in made["blocks"]}
        for kind, attribute in re.findall(r"get(String|Number|Boolean|List)Attribute\('(\w+)'\)", body):
            if attribute not in known:
                known.add(attribute)
                made["attributes"].append([attribute, _COMPUTED[kind], False, False, True])
        return made

    def _block(self, code: str, space: str, text: str, type_name: str) -> dict[str, Any]:
        required, attributes, blocks = self._required(type_name), [], []
        listed = re.search(r"const attrs = \{\n(.*?)\n\s{4,8}\};", text, re.DOTALL)
        for name, value, is_block, kind, storage in _ATTRIBUTE.findall(listed[1] if listed else text[:60_000]):
            if is_block == "false":
                must = required.get(name, False)
                attributes.append([name, _type(kind, storage), must, not must, not must])
                continue
            function = re.search(r"(\w+)ToHclTerraform", value)
            assert function, name
            inner = re.search(rf"function {function[1]}ToHclTerraform\(struct\) \{{(.*?)\n\}}", code, re.DOTALL)
            assert inner, function[1]
            nested = self._block(
                code, space, inner[1], f"{self._scope}.{space}.{function[1][0].upper()}{function[1][1:]}"
            )
            mode = _NESTING[kind]
            several = "listMapperHcl" in value or mode == "SINGLE"
            least = int(required.get(name, False) and mode != "SINGLE")
            blocks.append([name, mode, least, 0 if several else 1, nested])
        return {"attributes": attributes, "blocks": blocks}

    def _required(self, type_name: str) -> dict[str, bool]:
        found = {}
        for each in self._types.get(type_name, {}).get("properties", []):
            name = re.search(r"#(\w+) \w+#(\w+)\}", json.dumps(each.get("docs", {})))
            if name:
                found[name[2]] = not each.get("optional")
        return found


def _type(kind: str, storage: str) -> Any:
    scalar = _SCALARS.get(re.sub(r"(List|Map)$", "", storage), "dynamic")
    return [kind, scalar] if kind in {"list", "set", "map"} else scalar


def used() -> list[str]:
    """Return the resource types of infra/*.tf."""
    texts = (path.read_text() for path in (ROOT / "infra").glob("*.tf"))
    return sorted({name for text in texts for name in re.findall(r'^resource "(\w+)"', text, re.MULTILINE)})


def main(package: Path, wheel: Path) -> None:
    """Write the schema."""
    source = {"wheel": wheel.name, "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}
    resources = {name: Package(package).resource(name) for name in used()}
    lines = [f"{json.dumps(name)}: {json.dumps(block)}" for name, block in resources.items()]
    SCHEMA.write_text(f'{{"source": {json.dumps(source)}, "resources": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
