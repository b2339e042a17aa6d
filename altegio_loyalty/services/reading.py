"""Live reads for the screens. An answer that cannot be had is a value that says so, never an exception or an empty list."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils import timezone
from django.utils.translation import gettext as _

from altegio_loyalty import conf, exceptions, policy
from altegio_loyalty.client import Card, VisitDetails
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import Location, Visit
from altegio_loyalty.redaction import clean
from altegio_loyalty.wording import in_words


@dataclass(frozen=True)
class VisitReading:
    """What Altegio shows of a visit now. `error` is empty, or says why `details` is None."""

    details: VisitDetails | None = None
    error: str = ""


@dataclass(frozen=True)
class CardsReading:
    """The client's cards now. `error` is empty, or says why they are unknown: no card and no answer differ."""

    cards: tuple[Card, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Check:
    """One line of a connection test. `is_good` is None where Altegio's answer does not say."""

    title: str
    is_good: bool | None
    detail: str = ""


@dataclass
class ConnectionReport:
    """What works with a location's tokens, and what is missing."""

    checks: list[Check] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return all(check.is_good is not False for check in self.checks)


def read_visit(location: Location, *, visit_id: int, record_id: int, turns: int = 1) -> VisitReading:
    """What the visit holds now. Endpoint: GET /visit/details/{location_id}/{record_id}/{visit_id}.

    `turns` is how many requests of the site's budget it takes: 2 where `read_cards` follows, which then takes none.
    """
    try:
        check_may_ask(location)
        outcome = Line(location, for_person=True).ask(
            lambda client: client.visit_details(location.pk, record_id, visit_id), turns=turns
        )
    except exceptions.ApiError as error:
        return VisitReading(error=shown(error))
    return VisitReading(outcome.visit)


def read_cards(location: Location, *, client_id: int, turns: int = 1) -> CardsReading:
    """The client's loyalty cards with their promotions. Endpoint: GET /loyalty/client_cards/{client_id}.

    `turns` as in `read_visit`.
    """
    try:
        check_may_ask(location)
        cards = Line(location, for_person=True).ask(
            lambda client: client.client_cards(client_id), turns=turns
        )
        return CardsReading(tuple(cards))
    except exceptions.ApiError as error:
        return CardsReading(error=shown(error))


def find_client(visit: Visit) -> str:
    """Fill in the visit's client from Altegio; returns why Altegio did not tell, or an empty text.

    A visit that has no client in Altegio either, such as one of a passer-by, keeps none.

    Endpoint: GET /visits/{visit_id}.
    """
    try:
        check_may_ask(visit.location)
        records = Line(visit.location, for_person=True).ask(lambda client: client.visit(visit.pk))
    except exceptions.ApiError as error:
        return shown(error)
    ours = [record for record in records if record.location_id in (0, visit.location_id)]
    if not ours:
        return _("Altegio names no client for this visit.")
    if (record := next((record for record in ours if record.client_id), None)) is not None:
        visit.client_id = record.client_id
        visit.client_name = clean(record.client_name, 200)
        visit.client_phone = clean(record.client_phone, 40)
        visit.save(update_fields=["client_id", "client_name", "client_phone"])
    return ""


def test_connection(location: Location) -> ConnectionReport:
    """Try the location's tokens: are they accepted, is the location visible, may the user work with loyalty.

    A success ends a pause of the location. Endpoints: GET /company/{location_id}, GET /user/permissions/{location_id}.
    """
    report = ConnectionReport()
    try:
        check_api_url()
        title = Line(location, for_person=True).ask(lambda client: client.company(location.pk))
    except exceptions.ApiError as error:
        report.checks.append(
            Check(_("Altegio accepts the tokens and shows the location"), False, shown(error))
        )
        return report
    report.checks.append(
        Check(_("Altegio accepts the tokens and shows the location"), True, clean(title, 200))
    )
    _resume(location)
    report.checks.append(_check_loyalty(location))
    return report


def _check_loyalty(location: Location) -> Check:
    name = _("The user may work with loyalty")
    try:
        access = Line(location, for_person=True).ask(lambda client: client.user_permissions(location.pk))
    except exceptions.ApiError as error:
        return Check(name, None, shown(error))
    if access:
        return Check(name, True)
    if access is None:
        return Check(name, None, _("Altegio's answer does not say."))
    missing = _(
        "The right “loyalty” (loyalty_access) is missing. Give it to the user of the token in Altegio."
    )
    return Check(name, False, missing)


def _resume(location: Location) -> None:
    now = timezone.now()
    location.refused_at, location.refused_reason, location.credentials_worked_at = None, "", now
    Location.objects.filter(pk=location.pk, credentials_version=location.credentials_version).update(
        refused_at=None, refused_reason="", credentials_worked_at=now
    )


def check_may_ask(location: Location) -> None:
    """Nothing is sent for a location that is switched off, nor to an address that is none."""
    if not location.is_active:
        raise exceptions.NotSent(_("This location is switched off."))
    check_api_url()


def check_api_url() -> None:
    if not conf.is_http_url(conf.get_settings().API_URL):
        raise exceptions.NotSent(
            _("ALTEGIO_LOYALTY['API_URL'] is not an http or https address. Nothing was sent.")
        )


def shown(error: exceptions.ApiError) -> str:
    return in_words(policy.reason_of(error))
