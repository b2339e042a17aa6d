"""The budget as Altegio counts it: by the address from which a request comes, in any second and in any minute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from altegio_loyalty.sandbox.wire import ReceivedRequest

#: Seconds, and how many requests an address may send in them.
LIMITS = {1: 5, 60: 200}


def most_in(moments: Iterable[float], seconds: float) -> int:
    """The most of these moments that lie within any so many seconds."""
    found, inside = 0, list[float]()
    for moment in sorted(moments):
        inside = [each for each in inside if each > moment - seconds]
        inside.append(moment)
        found = max(found, len(inside))
    return found


def by_address(requests: Iterable[ReceivedRequest]) -> dict[str, list[float]]:
    """When each address asked; those of all of them stand at the name ``""``, as if behind one address."""
    moments: dict[str, list[float]] = defaultdict(list)
    for request in requests:
        moments[request.ip].append(request.at.timestamp())
        moments[""].append(request.at.timestamp())
    return moments


def used(requests: Iterable[ReceivedRequest]) -> dict[str, dict[int, int]]:
    """The most that each address used of each limit."""
    return {
        ip: {seconds: most_in(moments, seconds) for seconds in LIMITS}
        for ip, moments in by_address(requests).items()
    }


def exceeded(figures: dict[str, dict[int, int]]) -> list[str]:
    """The addresses that asked more often than an address may."""
    return [
        ip
        for ip, most in figures.items()
        if ip and any(most[seconds] > LIMITS[seconds] for seconds in LIMITS)
    ]
