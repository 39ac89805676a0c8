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
    "hex with colons": lambda text: text.encode().hex(":"),
    "hex with dashes": lambda text: text.encode().hex("-").upper(),
    "hex with blanks": lambda text: text.encode().hex(" "),
    "hex in groups": lambda text: text.encode().hex(":", 2),
    "a list of hex": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()),
    "a list of bytes": lambda text: json.dumps([*text.encode()]),
    "octal": lambda text: "".join(f"\\{byte:03o}" for byte in text.encode()),
    "code points": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "code points of Python": lambda text: "".join(f"\\U{ord(char):08x}" for char in text),
    "code units in a URL": lambda text: "".join(f"%u{ord(char):04x}" for char in text),
    "zero-width blanks": "\u200b".join,
    "a soft hyphen": lambda text: text[:9] + "\u00ad" + text[9:],
    "zero bytes": "\0".join,
    "joiners in JSON": lambda text: json.dumps("\u2060".join(text)),
    "joiners in HTML": lambda text: "&ZeroWidthSpace;".join(html.escape(char) for char in text),
    "marks of direction in a URL": lambda text: quote("\u202e" + "\u200e".join(text), safe=""),
    "colours": lambda text: text[:8] + "\x1b[01;31m" + text[8:12] + "\x1b[0m" + text[12:],
    "full width": lambda text: "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text),
    "base64 with its padding in a URL": lambda text: quote(b64(f"k{text}"), safe=""),
    "base64 with its padding in JSON": lambda text: b64(text).replace("=", "\\u003d"),
    "base64 of KEY: with its padding in HTML": lambda text: b64(f"{text}:").replace("=", "&#61;"),
    "in lines": wrapped,
    "in lines of JSON": lambda text: json.dumps(wrapped(text, "\r\n  ")),
}
