"""The same sweep without Celery, the change of keys, and the groups."""

from __future__ import annotations

import signal
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.utils import timezone

from altegio_loyalty import kinds
from altegio_loyalty.fields import Secret
from altegio_loyalty.models import Location, LoyaltyOperation
from tests.delivery.conftest import salon
from tests.delivery.salon import REFUSED, WITHDRAWAL, Salon, Status

__all__ = ["salon"]
pytestmark = pytest.mark.django_db


def run(name: str = "deliver_due_operations", *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def test_deliver_due_operations__runs_everything_and_says_so(salon: Salon) -> None:
    """Until nothing more is due, in as many sweeps as it takes."""
    salon.configure(SWEEP_SECONDS=0.01)
    for _ in range(5):
        salon.later()
    assert "Worked on 5 operations: 5 succeeded." in run()
    assert salon.posts() == 5


def test_deliver_due_operations__with_nothing_to_do(salon: Salon) -> None:
    """Exits at once."""
    assert run() == "Nothing was due.\n"
    assert salon.sandbox.requests == []


def test_deliver_due_operations__leaves_its_callers_signals_as_they_were(salon: Salon) -> None:
    """A host may call it within a process of its own."""
    before = signal.getsignal(signal.SIGTERM)
    run()
    assert signal.getsignal(signal.SIGTERM) == before


def test_deliver_due_operations__exits_when_nothing_more_is_due(salon: Salon) -> None:
    """What becomes due again while it runs (RETRY_DELAY 0) belongs to the same run."""
    visit = salon.visit()
    operation = salon.later(visit)
    salon.fail("cut_before", path="apply_card_withdrawal", times=2)
    run()
    assert not LoyaltyOperation.objects.due(timezone.now()).exists()
    operation.refresh_from_db()
    assert operation.status == Status.SUCCEEDED
    assert len(salon.effects(WITHDRAWAL, visit)) == 1


@pytest.mark.parametrize("fault", ["status_503", REFUSED, "cut_before", "rate_limited", "status_401", "hang"])
def test_deliver_due_operations__in_an_outage__exits_and_leaves_the_rest_due(
    salon: Salon, fault: str
) -> None:
    """Cron starts it again; it neither spins nor raises, and nothing is lost."""
    salon.configure(MAX_ATTEMPTS=0, RETRY_WINDOW=0)
    operations = [salon.later() for _ in range(6)]
    salon.fail(fault)
    out = run()
    assert fault == "status_401" or "Stopped early" in out
    assert len(salon.sandbox.requests) < 30
    salon.heal()
    salon.run_to_the_end(*operations)
    assert {operation.status for operation in operations} == {Status.SUCCEEDED}
    salon.assert_nothing_is_told_wrongly()


def test_deliver_due_operations__while_the_visit_does_not_show_it__does_not_wait_for_the_settle_time(
    salon: Salon,
) -> None:
    """A doubt that cannot be settled yet is left for a later run."""
    salon.configure(SETTLE_SECONDS=60, RETRY_DELAY=5)
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    run()
    operation.refresh_from_db()
    assert operation.status == Status.UNCONFIRMED
    assert salon.posts() == 1


def test_rotate_altegio_tokens__encrypts_with_the_first_key(salon: Salon) -> None:
    """Afterwards the old key can go."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    salon.configure(ENCRYPTION_KEYS=[old])
    location = salon.add_location("Second Street")
    salon.location.delete()
    salon.configure(ENCRYPTION_KEYS=[new, old])
    assert "1 locations" in run("rotate_altegio_tokens")
    salon.configure(ENCRYPTION_KEYS=[new])
    assert Location.objects.get(pk=location.pk).user_token.reveal() == salon.sandbox.user_token


def test_rotate_altegio_tokens__names_what_no_key_can_read(salon: Salon) -> None:
    """The others are rotated all the same."""
    other: Any = salon.add_location("Second Street")
    Location.objects.filter(pk=other.pk).update(user_token=Secret(stored="fernet:nonsense"))
    with pytest.raises(CommandError, match=str(other.pk)):
        run("rotate_altegio_tokens")
    assert salon.withdraw().status == Status.SUCCEEDED


def test_rotate_altegio_tokens__leaves_tokens_that_were_saved_meanwhile(
    salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody enters new ones between the read and the write: the old ones do not come back."""
    reveal = Secret.reveal

    def slowly(secret: Secret) -> str:
        if Location.objects.filter(credentials_version=0).exists():
            Location.objects.update(credentials_version=1, user_token="entered-meanwhile")
        return reveal(secret)

    monkeypatch.setattr(Secret, "reveal", slowly)
    assert "0 locations" in run("rotate_altegio_tokens")
    assert Location.objects.get().user_token.reveal() == "entered-meanwhile"


def names_of(group: str) -> set[str]:
    return set(Group.objects.get(name=group).permissions.values_list("codename", flat=True))


def test_make_altegio_groups__makes_who_acts_and_who_decides() -> None:
    """With the permission of each kind of operation; only managers decide what became of a doubt."""
    assert "Reception made: " in run("make_altegio_groups")
    assert set(kinds.TABLE) < names_of("Reception") < names_of("Manager")
    assert names_of("Manager") - names_of("Reception") == {
        "resolve_operation",
        "view_location",
        "change_location",
    }


def test_make_altegio_groups__again__changes_nothing() -> None:
    """So it can stand in a deploy script."""
    run("make_altegio_groups")
    assert "Manager is there, with all it needs." in run("make_altegio_groups")


def test_make_altegio_groups__leaves_a_group_as_somebody_made_it() -> None:
    """What was taken from it on purpose is named, and given only when asked for."""
    group = Group.objects.create(name="Reception")
    assert "stays as it is, without" in run("make_altegio_groups")
    assert not group.permissions.exists()
    assert "Reception completed: " in run("make_altegio_groups", "--complete")
    assert set(kinds.TABLE) < names_of("Reception")
