"""A running server, as commands use it: the REST API with a key, and its errors as ours."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote, urlsplit

import orjson

from convergence.entry.cli.profiles import KEY, ORG, ROOT_KEY, Profile
from convergence.entry.cli.run_ids import RECENT, WHOLE, pick
from convergence.errors import ConvergenceError, InvalidInput, NotFound, Unauthenticated

if TYPE_CHECKING:
    import httpx

API_KEY_HEADER: Final = "X-API-Key"
UNAUTHORIZED: Final = 401
PREFIX: Final = "/api/v1"
_WAIT_S: Final = 60.0


class Refused(ConvergenceError):
    """What the server answered; its `code` and the exit code are those of the same error here."""

    def __init__(self, message: str, code: str, status: int) -> None:
        self.code = code  # type: ignore[misc] # of this answer, not of the class
        self.http_status = status  # type: ignore[misc] # as above
        self.exit_code = _exit_code(code)  # type: ignore[misc] # as above
        super().__init__(message)


class Unreachable(ConvergenceError):
    """Nothing answers at the server's address, or it is not a Convergence server."""

    code = "server.unreachable"
    http_status = 503


class Server:
    """The API at one address. Calls with `root=True` send the operator's key, others the org's if there is one."""

    def __init__(self, profile: Profile, client: httpx.Client | None = None) -> None:
        self._profile = profile
        self.url = base_url(profile.url)
        self._client = client
        self._org = profile.org

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, root: bool = False) -> Any:
        """Return the answer to a GET; of the query what is None is not sent."""
        params = {name: value for name, value in (query or {}).items() if value is not None}
        return self.ask("GET", path, root=root, params=params)

    def ask(self, method: str, path: str, *, root: bool = False, **request: Any) -> Any:
        """Return the JSON of the answer, None for one without a body.

        Raises:
            Refused: the server's own refusal.
            Unreachable: no Convergence server answers.
            Unauthenticated: no key is known here.
        """
        answer = self._send(method, path, self._headers(root=root) | request.pop("headers", {}), request)
        return None if answer.status_code == 204 else self._read(answer)

    def open_to_all(self, path: str) -> Any:
        """Return the answer of a route that takes no key."""
        return self._read(self._send("GET", path, {}, {}))

    def events(self, path: str, after: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield (id, data) of a stream of server-sent events after `after`, until it ends or breaks off."""
        import httpx

        headers = self._headers(root=False) | ({"Last-Event-ID": after} if after else {})
        name = after
        try:
            with self._http().stream("GET", self.url + path, headers=headers) as answer:
                if answer.status_code != 200:
                    answer.read()
                    self._read(answer)
                for line in answer.iter_lines():
                    if line.startswith("id: "):
                        name = line.removeprefix("id: ")
                    elif line.startswith("data: ") and line != "data: {}":
                        yield name, orjson.loads(line.removeprefix("data: "))
        except httpx.HTTPError:
            return  # the run continues; the caller asks for its status next

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    @property
    def org(self) -> str:
        """The org of a call without one: the environment's or profile's, or else the key's. Raises `InvalidInput`."""
        if not self._org:
            self._org = self.get("/me")["org"]
        if not self._org:
            raise InvalidInput(f"the operator's key belongs to no org; name the org of the run with {ORG}")
        return self._org

    def run_id(self, run_id: str | None) -> str:
        """Return the id of a run that begins with `run_id`, without one of the org's latest run.

        Raises:
            NotFound: there is none.
            InvalidInput: there are several.
        """
        if run_id is not None and len(run_id) >= WHOLE:
            return run_id
        page = self.get(f"/pipelines/history/{quoted(self.org)}", {"limit": 1 if run_id is None else RECENT})
        if not page["runs"]:
            raise NotFound(f"{self.org} has no run yet")
        return pick(run_id, [str(run["run_id"]) for run in page["runs"]], complete=page["cursor"] is None)

    def _headers(self, *, root: bool) -> dict[str, str]:
        known = self._profile
        if known.api_key and not root:
            return {API_KEY_HEADER: known.api_key}
        if known.root_key:
            return {"X-CA-Root-Key": known.root_key}
        needed = f"the operator's key as {ROOT_KEY}" if root else f"a key as {KEY}"
        raise Unauthenticated(f"{self.url} needs {needed}, or in a profile (--profile)")

    def _send(self, method: str, path: str, headers: Mapping[str, str], request: Mapping[str, Any]) -> httpx.Response:
        import httpx

        try:
            return self._http().request(method, self.url + path, headers=headers, **request)
        except httpx.HTTPError as error:
            raise Unreachable(f"no server answers at {self.url}: {error}; is `convergence serve` running?") from error

    def _http(self) -> httpx.Client:
        import httpx

        if self._client is None:
            self._client = httpx.Client(timeout=httpx.Timeout(_WAIT_S, connect=10))
        return self._client

    def _read(self, answer: httpx.Response) -> Any:
        try:
            content = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            content = None
        if not isinstance(content, dict):
            what = answer.headers.get("content-type", "nothing")
            raise Unreachable(f"{self.url} answers {answer.status_code} with {what}; it is not a Convergence server")
        if answer.is_success:
            return content
        detail = str(content.get("detail"))
        if answer.status_code == UNAUTHORIZED:  # the answer is for who writes requests by hand
            known = self._profile
            used = KEY if known.api_key and API_KEY_HEADER in answer.request.headers else ROOT_KEY
            detail = (
                f"{self.url} does not accept this key ({used}, or the one of the profile): it is not known there, or"
                " was revoked. `convergence key create ORG` makes one, where the server's data is"
            )
        raise Refused(detail, str(content.get("code")), answer.status_code)


def base_url(given: str) -> str:
    """Return the address of the API below a server's address. A key is sent unencrypted to this machine only.

    Raises:
        InvalidInput: no address, or http to another machine.
    """
    parts = urlsplit(given.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise InvalidInput(f"{given!r} is not the address of a server; give one like https://convergence.example")
    if parts.scheme == "http" and not _here(parts.hostname):
        raise InvalidInput(f"{given} would send a key unencrypted over the network; use https")
    path = parts.path if parts.path.endswith(PREFIX) else parts.path + PREFIX
    return f"{parts.scheme}://{parts.netloc}{path}"


def quoted(segment: str) -> str:
    """Return a segment of a path."""
    return quote(segment, safe="")


def not_there(what: str, instead: str) -> NoReturn:
    """Refuse what the API cannot do, with the next step. Raises `InvalidInput`."""
    raise InvalidInput(f"the API cannot {what}; {instead}")


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _exit_code(code: str) -> int:
    waiting = [ConvergenceError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind.exit_code
        waiting += kind.__subclasses__()
    return 2 if code.startswith("request.") else ConvergenceError.exit_code
