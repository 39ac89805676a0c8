"""What a step opened does not leave it."""

from __future__ import annotations

import base64
import json
import logging
import time

import pytest

from convergence.engine.step.redact import MASK, RedactingLogger, Redactor
from tests.unit.engine.encodings import ENCODINGS

SECRET = "sk-live-ü/+very secret"


def test_a_secret_is_masked_wherever_it_hides() -> None:
    value = {
        "text": f"key={SECRET}!",
        SECRET: [SECRET, {"deep": f"a{SECRET}b"}],
        "quoted": "sk-live-%C3%BC%2F%2Bvery%20secret",
        "encoded": base64.b64encode(SECRET.encode()).decode(),
        "number": 5,
    }
    clean = Redactor({SECRET})(value)
    assert clean == {
        "text": f"key={MASK}!",
        MASK: [MASK, {"deep": f"a{MASK}b"}],
        "quoted": MASK,
        "encoded": MASK,
        "number": 5,
    }


def test_a_secret_that_begins_another_and_one_of_many_lines_are_masked_whole() -> None:
    assert Redactor({"abcdef", "abcdefghijkl"})("abcdefghijkl") == MASK
    key = "-----BEGIN-----\nline two\n-----END-----"
    assert "line two" not in Redactor({key})(json.dumps({"key": key}))
    assert "line two" not in Redactor({key})(repr(key))


def test_a_wrong_format_or_a_mapping_does_not_fail_the_step_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    logger = RedactingLogger(logging.getLogger("test"), Redactor({SECRET}))
    logger.warning("%d", "x")
    logger.warning("%(a)s", {"a": SECRET})
    try:
        raise ValueError("inner")
    except ValueError:
        logger.exception("outer")
    assert [MASK in record.getMessage() for record in caplog.records] == [False, True, False]
    assert "ValueError: inner" in caplog.records[-1].getMessage()


def test_a_step_logs_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    logger = RedactingLogger(logging.getLogger("test"), Redactor())
    logger.warning("100 % of the days")
    logger.warning("%s of %d days", "five", 7)
    logger.warning("%(rows)d rows", {"rows": 3})
    assert [record.getMessage() for record in caplog.records] == ["100 % of the days", "five of 7 days", "3 rows"]


def test_a_secret_with_half_a_character_is_masked_too() -> None:
    secret = "pass\ud800word-of-acme"
    assert Redactor({secret})(f"wrong: {secret}") == f"wrong: {MASK}"


def test_nothing_is_touched_when_no_secret_was_opened() -> None:
    value = {"a": [1, "x"]}
    assert Redactor()(value) is value


def test_logs_are_masked_in_arguments_and_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    logger = RedactingLogger(logging.getLogger("test"), Redactor({SECRET}), run_id="r1")
    try:
        raise ValueError(f"bad key {SECRET}")
    except ValueError as error:
        logger.error("failed with %s", SECRET, exc_info=error)
    (record,) = caplog.records
    assert SECRET not in caplog.text
    assert f"failed with {MASK}" in record.getMessage()
    assert f"bad key {MASK}" in record.getMessage()
    assert record.__dict__["run_id"] == "r1"


