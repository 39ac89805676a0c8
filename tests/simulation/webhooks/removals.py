"""What sending to webhooks is without one of its safeguards: each makes worlds break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from convergence.domain.run import Run
from convergence.domain.webhook_delivery import WebhookDelivery, delivery_path
from convergence.engine import cancel, finish_run
from convergence.engine.services import Services
from convergence.engine.store import StoredRun
from convergence.engine.webhooks import send
from convergence.ports.documents import Replace, Write

Removal = Callable[[pytest.MonkeyPatch], None]


def no_common_commit(patch: pytest.MonkeyPatch) -> None:
    """Deliveries are created after the commit that ends the run."""
    write_run: Any = vars(finish_run)["write_run"]

    async def apart(services: Services, run: Run, version: int, *extra: Write) -> StoredRun:
        later = [each for each in extra if each.path.startswith(delivery_path(""))]
        stored: StoredRun = await write_run(services, run, version, *(each for each in extra if each not in later))
        if later:
            await services.documents.commit(later)
        return stored

    for module in (finish_run, cancel):
        patch.setattr(module, "write_run", apart)


def no_version_of_a_delivery(patch: pytest.MonkeyPatch) -> None:
    """An attempt is claimed whatever has become of the delivery since it was read."""
    commit: Any = vars(send)["commit"]

    async def unconditional(documents: Any, writes: Sequence[Write], token: str) -> Any:
        forced: list[Write] = []
        for write in writes:
            stored = await documents.get(write.path)
            forced.append(
                Replace(write.path, stored.version, write.data) if stored and isinstance(write, Replace) else write
            )
        return await commit(documents, forced, token)

    patch.setattr(send, "commit", unconditional)


def no_claim(patch: pytest.MonkeyPatch) -> None:
    """A delivery stays due while it is sent, and an attempt has no number of its own."""

    def unclaimed(self: WebhookDelivery, now: object, token: str) -> WebhookDelivery:
        from convergence.domain.records import changed

        return changed(self, attempts=self.attempts + 1)

    async def unstored(documents: Any, writes: Sequence[Write], token: str) -> Any:
        (write,) = writes
        stored = await documents.get(write.path)
        if isinstance(write, Replace) and stored is not None and len(write.data["log"]) == len(stored.data["log"]):
            return [stored.version]
        return await documents.commit(writes)

    patch.setattr(WebhookDelivery, "claimed", unclaimed)
    patch.setattr(send, "commit", unstored)


def no_look_at_what_is_due(patch: pytest.MonkeyPatch) -> None:
    async def blind(services: Services) -> int:
        return 0

    patch.setattr(send, "hint_due", blind)


def no_day(patch: pytest.MonkeyPatch) -> None:
    """The first failure is the last."""
    after = WebhookDelivery.after

    def final(self: WebhookDelivery, *given: Any, **options: Any) -> WebhookDelivery:
        return after(self, *given, **(options | {"final": True}))

    patch.setattr(WebhookDelivery, "after", final)


REMOVALS: tuple[Removal, ...] = (
    no_common_commit,
    no_version_of_a_delivery,
    no_claim,
    no_look_at_what_is_due,
    no_day,
)
