"""Random secrets in every encoding, and encodings inside encodings: nothing of them is left."""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random

import pytest

from convergence.engine.step.redact import MASK, Redactor
from tests.unit.engine.encodings import ENCODINGS, b64

SECRETS = 25  # for each pair
ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "abcdef0123456789",
    "abcXYZ012-_./+=",
    "abcXYZ012\"'\\&<>/+ %=:;@#?",
    "sk-ABC\n\tx/+",
)
OUTER: dict[str, Callable[[str], str]] = {
    "nothing": str,
    "base64": b64,
    "base64 for URLs, unpadded": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in lines of 76": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64 of a body": lambda text: b64('{"more": [1, 2], "said": "' + text + '", "code": 401}'),
    "base64 twice": lambda text: b64(b64(text)),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex in mixed case": lambda text: "".join(
        f"{byte:02x}" if index % 3 else f"{byte:02X}" for index, byte in enumerate(text.encode())
    ),
}


def secret(rng: Random) -> str:
    alphabet = rng.choice(ALPHABETS)
    return "k" + "".join(rng.choice(alphabet) for _ in range(rng.randint(16, 60))) + "z"


# Three codes deep, only what needs no decoding is recognised; text of another alphabet is not looked for in UTF-16.
BEYOND = {
    "base64 twice": {*(name for name in ENCODINGS if name.startswith(("hex ", "a list of"))), "quoted-printable"},
    "base64 of UTF-16": {"zero-width blanks", "a soft hyphen", "full width"},
}


@pytest.mark.parametrize(
    ("inner", "outer"),
    [(inner, outer) for outer in OUTER for inner in ENCODINGS if inner not in BEYOND.get(outer, set())],
)
def test_nothing_is_left_of_a_secret_in_a_code_inside_a_code(inner: str, outer: str) -> None:
    rng = Random(f"{inner} in {outer}")
    for _ in range(SECRETS):
        key = secret(rng)
        written = OUTER[outer](ENCODINGS[inner](key))
        clean = Redactor({key})(f"it said <{written}> (request 5)")
        assert clean.startswith("it said <")
        assert clean.endswith("> (request 5)")
        left = clean.removeprefix("it said <").removesuffix("> (request 5)")
        assert MASK in left, (key, written)
        # What may stay is what encoders wrote around it, and the end of what was cut into short lines.
        assert len(left.replace(MASK, "")) <= 30 + len(written) // 20, (key, written, clean)


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase])
def test_a_secret_in_another_case_is_masked(change: Callable[[str], str]) -> None:
    key = "sk-Live-9f8E7d6C5b4A"
    assert Redactor({key})(f"unknown key {change(key)}!") == f"unknown key {MASK}!"


def test_codes_of_other_things_stay() -> None:
    digest, token = (
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        b64("just some other text, long enough"),
    )
    text = f"run {digest} of organizations/usage_report/messages wrote {token} to /var/lib/convergence/warehouse"
    assert Redactor({"sk-live-0123456789-abcdefghijkl"})(text) == text
