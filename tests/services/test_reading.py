"""Live reads and the connection test never raise, whatever Altegio does."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from altegio_loyalty import services
from altegio_loyalty.client import Limits
from altegio_loyalty.exceptions import TransactionOpen
from altegio_loyalty.fields import Secret
from altegio_loyalty.gateway import client_for
from altegio_loyalty.models import Location, LoyaltyOperation, Visit
from altegio_loyalty.sandbox import FAULTS
from tests.delivery.rawserver import EMPTY_VISIT, RawServer, answer_of
from tests.delivery.salon import REFUSED, WITHDRAWAL, Salon, Status, points

pytestmark = [pytest.mark.one_database, pytest.mark.django_db]


@pytest.mark.parametrize("fault", [*sorted(FAULTS), REFUSED])
def test_every_fault__is_a_value_that_says_so(salon: Salon, fault: str) -> None:
    """Reads come back with what is there, or with why it is unknown: an error is never an empty list."""
    visit = salon.visit()
    row = Visit.objects.create(pk=visit.id, location=salon.location, record_id=visit.record_ids[0])
    salon.fail(fault)
    readings: list[Any] = [
        services.read_visit(salon.location, visit_id=visit.id, record_id=visit.record_ids[0]),
        services.read_cards(salon.location, client_id=salon.client.id),
    ]
    report = services.test_connection(salon.location)
    found = services.find_client(row)
    assert report.checks
    if fault in ("string_ids", "bare", "nul_text"):
        assert [reading.error for reading in readings] == ["", ""]
        assert report.is_good
        assert found == ""
    elif fault != "nan":
        assert all(reading.error for reading in readings)
        assert readings[0].details is None
        assert readings[1].cards == ()
        assert not report.is_good
        assert found
    assert LoyaltyOperation.objects.count() == 0


def test_a_call__has_the_limits_of_the_settings(salon: Salon) -> None:
    salon.configure(CONNECT_TIMEOUT=1, READ_TIMEOUT=2, TOTAL_TIMEOUT=3, MAX_ANSWER_BYTES=4)
    assert client_for(salon.location)._transport.limits == Limits(1, 2, 3, 4)


def test_read_visit(salon: Salon) -> None:
    """What the visit holds now."""
    visit = salon.prepared("cancel_card_withdrawal")
    reading = services.read_visit(salon.location, visit_id=visit.id, record_id=visit.record_ids[0])
    assert reading.error == ""
    assert reading.details is not None
    assert reading.details.withdrawn(salon.card.id) == points(100)
    assert [line.title for line in reading.details.lines] == ["Haircut", "Shampoo"]
    assert reading.details.left_to_pay == points(2920)


def test_read_cards(salon: Salon) -> None:
    """No card and no answer differ."""
    reading = services.read_cards(salon.location, client_id=salon.client.id)
    assert [(card.id, card.balance) for card in reading.cards] == [(salon.card.id, points(500))]
    nobody = salon.ledger.add_client(name="Nobody")
    assert services.read_cards(salon.location, client_id=nobody.id) == services.CardsReading()
    assert services.read_cards(salon.location, client_id=4711).error


def test_location_that_is_switched_off__is_not_asked(salon: Salon) -> None:
    """Its page says that nothing is sent for it. Only whoever presses "Test connection" asks for just that."""
    visit = salon.visit()
    salon.location.is_active = False
    salon.location.save()
    row = Visit.objects.create(pk=visit.id, location=salon.location, record_id=visit.record_ids[0])
    assert (
        "switched off" in services.read_visit(salon.location, visit_id=row.pk, record_id=row.record_id).error
    )
    assert "switched off" in services.read_cards(salon.location, client_id=salon.client.id).error
    assert "switched off" in services.find_client(row)
    assert salon.sandbox.requests == []
    assert services.test_connection(salon.location).is_good


def test_connection_test__names_the_missing_right(salon: Salon) -> None:
    """The tokens are good, but the user may not work with loyalty."""
    salon.ledger.location(salon.location.pk).loyalty_access = False
    report = services.test_connection(salon.location)
    assert [check.is_good for check in report.checks] == [True, False]
    assert "loyalty_access" in report.checks[1].detail
    salon.ledger.location(salon.location.pk).is_visible = False
    assert not services.test_connection(salon.location).is_good


def altegio_that(**answers: bytes) -> Any:
    """A server that shows location 4564 and its rights, unless told to answer otherwise, by the first word of the path."""
    usual = {
        "company": answer_of({"success": True, "data": {"id": "4564", "title": "Main Street"}}),
        "user": answer_of({"success": True, "data": {"loyalty": {"loyalty_access": True}}}),
        "visit": answer_of({"success": True, "data": EMPTY_VISIT}),
        "loyalty": answer_of({"success": True, "data": []}),
    }
    return RawServer(lambda method, path, _: {**usual, **answers}[path.split("/")[3]])


UNAUTHORIZED = answer_of({"success": False, "meta": {"message": "Authentication needed."}}, 401)
FORBIDDEN = answer_of({"success": False, "meta": {"message": "Access denied."}}, 403)


def report_of(salon: Salon, **answers: bytes) -> services.ConnectionReport:
    with altegio_that(**answers) as server:
        salon.configure(API_URL=server.url)
        return services.test_connection(salon.location)


def test_connection_test__asks_for_the_persons_own_location(salon: Salon) -> None:
    """Without `my` Altegio shows anybody's."""
    with altegio_that() as server:
        salon.configure(API_URL=server.url)
        assert services.test_connection(salon.location).is_good
    assert server.requests[0] == ("GET", "/api/v1/company/4564?my=1")


