"""The texts by which a secret would be recognised: its parts, and each as encoders write it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

SHORTEST: Final = 6  # shorter ones would mask half a text by chance
_ESCAPES: Final = 3
_TOKEN: Final = 12  # a shorter part of a URL is most often a word of it
_PAIRS: Final = re.compile(r"[;&\n]")
# Fields of a credential that are not secret, and whose values (an address, a project, "service_account") are words of
# messages.
_OPEN: Final = frozenset(
    {"type", "client_email", "client_id", "project_id", "quota_project_id", "tenant_id", "subscription_id", "scope"}
    | {"auth_uri", "token_uri", "auth_provider_x509_cert_url", "client_x509_cert_url", "universe_domain"}
    | {"grant_type", "username", "user", "account", "region", "location", "host", "endpoint"}
)


def parts(secret: str) -> set[str]:
    """Return the secret and what is secret in it: fields of JSON, passwords, tokens in URLs, values of `name=value`."""
    whole = secret.strip()
    found = {secret, whole}
    try:
        leaves = [*_leaves(json.loads(whole))] if whole.startswith(("{", "[")) else []
    except (ValueError, RecursionError):
        leaves = []
    found |= {part for leaf in leaves or [whole] for part in (leaf, *_of_text(leaf))}
    found |= {piece for text in [*found] for piece in _of_pem(text)}
    return {each for each in found if len(each) >= SHORTEST}


def _of_text(text: str) -> Iterator[str]:
    """Yield the parts of a text: of a URL, of `user:password`, of `name=value` pairs as in a connection string."""
    if "-----BEGIN " in text:
        return
    if "://" in text:
        yield from _of_url(text)
    elif ":" in text and "\n" not in text:
        yield text.partition(":")[2]
    for pair in _PAIRS.split(text):
        name, equals, value = pair.partition("=")
        if equals and name.strip().lower() not in _OPEN:
            yield value.strip()


def escaped(part: str) -> Iterator[str]:
    """Yield a text and, if it has a backslash, also its JSON escapes, nested up to three times.

    Where a text has backslashes of its own, undoing escapes gives another result for each number of them, and for one
    that an invisible character separates from what it escapes.
    """
    yield part
    if "\\" in part:
        yield "\u200b".join(part)
    for _ in range(_ESCAPES if "\\" in part else 0):
        part = json.dumps(part, ensure_ascii=False)[1:-1]
        yield part


def encoded(part: str) -> Iterator[str]:
    """Yield how a text looks when it, or a longer text around it, was encoded as base64 or hex.

    The position of the text in the longer one shifts its base64 by 0, 1 or 2 bytes; the characters at both ends that
    depend on what is beside it are left out.
    """
    data = part.encode("utf-8", "surrogatepass")
    for before in range(3):
        code = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        complete = (before + len(data)) * 8 // 6
        core = code[-(-before * 8 // 6) : complete]
        if len(core) >= SHORTEST:
            yield core
            if "+" in core or "/" in core:
                yield core.replace("+", "-").replace("/", "_")
    yield data.hex()


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name.lower() not in _OPEN:
                yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)


def _of_url(text: str) -> Iterator[str]:
    try:
        url = urlsplit(text)
    except ValueError:
        return
    yield from (each for each in (url.username, url.password) if each)
    for path in (url.path, url.query, *url.path.split("/")):
        if len(path) >= _TOKEN:
            yield path
            yield path.partition(":")[2]
    yield from (value for _, value in parse_qsl(url.query) if len(value) >= _TOKEN)


def _of_pem(text: str) -> Iterator[str]:
    """Yield the key between the lines that name it, which all keys share, and its lines: a parser may quote one."""
    _, begin, rest = text.partition("-----BEGIN ")
    body = rest.partition("-----")[2].partition("-----END")[0].strip() if begin else ""
    if body:
        yield body
        yield from body.split()
