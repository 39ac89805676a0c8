"""Opens the places that files come from. Each kind has its own module, imported when it is used."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from convergence.adapters.objects.azure_blob import open_azure
from convergence.adapters.objects.folder import FolderStore
from convergence.adapters.objects.gcs import open_gcs
from convergence.adapters.objects.oci import open_oci
from convergence.adapters.objects.s3 import open_s3
from convergence.adapters.objects.web import WebStore
from convergence.domain.sql_names import checked
from convergence.errors import StepFailed, did_you_mean
from convergence.ports.clock import Clock
from convergence.ports.object_store import ObjectStore, Place

if TYPE_CHECKING:
    import httpx

KINDS: Final = ("folder", "https", "s3", "azure", "gcs", "oci")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """`ObjectStores` for one execution of an org's step.

    `files` is the folder with a folder of each org in it; None where this machine keeps none. `endpoint` returns the
    address of a provider's API out of the registry, empty for the vendor's own. `google_token` exchanges a service
    account's key for an access token of Cloud Storage.
    """

    org: str
    http: Callable[[], httpx.AsyncClient]
    clock: Clock
    files: Path | None
    endpoint: Callable[[str], str]
    google_token: Callable[[str], Awaitable[str]]

    async def open(self, place: Place, secret: str = "") -> ObjectStore:
        """Return the store; see the port."""
        if place.kind == "folder":
            return self._folder(place)
        if place.kind == "https":
            return WebStore(self.http, self.clock)
        if place.kind == "s3":
            return open_s3(place, secret, org=self.org, endpoint=self.endpoint("aws"))
        if place.kind == "azure":
            return open_azure(place, secret, http=self.http, endpoint=self.endpoint("azure"))
        if place.kind == "gcs":
            return open_gcs(place, lambda: self.google_token(secret), endpoint=self.endpoint("gcs"))
        if place.kind == "oci":
            return open_oci(place, secret, http=self.http, clock=self.clock, endpoint=self.endpoint("oci"))
        raise StepFailed(f"files cannot be read from {place.kind!r}.{did_you_mean(place.kind, KINDS)}")

    def _folder(self, place: Place) -> FolderStore:
        if self.files is None:
            raise StepFailed("this installation has no folder for uploaded files: name a bucket or a URL")
        own = self.files / checked(self.org, "org")
        root = own / place.root
        if not root.resolve().is_relative_to(own.resolve()):
            raise StepFailed(f"the folder {place.root!r} is outside of the org's folder")
        return FolderStore(root, f"{own.name}/{place.root}".rstrip("/"))
