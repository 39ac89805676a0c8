"""The settings of a deployment: environment variables, then the one file of its environment.

Read on demand (`read_settings`), never at import. Secrets never appear in a message or a repr.
"""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from convergence.config.settings.environments import FILES, SHORT
from convergence.domain.model_errors import message_of
from convergence.domain.query_cost import LIST_PRICE_TIB
from convergence.errors import ConfigError, ConfigErrors, did_you_mean

Environment = Literal["development", "staging", "production"]
ROOT_KEY_MIN: Final = 32
ROOT_KEY_DISTINCT_MIN: Final = 10  # a random key of 32 has about 20; `changeme` four times has 7
_ROOT_KEY_NAMES: Final = AliasChoices("CONVERGENCE_ROOT_KEY", "CA_ROOT_API_KEY")  # the second is its former name
_ORIGIN: Final = re.compile(r"https://[A-Za-z0-9.-]{1,253}(:\d{1,5})?")  # as a browser sends it: no path, no slash

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """Every setting, under the name of its variable."""

    model_config = SettingsConfigDict(case_sensitive=True, extra="ignore", frozen=True, env_ignore_empty=True)

    GCP_PROJECT_ID: str = "local-dev-project"
    CONVERGENCE_ROOT_KEY: SecretStr = Field(default=SecretStr(""), validation_alias=_ROOT_KEY_NAMES)
    ENVIRONMENT: Environment = "development"
    DISABLE_AUTH: bool = False
    KMS_KEY_NAME: str = ""
    BIGQUERY_LOCATION: str = "US"
    RATE_LIMIT_ENABLED: bool = True
    RATE_LIMIT_REQUESTS_PER_MINUTE: int = Field(default=100, ge=1)
    RATE_LIMIT_GLOBAL_REQUESTS_PER_MINUTE: int = Field(default=10_000, ge=1)
    ANONYMOUS_RUNS_PER_DAY: int = Field(default=0, ge=0)  # of each org; 0: pipelines without auth need a key too
    CONVERGENCE_RUNS_MAX: int | None = Field(default=None, ge=1)  # active at once, over all orgs; None: no such cap
    BIGQUERY_USD_PER_TIB: Decimal = Field(default=LIST_PRICE_TIB, ge=0, le=1_000)  # for estimates of statements' cost
    CONNECTIONS_MAX: int = Field(default=1_000, ge=1)  # open at once; `serve` keeps half of its descriptors for itself
    EVENT_STREAMS_MAX: int = Field(default=200, ge=1)  # open at once in this process
    EVENT_STREAMS_PER_ORG: int = Field(default=20, ge=1)
    FORWARDED_HOPS: int = Field(default=0, ge=0, le=5)  # proxies in front that append to X-Forwarded-For
    CORS_ORIGINS: Annotated[tuple[str, ...], NoDecode] = ()  # separated by commas
    PORT: int = Field(default=8001, ge=0, le=65_535)  # 0: any free port

    @field_validator("CORS_ORIGINS", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def env(self) -> str:
        """The suffix of datasets: dev, stage, prod."""
        return SHORT[self.ENVIRONMENT]

    @property
    def production(self) -> bool:
        """True where there are real tenants."""
        return self.ENVIRONMENT == "production"

    def faults(self) -> list[tuple[str, str]]:
        """Return (setting, what is wrong with it) for everything that prevents a start in this environment."""
        return environment_faults(self)


def read_settings(folder: Path = Path()) -> Settings:
    """Read the settings of a server; see `read_as`."""
    return read_as(Settings, folder)


def read_as(kind: type[S], folder: Path = Path()) -> S:
    """Read the environment, and below it the file in `folder` that belongs to ENVIRONMENT, as settings of `kind`.

    Raises:
        ConfigErrors: every value that is wrong, a bare `.env`, and everything that production refuses.
    """
    environment = os.environ.get("ENVIRONMENT", "development")
    if environment not in FILES:
        raise ConfigErrors(
            [
                ConfigError(
                    f"{environment!r} is not an environment.{did_you_mean(environment, FILES)}", where="ENVIRONMENT"
                )
            ]
        )
    if (folder / ".env").exists():
        name = FILES[environment]
        message = f"a bare .env does not name its environment; call it {name} and set ENVIRONMENT"
        raise ConfigErrors([ConfigError(message, where=".env")])
    try:
        settings = kind(_env_file=folder / FILES[environment], ENVIRONMENT=environment)  # type: ignore[call-arg,arg-type]  # pydantic-settings takes _env_file; the environment is checked above
    except ValidationError as error:
        raise ConfigErrors([_problem(each) for each in error.errors(include_input=False)]) from None
    faults = settings.faults()
    if faults:
        raise ConfigErrors([ConfigError(f"{message} ({environment})", where=name) for name, message in faults])
    return settings


def environment_faults(settings: Settings) -> list[tuple[str, str]]:
    """Return (setting, what is wrong with it) for everything that prevents a start in staging or production."""
    if settings.ENVIRONMENT == "development":
        return []
    checks = [("DISABLE_AUTH", settings.DISABLE_AUTH, "authentication cannot be switched off")]
    if settings.production:
        key, origins = settings.CONVERGENCE_ROOT_KEY.get_secret_value(), settings.CORS_ORIGINS
        short, few = len(key) < ROOT_KEY_MIN, len(set(key)) < ROOT_KEY_DISTINCT_MIN
        wrong = ", ".join(repr(origin[:100]) for origin in origins if not _ORIGIN.fullmatch(origin))
        checks += [
            ("CONVERGENCE_ROOT_KEY", short, f"the root key has fewer than {ROOT_KEY_MIN} characters"),
            (
                "CONVERGENCE_ROOT_KEY",
                few and not short,
                f"the root key has fewer than {ROOT_KEY_DISTINCT_MIN} different characters; make a random one",
            ),
            ("RATE_LIMIT_ENABLED", not settings.RATE_LIMIT_ENABLED, "rate limits cannot be switched off"),
            ("KMS_KEY_NAME", not settings.KMS_KEY_NAME, "credentials need a KMS key"),
            ("CORS_ORIGINS", not origins, "name the origins that browsers may call from"),
            ("CORS_ORIGINS", bool(wrong), f"{wrong}: not an https origin such as https://app.example"),
        ]
    return [(name, message) for name, fault, message in checks if fault]


def _problem(error: Any) -> ConfigError:
    return ConfigError(message_of(error), where=".".join(map(str, error["loc"])))
