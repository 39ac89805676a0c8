"""Usage without a price: listed with the run, set aside for the maintainer of the price list, never priced at zero."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from convergence.errors import StepFailed
from convergence.ports.processor import Context
from convergence.ports.warehouse import Parameter, WriteMode
from convergence.processors.quarantine import TABLE as QUARANTINE
from convergence.processors.quarantine import digests

ROWS_ASIDE_MAX: Final = 100_000
_RELEASE_SQL: Final = f"""
DELETE FROM {QUARANTINE}
WHERE table_name = @table AND x_credential_id = @credential_id
  AND (JSON_VALUE(row_json, '$.usage_date')) BETWEEN @first AND @last
"""  # noqa: S608 - a constant of this file


class Unpriced:
    """Collects the charges of a step that have no price."""

    def __init__(self) -> None:
        self._quantities: dict[tuple[str, str, str], int] = {}
        self._rows: list[tuple[str, str]] = []  # JSON, reason

    def add(self, charged: Mapping[str, Any]) -> None:
        """Take a row without cost."""
        key = (str(charged["price_basis"]), str(charged["model"] or "-"), str(charged["charge_kind"]))
        self._quantities[key] = self._quantities.get(key, 0) + int(charged["consumed_quantity"])
        self._rows.append((json.dumps(charged, default=str, sort_keys=True), key[0]))

    @property
    def kinds(self) -> list[str]:
        """What has no price, in words: `model: kind of charge (reason)`."""
        return [f"{model}: {charge} ({reason})" for reason, model, charge in sorted(self._quantities)]

    async def set_aside(self, context: Context, table: str) -> None:
        """Make the quarantine table hold exactly these rows of the credential's days in the run: rows that have a price
        now are released, whichever pipeline set them aside, because only one pipeline's charges count.

        Raises `StepFailed` when there are too many to be exceptions: then the price list as a whole is wrong.
        """
        if len(self._rows) > ROWS_ASIDE_MAX:
            raise StepFailed(
                f"{len(self._rows)} rows of usage have no price, more than the {ROWS_ASIDE_MAX} that are set aside: "
                f"look at the price list; for example {'; '.join(self.kinds[:5])}"
            )
        await context.warehouse.ensure_table(QUARANTINE)
        texts = {
            "table": table,
            "credential_id": context.credential_id,
            "first": context.start_date.isoformat(),
            "last": context.end_date.isoformat(),
        }
        parameters = {name: Parameter("STRING", text) for name, text in texts.items()}
        await context.warehouse.query(_RELEASE_SQL, parameters, write=True, repeatable=True)
        stage = context.warehouse.stage(QUARANTINE)
        await stage.write(0, self._quarantined(table, context.step_id))
        keys: Sequence[str] = ("table_name", "step_id", "row_digest")
        await context.warehouse.load(stage, dates=None, mode=WriteMode.MERGE, key_fields=keys)

    def _quarantined(self, table: str, step_id: str) -> list[dict[str, Any]]:
        rows = zip(self._rows, digests(text for text, _ in self._rows), strict=True)
        fixed = {"table_name": table, "step_id": step_id}
        return [{**fixed, "reason": reason, "row_digest": digest, "row_json": text} for (text, reason), digest in rows]
