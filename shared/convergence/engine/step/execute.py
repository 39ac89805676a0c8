"""Run one processor within its limits, and return the outcome."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import orjson

from convergence.config.files.providers import load_providers
from convergence.config.loader import LoadedPipeline
from convergence.config.settings.environments import SHORT
from convergence.domain.plan import Plan, PlanStep
from convergence.domain.step import Step
from convergence.engine.finish_run import error_data, run_timed_out
from convergence.engine.services import Services
from convergence.engine.step.context import StepContext
from convergence.engine.step.failing_frame import failing_frame
from convergence.engine.step.lease import Lease
from convergence.engine.store import StoredRun
from convergence.errors import ConvergenceError, LeaseLost, StorageFault, Throttled, Transient
from convergence.ports import processor as words
from convergence.ports.http.hosts import HostCheck, hosts_checked
from convergence.ports.processor import Processor
from convergence.tenants.api_hosts import TenantHosts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The processor is done; `skipped` when it reported that there was nothing to do."""

    result: Mapping[str, Any]
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """The processor did a slice and continues from `checkpoint`; `writes` counts those of this epoch so far."""

    result: Mapping[str, Any]
    checkpoint: Any
    writes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The processor failed; `error` is {code, message, step_id, at}. `environment`: this machine is to blame."""

    error: Mapping[str, Any]
    retryable: bool
    retry_after_s: float = 0.0
    environment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The run was cancelled or replayed, or another owner took over, while the processor ran."""

    reason: str


RUN_DEADLINE: Final = "the run's deadline"
_MACHINE: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
Outcome = Succeeded | Continued | Failed | Stopped


