"""What a deployment on a cloud must have, as the code declares it; an adapter compares the cloud with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredSubscription:
    """A push subscription of a function; times in seconds. Without `dead_letter_topic` it forwards nothing."""

    topic: str
    ack_deadline_s: int
    backoff_min_s: int
    backoff_max_s: int
    deliveries_max: int
    dead_letter_topic: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredFunction:
    """A function: what its account may do (`access` of its function.yaml), which secrets it reads, what it hears."""

    name: str
    access: frozenset[str]
    secrets: frozenset[str]
    subscriptions: tuple[DeclaredSubscription, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """Everything: functions, and Firestore's composite indexes in the shape of firestore.indexes.json."""

    functions: tuple[DeclaredFunction, ...]
    indexes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where it is (the project, and the locations and names that infra/ takes as variables), and what it must have."""

    project: str
    region: str
    kms_location: str
    database: str
    declared: Declared
