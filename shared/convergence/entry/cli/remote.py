"""Commands on runs, done by a server: the same words and exit codes as in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from convergence.config.model.pipeline import ParameterSpec
from convergence.domain.step import Applied
from convergence.engine.views.models import RunView
from convergence.entry.cli.follow import move_line
from convergence.entry.cli.parameters import read_parameters
from convergence.entry.cli.run_report import summary
from convergence.entry.cli.server import Server, quoted
from convergence.entry.cli.session import Session
from convergence.errors import InvalidInput, NotFound, did_you_mean

_ENDED: Final = frozenset({"completed", "failed", "cancelled", "skipped"})
Words = tuple[Sequence[str], Sequence[str], Sequence[str]]  # -p, --secret-from-env, --secret-from-file


def run(
    session: Session,
    server: Server,
    org: str,
    pipeline: str,
    words: Words,
    *,
    wait: bool,
    idempotency_key: str | None,
    force: bool,
) -> int:
    """Start a pipeline there, and see it to its end."""
    parameters = given(server, pipeline, words)
    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    path = f"/pipelines/run/{quoted(org)}/{pipeline}"
    query = {"force": "true"} if force else {}
    accepted = server.ask("POST", path, json=parameters, headers=headers, params=query)
    return _followed(session, server, org, accepted, wait=wait)


def integrate(session: Session, server: Server, org: str, provider: str, verb: str, words: Words) -> int:
    """Set an integration up, or try it, there."""
    parameters = given(server, f"{provider}/auth/{verb}", words)
    accepted = server.ask("POST", f"/integrations/{quoted(org)}/{quoted(provider)}/{verb}", json=parameters)
    return _followed(session, server, org, accepted, wait=True)


def replay(
    session: Session,
    server: Server,
    name: str,
    words: Words,
    *,
    latest: bool,
    applied: Mapping[str, Applied],
    wait: bool,
    force: bool,
) -> int:
    """Replay a run there."""
    org = server.org
    dead_letter = f"/dead-letters/{quoted(org)}/{quoted(name)}" if "." in name else None
    run_id = server.run_id(name) if dead_letter is None else name
    body: dict[str, Any] = {"latest": latest}
    if applied:
        body["applied"] = applied
    if force:
        body["force"] = True
    if any(words):
        pipeline = server.get(dead_letter or _status(org, run_id))["pipeline"]
        body["parameters"] = given(server, pipeline, words, ask=False)
    path = f"/pipelines/replay/{quoted(org)}/{quoted(run_id)}" if dead_letter is None else f"{dead_letter}/replay"
    accepted = server.ask("POST", path, json=body)
    seen = _before_replay(server, org, accepted["run_id"]) if wait else ""
    return _followed(session, server, org, accepted, wait=wait, seen=seen)


def _before_replay(server: Server, org: str, run_id: str) -> str:
    """Return the id of the last event before the latest replay: what is before it was shown when it happened."""
    moves = server.get(f"/pipelines/logs/{quoted(org)}/{quoted(run_id)}/transitions")["transitions"]
    begun = [number for number, move in enumerate(moves) if not move["step_id"] and move["why"].startswith("replay ")]
    if not begun or begun[-1] == 0:
        return ""
    last = moves[begun[-1] - 1]
    return f"{last['at']}/{last['step_id'] or ''}/{last['status']}"


def cancel(session: Session, server: Server, run_id: str) -> int:
    """Cancel a run there."""
    org, run_id = server.org, server.run_id(run_id)
    answer = server.ask("POST", f"/pipelines/cancel/{quoted(org)}/{quoted(run_id)}")
    if not answer["success"]:
        raise InvalidInput(f"run {run_id} is {answer['status']} already; there is nothing to cancel")
    _finish_step(session, status(server, org, run_id))
    return 0


def status(server: Server, org: str, run_id: str) -> RunView:
    """Return a run as it stands."""
    return cast("RunView", server.get(_status(org, run_id)))


def given(server: Server, pipeline: str, words: Words, *, ask: bool = True) -> dict[str, Any]:
    """Return the parameters of a call; the server names the secrets, so that none is read from the command line."""
    known = {each["name"]: each["parameters"] for each in server.open_to_all("/validator/pipelines")["pipelines"]}
    name = "/".join(filter(None, pipeline.split("/")))
    declared = known.get(name)
    if declared is None and not any(words):
        return {}  # an alias, perhaps: the server knows them
    if declared is None:
        raise NotFound(f"{server.url} lists no pipeline {name!r}; parameters need its path.{did_you_mean(name, known)}")
    specs = {
        each["name"]: ParameterSpec(
            type=each["type"], required=each["required"], description=each["description"], default=None
        )
        for each in declared
    }
    return read_parameters(name, specs, *words, ask=ask)


def _followed(
    session: Session, server: Server, org: str, accepted: Mapping[str, Any], *, wait: bool, seen: str = ""
) -> int:
    if not wait:
        if session.out.json:
            session.out.data({"run_id": accepted["run_id"], "status": accepted["status"]})
        else:
            look = session.command("status", accepted["run_id"])
            session.out.line(f"accepted  {accepted['run_id']}; the server does the work, look with: {look}")
        return 0
    return _finish_step(session, _follow(session, server, org, accepted["run_id"], seen))


def _follow(session: Session, server: Server, org: str, run_id: str, seen: str) -> RunView:
    """Show the moves after `seen` as the server streams them; if the stream breaks off, continue after the last."""
    while True:
        for name, move in server.events(f"/pipelines/events/{quoted(org)}/{quoted(run_id)}", seen):
            seen = name
            if not session.out.json:
                session.out.note(move_line(move, run_id))
        view = status(server, org, run_id)
        if view["status"] in _ENDED:
            return view


def _finish_step(session: Session, view: RunView) -> int:
    if session.out.json:
        session.out.data(view)
    else:
        summary(session.out, view, session.command)
    return 0 if view["status"] == "completed" else 1


def _status(org: str, run_id: str) -> str:
    return f"/pipelines/status/{quoted(org)}/{quoted(run_id)}"
