"""One call of the command: its installation, its output, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from convergence.config.settings.environments import SHORT
from convergence.domain.wording import counted
from convergence.engine.services import Services
from convergence.entry.cli.installation import Installation, Place, Watch, Writer
from convergence.entry.cli.log_file import stop, write_to
from convergence.entry.cli.output import Output
from convergence.entry.cli.profiles import KEY, ROOT_KEY, find_profile
from convergence.entry.cli.sandbox import listen_again
from convergence.entry.cli.server import Server
from convergence.errors import (
    ConfigError,
    ConfigErrors,
    ConvergenceError,
    IntegrationInactive,
    InvalidInput,
    NotFound,
    StorageLocked,
    did_you_mean,
)
from convergence.tenants.orgs import UNKNOWN_ORG, Org

T = TypeVar("T")
_SERVED: Final = re.compile(r"\(serve (https?://[^\s)]+)\)")  # as `serve` signs the lock
_INACTIVE: Final = re.compile(r"(\w{1,100}) integration not active")
_PLACE: Final = re.compile(r"(.+?)((?::\d{1,9}){0,2})\Z")  # file, then line and column
_COUNTED_MAX: Final = 1000
_LOOKS: Final = re.compile(r"\((?:query|report|export|trace|schemas infer|procedures list|doctor)\b")  # change nothing
LOOKERS_WAIT_S: Final = 60.0
_LOOK_AGAIN_S: Final = 0.1
DATA_DIR, CONFIGS = Path(".convergence"), Path("configs")


class Terminated(BaseException):
    """SIGTERM came: leave, as after Ctrl-C. Not an `Exception`, so that nothing on the way treats it as a failure."""


class Session:
    """What every command gets. Global options are written into it while they are parsed."""

    def __init__(self, installation: Installation, program: str) -> None:
        self.installation = installation
        self.program = program
        self.out = Output()
        self.data_dir = DATA_DIR
        self.configs_dir = CONFIGS
        self.synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
        self.env = SHORT.get(os.environ.get("ENVIRONMENT", "development"), "dev")
        self.project_id = os.environ.get("GCP_PROJECT_ID") or "local-dev-project"
        self.runs_max: int | None = None
        self.url: str | None = None
        self.profile: str | None = None
        self._server: Server | None = None

    @property
    def place(self) -> Place:
        """Where the installation lives."""
        return Place(
            data_dir=self.data_dir,
            configs_dir=self.configs_dir,
            env=self.env,
            project_id=self.project_id,
            synchronous=self.synchronous,
            runs_max=self.runs_max,
        )

    def command(self, *words: str) -> str:
        """Return a command line that works here, quoted for a shell."""
        options = []
        if self.data_dir != DATA_DIR:
            options += ["--data-dir", str(self.data_dir)]
        if self.configs_dir != CONFIGS:
            options += ["--configs", str(self.configs_dir)]
        for option, value in (("--profile", self.profile), ("--url", self.url)):
            if value is not None:
                options += [option, value]
        return f"{self.program} {shlex.join([*options, *words])}"

    def server(self, *, writes: bool = False) -> Server | None:
        """Return the server that this call is for: the one named, or for what `writes` the one that has the data.

        Raises:
            InvalidInput: the profile, or an address that would send keys unencrypted.
            StorageLocked: a server has the data, and no key for it is known.
        """
        profile = find_profile(self.profile, self.url)
        holder = None if profile.url or not writes else self.installation.holder(self.place)
        address = None if holder is None else _SERVED.search(holder)
        if address is not None:
            if not profile.api_key and not profile.root_key:
                how = f"set {KEY} or {ROOT_KEY}, and this goes through its API"
                none = f"without a key, stop the server and make one: {self.command('key', 'create')} ORG"
                raise StorageLocked(f"{self.data_dir} is in use by {holder}; {how}; {none}")
            profile = replace(profile, url=address[1])
        if profile.url and self._server is None:
            self._server = Server(profile)
        return self._server

    def openable(self, problem: ConfigError) -> ConfigError:
        """Return a mistake of a file with a path that opens from the working directory, not from the configs folder."""
        if isinstance(problem, ConfigErrors):
            return ConfigErrors([self.openable(each) for each in problem.problems])
        place = _PLACE.match(problem.where)
        if place is None or self._server is not None or not (found := self.configs_dir / place[1]).is_file():
            return problem
        here = Path.cwd()
        shown = found.relative_to(here) if found.is_relative_to(here) else found
        return ConfigError(problem.message, where=f"{shown.as_posix()}{place[2]}", path=problem.path)

    def placed(self, error: ConvergenceError) -> ConvergenceError:
        """Return the error with the data directory that was looked at, where something was not found in it.

        Mistakes of files get paths that can be opened.
        """
        if isinstance(error, ConfigError):
            return self.openable(error).with_traceback(error.__traceback__)
        if isinstance(error, IntegrationInactive) and (named := _INACTIVE.match(str(error))):
            setup = self.command("integration", "setup", "ORG", named[1], "--secret-from-env", "NAME=VARIABLE")
            return IntegrationInactive(f"{error} ({setup})")
        if not isinstance(error, NotFound) or self._server is not None or self.url or self.profile:
            return error
        folder = self.data_dir.absolute()
        if (self.data_dir / "state.db").exists():
            asks = UNKNOWN_ORG in str(error)
            return type(error)(f"{error} (The data directory is {folder}.)") if asks else error
        return type(error)(
            f"{error} (There is no data in {folder}: go to the folder where you work, or name its data directory with "
            "--data-dir or CONVERGENCE_DATA_DIR.)"
        )

    def close(self) -> None:
        """Close what this call opened."""
        if self._server is not None:
            self._server.close()

    def reading(self) -> AbstractContextManager[Services]:
        """Open for reading; works beside a writer."""
        return self.installation.reader(self.place)

    @asynccontextmanager
    async def writing(
        self, purpose: str, watch: Watch | None = None, *, schedules: bool = False
    ) -> AsyncIterator[Writer]:
        """Open to write, with the log going to its file, and the sandbox of unfinished demo runs listening again.

        Waits for a command that only looks, such as another query.

        Raises:
            StorageLocked: another process writes.
        """
        place = replace(self.place, schedules=schedules)
        async with contextlib.AsyncExitStack() as stack:
            writer = await self._enter(stack, lambda: self.installation.writer(place, purpose, watch))
            handler = write_to(self.installation.log_file(self.place), to_stderr=self.out.verbose)
            stack.callback(stop, handler)
            await listen_again(self.installation, self.out, writer.services, stack)
            yield writer

    async def _enter(
        self, stack: contextlib.AsyncExitStack, opening: Callable[[], AbstractAsyncContextManager[Writer]]
    ) -> Writer:
        loop, reported, looks = asyncio.get_running_loop(), False, 0
        until = loop.time() + LOOKERS_WAIT_S
        while True:
            try:
                return await stack.enter_async_context(opening())
            except StorageLocked:
                holder = self.installation.holder(self.place)
                if loop.time() >= until or (holder is not None and not _LOOKS.search(holder)):
                    raise
                looks += 1
                # A holder without a name has just taken the lock and will name itself, or its lock file was removed.
                if not reported and (holder is not None or looks > 1):
                    self.out.note(f"waiting for {holder or f'another process that uses {self.data_dir}'}")
                    reported = True
            await asyncio.sleep(_LOOK_AGAIN_S)

    def check_configs(self) -> None:
        """Raise `InvalidInput` unless the configs folder is there."""
        if not self.configs_dir.is_dir():
            raise InvalidInput(
                f"there is no configs folder {str(self.configs_dir)!r}; go to the folder that has one, or name it with "
                f"--configs or CONVERGENCE_CONFIGS. {self.program} init FOLDER makes one with all shipped pipelines"
            )

    def go(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end. Ctrl-C and SIGTERM cancel it; what it claimed stays to be resumed."""
        return asyncio.run(_until_terminated(work))

    def remind(self) -> None:
        """Report on stderr how many runs an earlier process left unfinished; silent while another one works."""
        if (
            self.url
            or self.profile
            or not (self.data_dir / "state.db").exists()
            or self.installation.holder(self.place) is not None
        ):
            return
        try:
            count = self.count_unfinished()
        except Exception:  # noqa: BLE001 - a reminder must not stop the command, which reports the problem itself
            return
        if count:
            unfinished, them = counted(count, "unfinished run"), "it" if count == 1 else "them"
            self.out.note(f"{unfinished}; finish {them} with: {self.command('resume')}")

    def count_unfinished(self) -> int:
        """Count the runs that have steps left to do, up to a thousand."""
        from convergence.engine.reconcile import count_unfinished

        with self.reading() as services:
            return asyncio.run(count_unfinished(services, _COUNTED_MAX))


async def known_org(services: Services, slug: str) -> Org:
    """Return an org. Raises `NotFound` with the closest names: local commands may see all orgs."""
    try:
        return await services.orgs.get(slug)
    except NotFound as error:
        known = await services.orgs.slugs()
        raise NotFound(f"{error}.{did_you_mean(slug, known)}" if known else str(error)) from error


async def _until_terminated(work: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "asyncio.run makes a task"
    came: list[int] = []

    def terminate() -> None:
        came.append(signal.SIGTERM)
        task.cancel()

    with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread, which alone receives signals
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await work
    except asyncio.CancelledError:
        if came:
            raise Terminated from None
        raise
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGTERM)


def program_name(argument: str) -> str:
    """Return how this program is called from a shell here; `argument` is `sys.argv[0]`."""
    if Path(argument).name == "__main__.py":
        return f"{_shown(sys.executable)} -m convergence"
    return _shown(argument)


def _shown(program: str) -> str:
    """The command's name if a shell finds it, otherwise its path, relative if below this folder."""
    path = Path(program).absolute()
    if shutil.which(path.name) == str(path):
        return path.name
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
