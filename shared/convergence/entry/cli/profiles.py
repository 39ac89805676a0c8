"""Where a server is and which key it accepts: from the call, the environment, or a file that only its owner reads."""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from convergence.errors import InvalidInput, did_you_mean

_NAMES: Final = ("url", "api_key", "root_key", "org")
KEY, ROOT_KEY, URL, ORG = "CONVERGENCE_API_KEY", "CONVERGENCE_ROOT_KEY", "CONVERGENCE_URL", "CONVERGENCE_ORG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A server's address and keys; empty means not given. `org` is the org of a call that names none."""

    url: str = ""
    api_key: str = field(default="", repr=False)
    root_key: str = field(default="", repr=False)
    org: str = ""


def profiles_file() -> Path:
    """Return where profiles are: `convergence/profiles.toml` in the folder for configuration (XDG, `~/.config`)."""
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(folder).expanduser() / "convergence" / "profiles.toml"


def find_profile(name: str | None, url: str | None) -> Profile:
    """Return the settings of `--profile` and `--url`, completed by the environment; variables override the file.

    Raises:
        InvalidInput: the profile does not exist, or other users may read the file.
    """
    known = Profile() if name is None else _read(profiles_file(), name)
    return Profile(
        url=url or os.environ.get(URL) or known.url,
        api_key=os.environ.get(KEY) or known.api_key,
        root_key=os.environ.get(ROOT_KEY) or known.root_key,
        org=os.environ.get(ORG) or known.org,
    )


def _read(file: Path, name: str) -> Profile:
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & 0o077:
                raise InvalidInput(f"{file} holds keys and others may read it (mode {mode:04o}); chmod 600 {file}")
            tables: dict[str, Any] = tomllib.load(opened)
    except FileNotFoundError:
        raise InvalidInput(f"there is no {file}, so no profile {name!r}; docs/cli.md shows an example") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):  # the parser's words may quote a key
        raise InvalidInput(f"{file} is not valid TOML; docs/cli.md shows an example") from None
    table = tables.get(name)
    if not isinstance(table, dict):
        raise InvalidInput(f"{file} has no profile {name!r}.{did_you_mean(name, tables)}")
    for key, value in table.items():
        if key not in _NAMES or not isinstance(value, str):
            raise InvalidInput(f"{file}: [{name}] {key} is unknown, or not text.{did_you_mean(key, _NAMES)}")
    return Profile(**table)