@pytest.mark.parametrize("data", [None, [], {}, {"id": 77, "title": "Other"}, {"title": "None"}, "?"])
def test_connection_test__of_somebody_elses_number_is_no(salon: Salon, data: Any) -> None:
    report = report_of(salon, company=answer_of({"success": True, "data": data}))
    assert [check.is_good for check in report.checks] == [False]
    assert not Location.objects.get().is_paused


def test_connection_test__with_a_dead_user_token_is_no_and_says_what_follows(salon: Salon) -> None:
    """The partner token alone shows a location."""
    report = report_of(salon, user=UNAUTHORIZED)
    assert not report.is_good
    assert "Authentication needed." in report.checks[0].detail
    assert "The location is paused" in report.checks[0].detail
    assert Location.objects.get().is_paused


def test_connection_test__where_the_rights_may_not_be_read_is_no(salon: Salon) -> None:
    report = report_of(salon, user=FORBIDDEN)
    assert [check.is_good for check in report.checks] == [True, False]
    assert "Access denied." in report.checks[1].detail
    assert not Location.objects.get().is_paused


@pytest.mark.parametrize("said", [None, "", "?", 2, [], {}])
def test_right_that_altegio_does_not_say__is_not_told_to_be_missing(salon: Salon, said: Any) -> None:
    for also, is_good in ((said, None), (True, True), ("0", False)):
        loyalty = {"loyalty_access": said, "has_loyalty_access": also}
        report = report_of(salon, user=answer_of({"success": True, "data": {"loyalty": loyalty}}))
        assert [check.is_good for check in report.checks] == [True, is_good]


@pytest.mark.parametrize("answer", [answer_of({}, 500), answer_of({}, 404), answer_of(b"<html>", 403)])
def test_connection_test__that_cannot_prove_the_user_token_does_not_say_yes(
    salon: Salon, answer: bytes
) -> None:
    Location.objects.update(refused_at=timezone.now())
    salon.location.refresh_from_db()
    report = report_of(salon, user=answer)
    assert [check.is_good for check in report.checks] == [None]
    assert "The location is paused" in report.checks[0].detail
    assert Location.objects.get().is_paused


def test_401_for_the_cards__beside_a_visit_that_can_be_read_pauses_nothing(salon: Salon) -> None:
    """The tokens are good for visits."""
    with altegio_that(loyalty=UNAUTHORIZED) as server:
        salon.configure(API_URL=server.url)
        assert services.read_visit(salon.location, visit_id=1, record_id=2).error == ""
        error = services.read_cards(salon.location, client_id=3).error
    assert "does not let these tokens read the cards" in error
    assert "Authentication needed." in error
    assert not Location.objects.get().is_paused


@pytest.mark.parametrize(
    ("status", "said"), [(403, "may not see the cards"), (404, "the client whose cards")]
)
def test_cards_that_are_refused__name_the_cards(salon: Salon, status: int, said: str) -> None:
    with altegio_that(loyalty=answer_of({"success": False}, status)) as server:
        salon.configure(API_URL=server.url)
        assert said in services.read_cards(salon.location, client_id=3).error


