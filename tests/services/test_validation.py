"""Bad arguments raise ValidationError with the field's name, before anything is written or sent."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.utils import translation
from django.utils.functional import SimpleLazyObject

from altegio_loyalty import services
from altegio_loyalty.fields import Secret
from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt, Visit
from tests.delivery.salon import KINDS, PROMOTION, PROMOTION_BACK, Salon, Status, points

pytestmark = [pytest.mark.one_database, pytest.mark.django_db]

NO_IDS: list[Any] = [
    0,
    -1,
    None,
    "",
    "118389447",
    1.0,
    1.5,
    True,
    float("nan"),
    Decimal(5),
    2**63,
    10**30,
    [1],
    b"1",
]
NO_AMOUNTS: list[Any] = [
    0,
    0.0,
    "0",
    "0.00",
    -1,
    "-0.01",
    Decimal(-5),
    float("nan"),
    "NaN",
    "sNaN",
    float("inf"),
    "-Infinity",
    Decimal("Infinity"),
    "0.001",
    100.005,
    Decimal("1.999"),
    0.1 + 0.2,
    "1e-7",
    10**10,
    "1e10",
    "9999999999.995",
    "1e999999999",
    10**5000,
    "9" * 5000,
    None,
    "",
    "ten",
    "10 points",
    "10,50",
    True,
    [100],
    {},
    b"100",
    1j,
]


def assert_nothing_written_or_sent(salon: Salon) -> None:
    for model in (LoyaltyOperation, OperationAttempt, Visit):
        assert model.objects.count() == 0
    assert salon.sandbox.requests == []


def assert_refused(salon: Salon, name: str, kind: str = "apply_card_withdrawal", **arguments: Any) -> None:
    for deliver in ("now", "on_commit"):
        with pytest.raises(ValidationError) as caught:
            salon.ask(kind, salon.visit(), **{"deliver": deliver, **arguments})
        assert list(caught.value.message_dict) == [name]
        assert all(caught.value.message_dict[name])
    assert_nothing_written_or_sent(salon)


@pytest.mark.parametrize(
    "amount", NO_AMOUNTS, ids=lambda value: repr(value)[:20] if value != 10**5000 else "10**5000"
)
def test_amount__that_is_none(salon: Salon, amount: Any) -> None:
    """0, negative, NaN, endless, more than two decimals, absurdly large, or no number at all."""
    assert_refused(salon, "amount", amount=amount)


@pytest.mark.parametrize(
    ("amount", "stored"),
    [
        (100, "100"),
        (0.01, "0.01"),
        (99.5, "99.50"),
        ("12.30", "12.30"),
        (" 7 ", "7"),
        (Decimal("1.10000"), "1.10"),
        ("1e2", "100"),
    ],
)
def test_amount__that_is_good(salon: Salon, amount: Any, stored: str) -> None:
    """Whole numbers, decimals, floats and texts with at most two decimals."""
    operation = salon.withdraw(amount=amount)
    operation.refresh_from_db()
    assert operation.amount == operation.applied_amount == points(stored)


def test_amount__the_largest_that_fits(salon: Salon) -> None:
    """It is stored on every database; Altegio takes what there is."""
    operation = salon.withdraw(amount="9999999999.99")
    operation.refresh_from_db()
    assert operation.amount == points("9999999999.99")
    assert (operation.status, operation.applied_amount) == (Status.SUCCEEDED, points(500))


@pytest.mark.parametrize("value", NO_IDS, ids=repr)
@pytest.mark.parametrize("name", ["visit_id", "record_id", "card_id"])
def test_id__that_is_no_positive_whole_number(salon: Salon, name: str, value: Any) -> None:
    """An id is Altegio's number and nothing that merely looks like it."""
    assert_refused(salon, name, **{name: value})


@pytest.mark.parametrize("value", [0, -1, None, "20802", True])
def test_program_id__that_is_no_positive_whole_number(salon: Salon, value: Any) -> None:
    """The same for promotions."""
    assert_refused(salon, "program_id", PROMOTION, program_id=value)


@pytest.mark.parametrize("kind", [PROMOTION, PROMOTION_BACK])
def test_promotion_in_a_batch__without_its_program_id(salon: Salon, kind: str) -> None:
    """Sent all the same, it would name promotion 0."""
    with pytest.raises(ValidationError, match="program_id"):
        services.request_in_batch(
            kind, salon.location, batch=uuid.uuid4(), visit_id=1, record_id=2, card_id=3
        )
    assert_nothing_written_or_sent(salon)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_checks_its_ids(salon: Salon, kind: str) -> None:
    """No service has been forgotten."""
    assert_refused(salon, "card_id", kind, card_id=0)


@pytest.mark.parametrize(
    "value", [4711, 0, -1, None, "4564", True, 1.5, Location(pk=4711), Location(), Location(pk="x")]
)
def test_location__that_is_unknown(salon: Salon, value: Any) -> None:
    """A number that is not here, or none at all."""
    assert_refused(salon, "location", location=value)


def test_location__switched_off(salon: Salon) -> None:
    """What counts is the database, not the object in hand."""
    Location.objects.update(is_active=False)
    assert_refused(salon, "location", location=salon.location)


@pytest.mark.parametrize("name", ["partner_token", "user_token"])
@pytest.mark.parametrize(
    "token", ["", Secret(stored="fernet:unreadable"), "two words", "a,b", "line\nbreak", "тайна"]
)
def test_location__whose_token_is_missing_or_bad(salon: Salon, name: str, token: Any) -> None:
    """Missing, undecryptable or not sendable: said before anything happens, without showing it."""
    Location.objects.filter(pk=salon.location.pk).update(**{name: token})
    with pytest.raises(ValidationError) as caught:
        salon.withdraw()
    assert list(caught.value.message_dict) == ["location"]
    assert not isinstance(token, str) or not token or token not in str(caught.value)
    assert_nothing_written_or_sent(salon)


