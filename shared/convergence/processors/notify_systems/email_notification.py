"""`notify_systems.email_notification`: a mail by SMTP, usually as an end step.

The mail server is the installation's, not the file's: SMTP_HOST, SMTP_PORT, SMTP_USERNAME, SMTP_PASSWORD, SMTP_FROM and
SMTP_SECURITY (starttls, ssl, or none for a server on this machine) come from the environment. DEFAULT_ADMIN_EMAIL gets
mail that has no recipients. Where CONVERGENCE_PUBLIC_URL is set, a mail ends with a link to the run's page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, Field, field_validator

from convergence.domain.addresses import LOOPBACK
from convergence.errors import StepFailed, Transient
from convergence.ports.processor import NOT_SET_UP, SKIPPED, SUCCESS, Context
from convergence.processors.notify_systems.notice import Notice, page_of
from convergence.processors.settings import settings

ADDRESS: Final = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")
RECIPIENTS_MAX: Final = 50
SECURITY: Final = {"starttls": ("mailtos", "starttls"), "ssl": ("mailtos", "ssl"), "none": ("mailto", "insecure")}


def _address(value: str) -> str:
    """What still has a template is judged when the mail is sent."""
    if "{" not in value and not ADDRESS.fullmatch(value):
        raise ValueError(f"{value!r} is not a mail address: write it as name@example.com")
    return value


Address = Annotated[str, AfterValidator(_address)]


class EmailSettings(Notice):
    """`to_emails` is a list, or text with commas. `from_name` is shown before the sender's address."""

    to_emails: tuple[Address, ...] = ()
    cc_emails: tuple[Address, ...] = ()
    from_name: str = Field(default="", max_length=200)
    subject: str = Field(min_length=1)
    message: str = Field(default="", max_length=100_000)

    @field_validator("to_emails", "cc_emails", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        parts = value.split(",") if isinstance(value, str) else value
        return [part.strip() for part in parts if part and part.strip()] if isinstance(parts, list | tuple) else parts


class EmailProcessor:
    """One mail to all recipients."""

    config_model = EmailSettings

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """Send.

        Raises:
            StepFailed: no recipient, an invalid address, or no mail server configured.
            Transient: the server did not take the mail.
        """
        options = settings(EmailSettings, step_config)
        if options.unsent:
            return {"status": SKIPPED, "why": options.unsent}
        default = os.environ.get("DEFAULT_ADMIN_EMAIL", "")
        to = options.to_emails or ((default,) if default else ())
        absent = _not_set(to)
        if options.skip_unless_set_up and absent:
            return {"status": SKIPPED, NOT_SET_UP: absent}
        if not to:
            raise StepFailed("config.to_emails is empty, and DEFAULT_ADMIN_EMAIL is not set")
        recipients = [*to, *options.cc_emails]
        for address in recipients:
            if not ADDRESS.fullmatch(address):
                raise StepFailed(f"{address!r} is not a mail address")
        if len(recipients) > RECIPIENTS_MAX:
            raise StepFailed(f"{len(recipients)} recipients; a mail may go to at most {RECIPIENTS_MAX}")
        url = server_url(to, options.cc_emails, options.from_name)
        link = page_of(context)
        text = options.message or options.subject
        await _send(url, _one_line(options.subject), f"{text}\n\n{link}" if link else text)
        context.logger.info("mail to %d recipients", len(recipients))
        warnings = _missing(step_config.get("config") or {})
        return {"status": SUCCESS, "recipients": len(recipients), **({"warnings": warnings} if warnings else {})}


def _missing(config: Mapping[str, Any]) -> list[str]:
    """Report which entries of the lists had no value: their templates name what the org's profile does not have."""
    return [
        f"config.{key}[{index}] has no value; the mail went to the others"
        for key in ("to_emails", "cc_emails")
        if isinstance(config.get(key), list)
        for index, each in enumerate(config[key])
        if not each
    ]


def _not_set(to: tuple[str, ...]) -> str:
    """Return which settings of the installation a mail still needs; empty if it has all."""
    names = [] if os.environ.get("SMTP_HOST") else ["SMTP_HOST"]
    names += [] if to else ["DEFAULT_ADMIN_EMAIL"]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set" if names else ""


def server_url(to: tuple[str, ...], cc: tuple[str, ...], from_name: str = "") -> str:
    """Return the address of mail server and recipients as apprise takes it. Raises `StepFailed` without SMTP_HOST."""
    name = os.environ.get
    host, user, password = name("SMTP_HOST", ""), name("SMTP_USERNAME", ""), name("SMTP_PASSWORD", "")
    if not host:
        raise StepFailed("no mail server: set SMTP_HOST (and SMTP_USERNAME, SMTP_PASSWORD) for this installation")
    word = name("SMTP_SECURITY", "starttls")
    if word not in SECURITY or (word == "none" and host not in LOOPBACK):
        raise StepFailed(f"SMTP_SECURITY is {word!r}; use starttls or ssl, or none for a server on this machine")
    scheme, mode = SECURITY[word]
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    port = name("SMTP_PORT", "465" if word == "ssl" else "587")
    sender = name("SMTP_FROM", user if "@" in user else to[0])
    query = {"smtp": host, "mode": mode, "from": sender, "to": ",".join(to), "format": "text"}
    if from_name:
        query["name"] = " ".join(from_name.split())
    if cc:
        query["cc"] = ",".join(cc)
    return f"{scheme}://{login}{host}:{port}/?{urlencode(query, quote_via=quote)}"


async def _send(url: str, subject: str, message: str) -> None:
    import apprise  # slow to import: dozens of services

    mail = apprise.Apprise()
    if not mail.add(url):
        raise StepFailed("the mail server's settings do not make a valid address: check SMTP_HOST and SMTP_PORT")
    if not await mail.async_notify(title=subject, body=message):
        raise Transient("the mail server did not accept the mail")


def _one_line(text: str) -> str:
    """A subject with a line break would begin another header."""
    return " ".join(text.split())[:500]


def get_engine() -> EmailProcessor:
    """Return the processor."""
    return EmailProcessor()