def test_location_that_altegio_does_not_know__is_named(salon: Salon) -> None:
    report = report_of(salon, company=answer_of({"success": False, "meta": []}, 404))
    assert "does not know this location" in report.checks[0].detail


def test_address_that_points_elsewhere__is_told_as_wrong(salon: Salon) -> None:
    moved = answer_of(b"", 301, "Location: https://api.alteg.io/api/v1/company/4564\r\n")
    assert "API_URL" in report_of(salon, company=moved).checks[0].detail


def test_reading_a_visit__resumes_a_paused_location(salon: Salon) -> None:
    """The 401 has passed, or the key is there again: nobody has to press a button."""
    Location.objects.update(
        refused_at=timezone.now(), refused_reason="x", credentials_worked_at=timezone.now()
    )
    salon.location.refresh_from_db()
    with altegio_that() as server:
        salon.configure(API_URL=server.url)
        services.read_visit(salon.location, visit_id=1, record_id=2)
    stored = Location.objects.get()
    assert (stored.is_paused, stored.refused_reason, salon.location.is_paused) == (False, "", False)


def test_reading_the_cards__resumes_nothing(salon: Salon) -> None:
    Location.objects.update(refused_at=timezone.now())
    salon.location.refresh_from_db()
    with altegio_that() as server:
        salon.configure(API_URL=server.url)
        services.read_cards(salon.location, client_id=3)
    assert Location.objects.get().is_paused


def test_second_refusal__keeps_since_when_the_tokens_are_refused(salon: Salon) -> None:
    """Also where the reader did not know of the first."""
    first = timezone.now() - datetime.timedelta(hours=3)
    Location.objects.update(refused_at=first)
    with altegio_that(visit=UNAUTHORIZED) as server:
        salon.configure(API_URL=server.url)
        services.read_visit(salon.location, visit_id=1, record_id=2)
        salon.location.refresh_from_db()
        services.read_visit(salon.location, visit_id=1, record_id=2)
    stored = Location.objects.get()
    assert (stored.refused_at, salon.location.refused_at) == (first, first)
    assert "Authentication needed." in stored.refused_reason


def test_token_that_cannot_be_decrypted__is_not_told_as_refused_by_altegio(salon: Salon) -> None:
    operation = salon.later()
    Location.objects.update(user_token=Secret(stored="fernet:nonsense"))
    salon.sweep(operation)
    assert operation.location.is_paused
    assert "ENCRYPTION_KEYS" in operation.sentence
    assert "accept" not in operation.sentence


@pytest.mark.parametrize("change", [{"user_token": ""}, {"user_token": Secret(stored="fernet:nonsense")}])
def test_location_without_a_readable_token__is_a_value_too(salon: Salon, change: dict[str, Any]) -> None:
    """Nothing is sent, and the report says why."""
    Location.objects.update(**change)
    location = Location.objects.get()
    assert services.read_visit(location, visit_id=1, record_id=1).error
    assert not services.test_connection(location).is_good
    assert salon.sandbox.requests == []


@pytest.mark.parametrize(
    "url", ["ftp://x/", "", "http://[::1", "http://127.0.0.1:0/api/v1", "http://no.such.host.invalid/api/v1"]
)
def test_api_url_that_leads_nowhere__is_a_value_too(salon: Salon, url: str) -> None:
    """Whatever stands in the settings."""
    salon.configure(API_URL=url)
    assert services.read_visit(salon.location, visit_id=1, record_id=1).error
    assert services.read_cards(salon.location, client_id=1).error
    assert not services.test_connection(salon.location).is_good


def _nested(depth: int) -> bytes:
    return b'{"success":false,"meta":{"message":"no","errors":{"x":' + b"[" * depth + b"]" * depth + b"}}}"


def _rows(**row: Any) -> dict[str, Any]:
    return {
        **EMPTY_VISIT,
        "loyalty_transactions": [{"id": 1, "type_id": 3, "card_id": 1, "amount": 1, **row}],
    }


