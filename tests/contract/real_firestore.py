"""The contract on the real Firestore: everything below one random document, which is removed afterwards.

The project needs the composite indexes of `index_file(INDEXES)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from google.cloud import firestore

from convergence.adapters.gcp.documents.adapter import FirestoreDocuments
from convergence.adapters.local.clock import RandomIds, SystemClock
from convergence.ports.documents import Document, Documents, Index, Page, Write


class Below:
    """`Documents` under a prefix, which its callers do not see."""

    def __init__(self, documents: Documents, prefix: str) -> None:
        self._documents = documents
        self._prefix = prefix

    async def get(self, path: str) -> Document | None:
        return (await self.get_many([path]))[0]

    async def get_many(self, paths: Sequence[str]) -> list[Document | None]:
        found = await self._documents.get_many([self._prefix + path for path in paths])
        return [None if document is None else self._shown(document) for document in found]

    async def commit(self, writes: Sequence[Write]) -> list[int]:
        return await self._documents.commit([write._replace(path=self._prefix + write.path) for write in writes])

    async def query(self, collection: str, **options: Any) -> Page:
        page = await self._documents.query(self._prefix + collection, **options)
        return Page([self._shown(document) for document in page.documents], page.cursor)

    async def count(self, collection: str, **options: Any) -> int:
        return await self._documents.count(self._prefix + collection, **options)

    def _shown(self, document: Document) -> Document:
        return Document(document.path.removeprefix(self._prefix), document.version, lambda: document.data)


@contextmanager
def documents_below(project: str, indexes: Sequence[Index]) -> Iterator[Documents]:
    """Give documents of their own, and remove them."""
    root = f"contract_tests/{RandomIds().new('t')}"
    yield Below(FirestoreDocuments(project, SystemClock(), RandomIds(), indexes=indexes), root + "/")
    client = firestore.Client(project=project)
    client.recursive_delete(client.document(root))
    client.close()
