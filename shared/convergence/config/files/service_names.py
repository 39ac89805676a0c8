"""Names of services in `system/precedence.yml`, in which one `*` stands for any text."""

from __future__ import annotations


def overlap(one: str, other: str) -> bool:
    """Return whether some service has both names."""
    (head, star, tail), (head_2, star_2, tail_2) = one.partition("*"), other.partition("*")
    if star and star_2:
        heads, tails = sorted((head, head_2), key=len), sorted((tail, tail_2), key=len)
        return heads[1].startswith(heads[0]) and tails[1].endswith(tails[0])
    return _covers(one, other) if star else _covers(other, one)


def _covers(name: str, service: str) -> bool:
    head, star, tail = name.partition("*")
    if not star:
        return name == service
    return len(service) >= len(head) + len(tail) and service.startswith(head) and service.endswith(tail)