ODD_ANSWERS: dict[str, bytes] = {
    "exponent beyond decimal": answer_of(
        b'{"loyalty_transactions":[{"id":1,"type_id":3,"card_id":1,"amount":1e9999999}]}'
    ),
    "text with an exponent beyond decimal": answer_of(_rows(amount="1e9999999")),
    "tiny exponent": answer_of(
        b'{"loyalty_transactions":[{"id":1,"type_id":3,"card_id":1,"amount":1e-9999999}]}'
    ),
    "number of 5000 digits": answer_of(b'{"loyalty_transactions":[{"id":' + b"9" * 5000 + b"}]}"),
    "id with an exponent": answer_of(
        b'{"loyalty_transactions":[{"id":1e9999999,"type_id":3,"card_id":1,"amount":1}]}'
    ),
    "text of 5000 digits": answer_of(_rows(card_id="9" * 5000)),
    "not a number as text": answer_of(_rows(amount="NaN")),
    "signalling": answer_of(_rows(amount="sNaN")),
    "amount is a list": answer_of(_rows(amount=[])),
    "amount is missing": answer_of(
        {**EMPTY_VISIT, "loyalty_transactions": [{"id": 1, "type_id": 3, "card_id": 1}]}
    ),
    "rows are a text": answer_of({**EMPTY_VISIT, "loyalty_transactions": "none"}),
    "row is null": answer_of({**EMPTY_VISIT, "loyalty_transactions": [None]}),
    "type is odd": answer_of(_rows(type_id={}, type=7)),
    "data is a text": answer_of({"success": True, "data": "ok"}),
    "json null": answer_of(b"null"),
    "json number": answer_of(b"5"),
    "json list": answer_of(b"[]"),
    "success is a list": answer_of({"success": [], "data": EMPTY_VISIT}),
    "success is an object": answer_of({"success": {}, "meta": 5}),
    "utf-16": answer_of('{"a":1}'.encode("utf-16")),
    "not utf-8": answer_of(b'{"a":"\xff\xfe"}'),
    "status 999": answer_of(b"{}", 999),
    "status 101": answer_of(b"{}", 101),
    "status 204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "status 304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "nested 600 deep in errors": answer_of(_nested(600), 422),
    "nested 900 deep in errors": answer_of(_nested(900), 422),
    "meta is a list": answer_of({"success": False, "meta": [1, {"message": 5}]}, 422),
    "message is a list": answer_of({"success": False, "meta": {"message": [1]}}, 422),
    "redirect to nonsense": answer_of(b"", 302, "Location: http://[\r\n"),
    "redirect to itself": answer_of(b"", 307, "Location: /api/v1/visit\r\n"),
    "no header at all": b"HTTP/1.1 200 OK\r\n\r\n",
    "not http": b"220 mail.example.com ESMTP\r\n",
    "only a line break": b"\r\n",
    "bad content length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "negative content length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}",
    "bad gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "1000 headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"Content-Length: 2\r\n\r\n{}",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "retry after the end of time": answer_of(b"{}", 429, "Retry-After: " + "9" * 400 + "\r\n"),
    "retry after a bad date": answer_of(b"{}", 429, "Retry-After: Mon, 99 Abc 99999 99:99:99 +9999\r\n"),
    "retry after the year 0": answer_of(b"{}", 429, "Retry-After: Mon, 01 Jan 0000 00:00:00 GMT\r\n"),
}


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_no_answer_whatever__raises(salon: Salon, name: str) -> None:
    """Reads, the connection test, an operation, its look-up and its sweep: none of them raises, nothing is claimed done."""
    visit = salon.visit()
    row = Visit.objects.create(pk=visit.id, location=salon.location, record_id=visit.record_ids[0])
    odd = ODD_ANSWERS[name]

    def answer(method: str, path: str, connection: Any) -> bytes | None:
        connection.sendall(odd)
        return None

    with RawServer(answer) as server:
        salon.configure(API_URL=server.url)
        services.read_visit(salon.location, visit_id=1, record_id=1)
        services.read_cards(salon.location, client_id=1)
        services.test_connection(salon.location)
        services.find_client(row)
        Location.objects.update(refused_at=None)
        looked = salon.withdraw(visit)
        # In doubt where the look was readable, and the server closed the connection while the POST was leaving.
        assert looked.is_open or looked.status in (Status.REJECTED, Status.SUCCEEDED)

    def answer_posts(method: str, path: str, connection: Any) -> bytes | None:
        return answer_of(EMPTY_VISIT) if method == "GET" else answer(method, path, connection)

    with RawServer(answer_posts) as server:
        salon.configure(API_URL=server.url)
        sent = salon.withdraw()
        salon.sweep(sent)
    salon.configure()
    salon.heal()
    assert sent.is_open or sent.status in (Status.REJECTED, Status.SUCCEEDED, Status.FAILED)


