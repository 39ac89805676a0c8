"""The one processor of the simulated world: it does what its step's config says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convergence.errors import StepFailed, Transient
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, WriteMode
from tests.simulation.faults import Killed, Process

ADDING = ("append", "sql", "call")  # what a `mixed` step does in turn


class SimProcessor:
    """Stages rows, loads them, fails or dawdles on the way."""

    resumable = True

    def __init__(self, process: Process) -> None:
        self._process = process

    async def execute(self, step_config: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        config = step_config["config"]
        world = self._process.world
        with world.watch.executing(self._process, context, config):
            await self._process.point()
            if context["epoch"] < config.get("poison_epochs", 0):
                await context.sleep(config["lives_s"])
                world.kill(self._process)
                raise Killed
            loud = config.get("loud") and context.run_id not in world.without_key
            if context["epoch"] < config.get("fatal_epochs", 0):
                secret = await context.secrets.open("api_key") if loud else ""
                raise StepFailed(f"broken until epoch {config['fatal_epochs']} {secret}")
            if context.attempt <= config.get("failures", 0):
                raise Transient(f"attempt {context.attempt} fails")
            if context["epoch"] < config.get("stalled_epochs", 0):
                raise Transient(f"stalled until epoch {config['stalled_epochs']}")
            if config.get("keyed"):
                await self._use_key(context)
            late = context["epoch"] < config.get("late_epochs", 0)
            await context.sleep(config["late_s"] if late else config.get("seconds", 0.1))
            await self._process.point()
            write = self._load if config.get("write", "overwrite") == "overwrite" else self._add
            result = {**await write(config, context), "label": self._label(config, context)}
        if loud:
            secret = await context.secrets.open("api_key")
            result = {**result, "echo": f"key={secret}"}
            context.logger.info("the key is %s", secret)
        return result

    async def _use_key(self, context: Context) -> None:
        """Open the org's stored key: one that was its key at some moment of the call."""
        since_s = self._process.world.loop.now_s
        key = await context.secrets.open("sim")
        self._process.world.operator.check_key(context.org_slug, key, since_s)

    def _label(self, config: Mapping[str, Any], context: Context) -> str:
        """Return what tells rows of different inputs apart: parameter, pipeline, and the file if it has one."""
        file = self._process.edition if "file" in config else "-"
        return f"{context['label']}/{config['edition']}/{file}"

    async def _load(self, config: Mapping[str, Any], context: Context) -> dict[str, Any]:
        rows, slices, piece = config["rows"], config.get("slices", 1), context.checkpoint or 0
        stage = context.warehouse.stage(f"rows_{context.step_id}")
        for number in range(rows):
            await stage.write(number, [{"n": f"{piece}.{number}"}])
        if piece + 1 < slices:
            return {"status": "CONTINUE", "checkpoint": piece + 1}
        loaded = await context.warehouse.load(stage, dates=[context.start_date])
        return {"status": "SUCCESS", "rows_processed": loaded.rows_loaded, "rows_written": loaded.rows_loaded}

    async def _add(self, config: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """Write row by row in a way that would leave it twice if it were sent twice, or merge it."""
        slices, piece = config.get("slices", 1), context.checkpoint or 0
        for number in range(config["rows"]):
            await self._add_row(config["write"], number, f"{piece}.{number}", self._label(config, context), context)
            if "pause_s" in config:
                await context.sleep(config["pause_s"])
            await self._process.point()
        if piece + 1 < slices:
            return {"status": "CONTINUE", "checkpoint": piece + 1}
        return {"status": "SUCCESS", "rows_processed": config["rows"], "rows_written": config["rows"]}

    async def _add_row(self, write: str, number: int, name: str, label: str, context: Context) -> None:
        table, warehouse = f"rows_{context.step_id}", context.warehouse
        row = {"n": name, "label": label}
        parameters = {key: Parameter("STRING", value) for key, value in row.items()}
        match ADDING[number % len(ADDING)] if write == "mixed" else write:
            case "sql":
                await warehouse.query(table, parameters, write=True)
            case "call":
                await warehouse.call(table, parameters)
            case "merge":
                stage = warehouse.stage(table)
                await stage.write(0, [row])
                await warehouse.load(stage, dates=None, mode=WriteMode.MERGE, key_fields=["n"])
            case _:
                stage = warehouse.stage(table)
                await stage.write(0, [row])
                await warehouse.load(stage, dates=None, mode=WriteMode.APPEND)


def expected_rows(config: Mapping[str, Any]) -> list[str]:
    """Return the `n` of the rows that a step leaves when nothing goes wrong."""
    return [f"{piece}.{number}" for piece in range(config.get("slices", 1)) for number in range(config["rows"])]