BODY = "MIIEvQIBADANBgkq/hkiG9w0B+AQEFAASC\nBKcwggSjAgEAAoIBAQC7"
PEM = f"-----BEGIN PRIVATE KEY-----\n{BODY}\n-----END PRIVATE KEY-----\n"
CLIENT_SECRET, PASSWORD, LEAF = 'cs~8Q/zz+"quoted"&<tail>', "p4ss/w\\ord+with:colon", 'another/secret"one'
# The credential as it is stored, and what of it must not be seen.
CREDENTIALS: dict[str, tuple[str, str]] = {
    "key": ('sk-live-ü/+"very" & <secret>', 'sk-live-ü/+"very" & <secret>'),
    "client secret": (json.dumps({"client_id": "app-1", "client_secret": CLIENT_SECRET}), CLIENT_SECRET),
    "id:secret": (f"app-1:{CLIENT_SECRET}", CLIENT_SECRET),
    "password": (f"operator:{PASSWORD}", PASSWORD),
    "user and password": (f"operator:{PASSWORD}", f"operator:{PASSWORD}"),
    "private key": (json.dumps({"type": "service_account", "private_key": PEM}), BODY),
    "nested": (json.dumps({"keys": [{"deep": LEAF}]}), LEAF),
    "webhook": ("https://hooks.example/services/T0001/B0002/abcdef/ghi", "/services/T0001/B0002/abcdef/ghi"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_no_part_of_a_credential_is_seen_in_any_encoding(credential: str, encoding: str) -> None:
    stored, part = CREDENTIALS[credential]
    clean = Redactor({stored})(f"the call was refused; it said <{ENCODINGS[encoding](part)}> (request 5)")
    assert clean.startswith("the call was refused; it said <")
    assert clean.endswith("> (request 5)")
    left = clean.removeprefix("the call was refused; it said <").removesuffix("> (request 5)")
    assert MASK in left
    # What stays is what an encoder wrote around the secret, not the secret: quotes, "Bearer ", a user's name.
    around = left.replace(MASK, "")
    assert len(around) <= len(ENCODINGS[encoding]("")) + 12


@pytest.mark.parametrize("encoding", ["raw", "base64", "hex", "URL", "JSON", "code units"])
@pytest.mark.parametrize("credential", ["key", "client secret", "password", "private key"])
def test_a_secret_that_was_cut_is_masked_to_where_it_was_cut(credential: str, encoding: str) -> None:
    stored, part = CREDENTIALS[credential]
    written = ENCODINGS[encoding](part)
    for kept in range(len(written) * 4 // 5, len(written)):
        for ending in ("", " …", "..."):
            clean = Redactor({stored})(f"it said {written[:kept]}{ending}")
            assert len(clean) <= len(f'it said "{MASK}{ending}') + 5, (clean, kept)


def test_words_of_a_credential_that_are_not_secret_stay_readable() -> None:
    key = {"type": "service_account", "client_email": "bot@acme.iam.gserviceaccount.com", "private_key": PEM}
    text = "the service_account bot@acme.iam.gserviceaccount.com may not; -----BEGIN PRIVATE KEY----- is missing"
    assert Redactor({json.dumps(key)})(text) == text
    assert Redactor({"operator:correct-horse-battery"})("operator: no such user") == "operator: no such user"


@pytest.mark.parametrize("sign", ["=", "%3D", "%253d", "\\u003d", "&#61;", "&equals;"])
@pytest.mark.parametrize("before", ["", "k", "ke"])
def test_no_padding_of_a_masked_code_is_left(before: str, sign: str) -> None:
    key = "sk-live-0123456789-abcdefghijkl"
    written = base64.b64encode(f"{before}{key}".encode()).decode().replace("=", sign)
    assert Redactor({key})(f"unknown: <{written}>") == f"unknown: <{MASK}>"


HOSTILE = (
    *("\\", "%", "&", "&#", "%25", "\\u", " +", "sk-live-012345", "\\\\/", "a", "&amp;", "a0:", "=A0", "0x", "99, "),
    *("\\101", "%u", "\\u{", "&ZeroWidthSpace", "\u200b", "\\\u200b", "\x1b[0", "ü", "ｓ"),
)


@pytest.mark.parametrize("unit", HOSTILE)
def test_the_time_is_linear_in_a_hostile_text(unit: str) -> None:
    redact = Redactor({"sk-live-0123456789-abcdefghijkl", json.dumps({"private_key": PEM})})

    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    assert min(seconds(200_000) for _ in range(3)) < 12 * max(min(seconds(50_000) for _ in range(3)), 0.005)


TOKEN = "k3y-of-24-characters-0123"


@pytest.mark.parametrize(
    ("credential", "text"),
    [
        (f"https://h.example/v1?api_key={TOKEN}", f"Invalid API key: {TOKEN}"),
        (f"https://{TOKEN}@o1.ingest.example.com/42", f"unknown token {TOKEN}"),
        (f"https://api.telegram.example/bot123:{TOKEN}/sendMessage", f"Unauthorized: bot123:{TOKEN}"),
        (f"https://api.telegram.example/bot123:{TOKEN}/sendMessage", f"Unauthorized: {TOKEN}"),
        (f'{{"webhook": "https://hooks.example.com/services/T/B/{TOKEN}"}}', f"no_service {TOKEN}"),
        (f'{{"basic": "alice:{TOKEN}"}}', f"bad password {TOKEN}"),
        (f"Endpoint=https;AccountName=acme;AccountKey={TOKEN}==;Suffix=x", f"bad AccountKey {TOKEN}=="),
        (f"client_id=abc&client_secret={TOKEN}", f"bad secret {TOKEN}"),
        (f"[section]\nname = acme\nkey = {TOKEN}", f"bad key {TOKEN}"),
        ('{"pin": 123456789012}', "bad pin 123456789012"),
    ],
)
def test_every_secret_part_of_a_credential_is_masked(credential: str, text: str) -> None:
    clean = Redactor({credential})(text)
    assert TOKEN not in clean
    assert "123456789012" not in clean
    assert MASK in clean


def test_what_is_not_secret_in_a_connection_string_stays() -> None:
    clean = Redactor({f"client_id=reporting-app&client_secret={TOKEN}"})("the client reporting-app is not known")
    assert clean == "the client reporting-app is not known"


def test_a_line_of_a_private_key_is_masked_without_the_others() -> None:
    lines = [base64.b64encode(bytes([number]) + bytes(range(47))).decode() for number in range(3)]
    pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
    redact = Redactor([json.dumps({"type": "service_account", "private_key": pem})])
    for line in lines:
        for shown in (line, line.encode().hex(), base64.b64encode(line.encode()).decode()):
            masked = redact(f"cannot read {shown} of the key")
            assert MASK in masked
            assert not any(shown[at : at + 12] in masked for at in range(len(shown) - 11))
    assert redact("-----BEGIN PRIVATE KEY----- is missing") == "-----BEGIN PRIVATE KEY----- is missing"