def test_attempts_and_rows__carry_task_arguments_of_one_number(salon: Salon) -> None:
    """What travels through the broker is the operation's number: no token, no client, no amount."""
    from celery import current_app

    sent: list[Any] = []
    from celery.signals import before_task_publish

    def note(body: Any = None, **kwargs: Any) -> None:
        sent.append(body)

    before_task_publish.connect(note)
    assert not current_app.conf.task_always_eager
    try:
        salon.fail("cut_after", path="apply_card_withdrawal", times=1)
        operation = salon.withdraw()
    finally:
        before_task_publish.disconnect(note)
    assert [body[:2] for body in sent] == [((operation.pk,), {})]
    assert operation.kind == WITHDRAWAL


@pytest.mark.parametrize("status", [200, 302, 422, 500])
def test_answer_without_end__is_cut_off(salon: Salon, status: int) -> None:
    """MAX_ANSWER_BYTES bounds every answer, also one that nobody means to read."""
    sent = [0]

    def pour(method: str, path: str, connection: Any) -> bytes | None:
        connection.sendall(
            b"HTTP/1.1 %d X\r\nLocation: /elsewhere\r\nContent-Length: 999999999\r\n\r\n" % status
        )
        while sent[0] < 200_000_000:
            connection.sendall(b"x" * 65536)
            sent[0] += 65536
        return None

    with RawServer(pour) as server:
        salon.configure(API_URL=server.url, MAX_ANSWER_BYTES=1024 * 1024, READ_TIMEOUT=2, TOTAL_TIMEOUT=5)
        assert services.read_visit(salon.location, visit_id=1, record_id=1).error
    assert sent[0] < 20_000_000  # what was read, and what the machine's buffers hold


@pytest.mark.django_db(transaction=True)
def test_a_read_with_autocommit_off__is_refused(salon: Salon) -> None:
    """Whoever commits by hand has a transaction open as well."""
    visit = salon.visit()
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TransactionOpen):
            services.read_visit(salon.location, visit_id=visit.id, record_id=visit.record_ids[0])
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert salon.sandbox.requests == []


def test_a_read_inside_a_transaction__is_refused(salon: Salon) -> None:
    """The row of the shared budget would stay locked over the call, and hold up everybody else's."""
    visit = salon.visit()
    with transaction.atomic(), pytest.raises(TransactionOpen):
        services.read_visit(salon.location, visit_id=visit.id, record_id=visit.record_ids[0])
    assert salon.sandbox.requests == []


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("changes", [{"company_id": 1}, {"deleted": True}])
def test_client_of_another_location_or_of_a_deleted_appointment__is_not_the_visits(
    salon: Salon, changes: dict[str, Any], is_first: bool
) -> None:
    """A visit may hold appointments of several locations of a chain, each with a client of its own."""
    visit = salon.visit()
    row = Visit.objects.create(pk=visit.id, location=salon.location, record_id=visit.record_ids[0])
    foreign = {"id": 1, "company_id": salon.location.pk, "visit_id": visit.id, **changes}
    foreign["client"] = {"id": 66, "name": "Bob", "phone": "+1"}
    ours = {"id": 2, "company_id": salon.location.pk, "visit_id": visit.id}
    ours["client"] = {"id": 5, "name": "Jane", "phone": "+2"}
    records = [foreign, ours] if is_first else [ours, foreign]
    with RawServer(lambda method, path, connection: answer_of({"records": records})) as server:
        salon.configure(API_URL=server.url)
        assert services.find_client(row) == ""
    row.refresh_from_db()
    assert (row.client_id, row.client_name, row.client_phone) == (5, "Jane", "+2")


def test_visit_that_only_another_location_has__names_no_client(salon: Salon) -> None:
    """Nobody's name is better than somebody else's."""
    visit = salon.visit()
    row = Visit.objects.create(pk=visit.id, location=salon.location, record_id=visit.record_ids[0])
    foreign = {"id": 1, "company_id": salon.location.pk + 1, "visit_id": visit.id, "client": {"id": 66}}
    with RawServer(lambda method, path, connection: answer_of({"records": [foreign]})) as server:
        salon.configure(API_URL=server.url)
        assert "names no client" in services.find_client(row)
    row.refresh_from_db()
    assert row.client_id is None