def test_undecryptable_token__is_told_in_the_persons_language(salon: Salon) -> None:
    """The form at the desk shows this sentence."""
    Location.objects.update(user_token=Secret(stored="fernet:unreadable"))
    with translation.override("ru"), pytest.raises(ValidationError) as caught:
        salon.withdraw()
    assert "ENCRYPTION_KEYS" in caught.value.messages[0]
    assert not caught.value.messages[0].startswith("The token")


def test_visit__of_another_location(salon: Salon) -> None:
    """A known visit is never worked on with another location's tokens."""
    visit = salon.visit()
    salon.withdraw(visit)
    other = salon.add_location("Second Street")
    requests = len(salon.sandbox.requests)
    for deliver in ("now", "on_commit"):
        with pytest.raises(ValidationError) as caught:
            salon.withdraw(visit, location=other, deliver=deliver)
        assert list(caught.value.message_dict) == ["visit_id"]
    assert LoyaltyOperation.objects.count() == 1
    assert len(salon.sandbox.requests) == requests


@pytest.mark.parametrize("value", ["later", "", None, True, "NOW"])
def test_deliver__that_is_unknown(salon: Salon, value: Any) -> None:
    """Only the two ways that there are."""
    assert_refused(salon, "deliver", deliver=value)


@pytest.mark.parametrize("value", ["", "x" * 151, 5, b"key", "with\nbreak", "with\0nul", "\ud800"])
def test_idempotency_key__that_cannot_be_stored(salon: Salon, value: Any) -> None:
    """A text of 1 to 150 printable characters."""
    assert_refused(salon, "idempotency_key", idempotency_key=value)


@pytest.mark.parametrize("user", ["jane", 1, AnonymousUser(), object()])
def test_requested_by__that_is_no_user(salon: Salon, user: Any) -> None:
    """A saved user or None."""
    assert_refused(salon, "requested_by", requested_by=user)


def test_requested_by__an_unsaved_user(salon: Salon) -> None:
    """Nobody could be asked later."""
    assert_refused(salon, "requested_by", requested_by=get_user_model()(username="new"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("deliver", ["now", "on_commit"])
def test_requested_by__somebody_deleted_meanwhile(salon: Salon, deliver: str) -> None:
    """The object knows nothing of it, only the database does."""
    people = get_user_model().objects
    user = people.create(username="jane")
    people.filter(pk=user.pk).delete()
    assert_refused(salon, "requested_by", requested_by=SimpleLazyObject(lambda: user), deliver=deliver)


def test_requested_by__as_views_have_it(salon: Salon, admin_user: Any) -> None:
    """`request.user` is lazy."""
    operation = salon.withdraw(requested_by=SimpleLazyObject(lambda: admin_user))
    operation.refresh_from_db()
    assert operation.requested_by == admin_user


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.alteg.io/api/v1",
        "ftp://api.alteg.io/api/v1",
        "file:///etc/passwd",
        "http://",
        "https://u:p@h/",
        None,
        5,
    ],
)
def test_api_url__that_is_not_http(salon: Salon, url: Any) -> None:
    """No request goes anywhere but to http and https."""
    salon.configure(API_URL=url)
    with pytest.raises(ValidationError):
        salon.withdraw()
    assert_nothing_written_or_sent(salon)


def test_arguments_by_position__are_refused(salon: Salon) -> None:
    """Ids in a row are too easily confused."""
    with pytest.raises(TypeError):
        services.apply_card_withdrawal(salon.location, 1, 2, 3, 100)  # type: ignore[call-arg]


def test_settle_without_a_reason(salon: Salon) -> None:
    """A verdict says how one knows."""
    salon.fail("cut_before", path="apply_card_withdrawal", times=1)
    operation = salon.withdraw()
    for reason in ("", "  \n"):
        with pytest.raises(ValidationError) as caught:
            services.settle_operation(operation, happened=True, reason=reason)
        assert list(caught.value.message_dict) == ["reason"]
    operation.refresh_from_db()
    assert operation.status == Status.UNCONFIRMED
    assert not operation.attempts.filter(purpose="decision").exists()


def test_version_of_the_api__that_is_not_known(salon: Salon) -> None:
    """Refused before anything is written, as any other address that no request should go to."""
    salon.configure(API_URL=f"{salon.sandbox.url.removesuffix('/v1')}/v9")
    with pytest.raises(ValidationError, match="version v9"):
        salon.withdraw()
    assert not LoyaltyOperation.objects.exists()


@pytest.mark.parametrize("decide", [services.retry_operation, services.stop_operation])
def test_decision_of_nobody_that_is_signed_in__is_refused(salon: Salon, decide: Any) -> None:
    """Who decided is kept with the decision, so it must be somebody, or no person at all."""
    operation = salon.later()
    with pytest.raises(ValidationError, match="by must be a saved"):
        decide(operation, by=AnonymousUser())
    assert not operation.attempts.exists()


@pytest.mark.parametrize("makes", [lambda pk: get_user_model()(pk=pk), float, lambda pk: f"{pk}.0"])
def test_a_location_is_one_or_its_number__also_where_the_visit_is_known(salon: Salon, makes: Any) -> None:
    """Not whatever else has the same number."""
    visit = salon.visit()
    salon.withdraw(visit)
    with pytest.raises(ValidationError):
        salon.withdraw(visit, location=makes(salon.location.pk))
    assert salon.posts(visit) == 1