async def execute(
    services: Services,
    stored: StoredRun,
    plan: Plan,
    planned: PlanStep,
    lease: Lease,
    results: Mapping[str, Mapping[str, Any]],
) -> Outcome:
    """Return the outcome. A cancellation from outside (the process stops) passes through: the step stays claimed."""
    deadline = services.clock.now() + timedelta(seconds=lease.limit_s)
    context = StepContext(services, stored.run, plan, planned, lease, results, deadline)
    processor: Processor | None = None
    try:
        processor = services.processor(planned.ps_type)
        await context.choose_credential()
        with hosts_checked(_hosts(services, stored)):
            working: object = processor.execute(planned.config, context)
            if not isinstance(working, Awaitable):
                return _bad_answer(services, planned, "has an `execute` that is not async: write `async def execute`")
            answer = await working
        outcome = _read_answer(services, planned, answer, context)
        if isinstance(outcome, Continued):
            await context.flush()
        return outcome
    except LeaseLost as error:
        return Stopped(reason=str(error))
    except asyncio.CancelledError as error:
        interrupted = _interrupted(services, plan, planned, lease, context)
        if interrupted is not None:
            return interrupted
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # the process stops
        return _failure(services, planned, RuntimeError(f"a task that it awaited was cancelled {error}"), context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: whatever it raises is the step's failure
        interrupted = _interrupted(
            services, plan, planned, lease, context
        )  # some processors wrap the cancellation in their own error
        frame = None if processor is None else failing_frame(error, processor)
        return interrupted or _failure(services, planned, error, context, frame)
    finally:
        await context.close()


def _hosts(services: Services, stored: StoredRun) -> HostCheck | None:
    """Return the check of the hosts that a step may call. Outside production a sandbox may have any address."""
    if services.env != SHORT["production"]:
        return None
    run = stored.run

    def loaded() -> LoadedPipeline | None:
        try:
            return services.catalog.get(run.pipeline)
        except ConvergenceError:  # the file was removed, or broken, after the run began
            return None

    return TenantHosts(partial(load_providers, services.configs_dir), loaded, run.parameters)


def _interrupted(
    services: Services, plan: Plan, planned: PlanStep, lease: Lease, context: StepContext
) -> Outcome | None:
    """Return the outcome when it was the lease that ended the execution."""
    if lease.stopped is None and not lease.timed_out:
        return None
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        task.uncancel()  # only the lease asked for it
    if lease.stopped is not None:
        return Stopped(reason=lease.stopped)
    if lease.limited_by == RUN_DEADLINE:
        error = Transient(run_timed_out(plan.timeout_s))
    else:
        error = Transient(f"timed out after {lease.limit_s:g}s ({lease.limited_by})")
    return _failure(services, planned, error, context)


def time_limit(services: Services, stored: StoredRun, planned: PlanStep, step: Step) -> tuple[float, str]:
    """Return the seconds this execution may take, and whose limit that is."""
    left = (stored.run.deadline_at - services.clock.now()).total_seconds()
    limits = [
        (planned.timeout_s - step.elapsed_s, "the step's timeout"),
        (services.settings.execution_max_s, "the longest execution in one go; longer steps must be resumable"),
    ]
    if planned.trigger is None:
        limits.append((left, RUN_DEADLINE))
    seconds, which = min(limits)
    return max(0.001, seconds), which


def _read_answer(services: Services, planned: PlanStep, answer: object, context: StepContext) -> Outcome:
    """Check what the processor returned; breaking the contract is a final failure that names the mistake."""
    if type(answer) is not dict and not isinstance(answer, Mapping):  # the first is quick, and nearly always true
        return _bad_answer(services, planned, f"returned {type(answer).__name__}, not a mapping with 'status'")
    result = context.redact(answer)
    try:
        size = len(orjson.dumps(result))
    except TypeError as error:
        return _bad_answer(services, planned, f"returned what is not JSON: {error}")
    if size > services.settings.result_bytes_max:
        most = services.settings.result_bytes_max
        what = f"returned {size} bytes; a result may have {most}; write more than that to the warehouse"
        return _bad_answer(services, planned, what)
    for name in ("rows_processed", "rows_written"):
        rows = result.get(name)
        if rows is not None and (type(rows) is not int or rows < 0):
            return _bad_answer(
                services, planned, f"returned {name}={rows!r}; a number of rows must be a non-negative integer"
            )
    status = str(result.get("status", "")).upper()
    if status in (words.SUCCESS, words.COMPLETED, words.SKIPPED):
        return Succeeded(result=result, skipped=status == words.SKIPPED)
    if status == words.CONTINUE:
        return Continued(result=result, checkpoint=result.get("checkpoint"), writes=context.writes)
    if status == words.FAILED:
        message = str(result.get("error") or result.get("message") or "the processor answered FAILED without an error")
        return Failed(error=_error(services, planned, "step.failed", message), retryable=False)
    return _bad_answer(
        services, planned, f"answered status {status!r}; use SUCCESS, COMPLETED, FAILED, SKIPPED or CONTINUE"
    )


def _bad_answer(services: Services, planned: PlanStep, what: str) -> Failed:
    return Failed(error=_error(services, planned, "step.bad_result", what), retryable=False)


def _failure(
    services: Services, planned: PlanStep, error: BaseException, context: StepContext, frame: str | None = None
) -> Failed:
    message = context.redact(str(error) or type(error).__name__)
    known = isinstance(error, ConvergenceError)
    if not known:
        message = f"{type(error).__name__}: {message}"
        context.logger.error("%s raised", planned.ps_type, exc_info=error)
    code = error.code if isinstance(error, ConvergenceError) else "step.crashed"
    return Failed(
        error=_error(services, planned, code, message) | ({} if frame is None else {"frame": frame}),
        retryable=error.retryable if isinstance(error, ConvergenceError) else isinstance(error, _connection_errors()),
        retry_after_s=error.retry_after_s if isinstance(error, Throttled) else 0.0,
        environment=_environment(error),
    )


def _environment(error: BaseException) -> bool:
    """Return whether the machine failed, not the step."""
    return isinstance(error, StorageFault) or (isinstance(error, OSError) and error.errno in _MACHINE)


def _connection_errors() -> tuple[type[Exception], ...]:
    """Return what may go away by itself; httpx is not imported for a step that never used it."""
    httpx = sys.modules.get("httpx")
    own = (ConnectionError, TimeoutError, socket.gaierror)
    return own if httpx is None else (*own, httpx.TransportError)


def _error(services: Services, planned: PlanStep, code: str, message: str) -> dict[str, Any]:
    return error_data(code, f"{planned.ps_type}: {message}", step_id=planned.step_id, at=services.clock.now())
