"""Hold everything that is open: after a restore from a backup nobody knows what of it was done since, and given back."""

from django.utils import timezone

from altegio_loyalty import database, kinds, watch
from altegio_loyalty.delivery import transitions
from altegio_loyalty.delivery.claims import announce
from altegio_loyalty.delivery.doubt import recover
from altegio_loyalty.models import WatchEntry
from altegio_loyalty.states import Status


def hold(by: str, why: str) -> WatchEntry:
    """From now on nothing is sent and nothing looked up, until `release`. Returns the hold, or one that lasts already."""
    said = {"code": watch.HELD, "began_at": timezone.now(), "said": f"{by}: {why}"[:300]}
    return WatchEntry.objects.get_or_create(open_key=watch.HELD, defaults=said)[0]


def release(by: str) -> int | None:
    """End the hold; None where there is none. What waited before it began is not sent by itself; returns how many did.

    That is given up, for a person to look at and to try again; what is in doubt is looked up, and not sent again.
    """
    if (held := watch.hold()) is None:
        return None
    rows = database.operations().open().filter(created_at__lt=held.began_at, kind__in=kinds.TABLE)
    seen: set[int] = set()
    # Again and again: what somebody changed meanwhile is read anew.
    while left := list(rows.exclude(pk__in=seen).select_related("location")):
        for row in left:
            is_sent = row.status == Status.SENDING and not recover(row)  # by a worker who has it now
            leave = transitions.out_of_time if row.status == Status.PENDING else transitions.stopping
            if is_sent or database.change(row, leave(row, timezone.now())):
                seen.add(row.pk)
                if not (is_sent or row.is_open):
                    announce(row)
    said = f"{held.said}; released by {by}"[:300]
    WatchEntry.objects.filter(pk=held.pk).update(ended_at=timezone.now(), open_key=None, said=said)
    return len(seen)
