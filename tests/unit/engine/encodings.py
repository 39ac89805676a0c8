"""How a secret looks after it was encoded."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus


def utf16(text: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))


def wrapped(text: str, end: str = "\n") -> str:
    return end.join(text[index : index + 7] for index in range(0, len(text), 7))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "Bearer": lambda text: f"Bearer {text}",
    "base64": b64,
    "base64 unpadded": lambda text: b64(text).rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 of KEY:": lambda text: b64(f"{text}:"),
    "base64 of :KEY": lambda text: b64(f":{text}"),
    "base64 of user:KEY": lambda text: b64(f"user:{text}"),
    "base64 of Bearer KEY": lambda text: b64(f"Bearer {text}"),
    "base64 inside JSON": lambda text: b64('{"key": "' + text + '", "more": 1}'),
    "base64 in lines": lambda text: wrapped(b64(text)),
    "base64 in lines of JSON": lambda text: json.dumps(wrapped(b64(text), "\r\n")),
    "base64 in a URL": lambda text: quote(b64(text), safe=""),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "URL": lambda text: quote(text, safe=""),
    "URL in lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "form": quote_plus,
    "every character in a URL": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "HTML": html.escape,
    "HTML by number": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "HTML by hex number": lambda text: "".join(f"&#x{ord(char):X};" for char in text),
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "JSON": json.dumps,
    "JSON twice": lambda text: json.dumps(json.dumps(text)),
    "JSON three times": lambda text: json.dumps(json.dumps(json.dumps(text))),
    "slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "code units": utf16,
    "code units in JSON": lambda text: json.dumps(utf16(text)),
    "HTML in JSON": lambda text: json.dumps(html.escape(text)),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "in lines": wrapped,
    "in lines of JSON": lambda text: json.dumps(wrapped(text, "\r\n  ")),
}
