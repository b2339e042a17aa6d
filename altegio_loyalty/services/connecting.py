"""Whether a location's tokens work, and what with them."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from altegio_loyalty import exceptions
from altegio_loyalty.gateway import Line
from altegio_loyalty.models import Location
from altegio_loyalty.redaction import clean
from altegio_loyalty.services.reading import check_api_url, shown
from altegio_loyalty.texts import gettext as _


@dataclass(frozen=True)
class Check:
    """One line of a connection test. `is_good` is None where Altegio's answer does not say."""

    title: str
    is_good: bool | None
    detail: str = ""


@dataclass
class ConnectionReport:
    """What works with a location's tokens, and what is missing."""

    checks: list[Check]

    @property
    def is_good(self) -> bool:
        return all(check.is_good is not False for check in self.checks)


def test_connection(location: Location) -> ConnectionReport:
    """Try the location's tokens: are they accepted, is the location visible, may the user work with loyalty.

    A success ends a pause of the location, and fills in its time zone and currency where nobody has set them.

    Endpoints: GET /company/{location_id}, GET /user/permissions/{location_id}.
    """
    accepted = _("Altegio accepts the tokens and shows the location")
    try:
        check_api_url()
        company = Line(location, reads_for="").ask(lambda client: client.company(location.pk))
    except exceptions.ApiError as error:
        return ConnectionReport([Check(accepted, False, shown(error))])
    _resume(location)
    location.learn(time_zone=company.time_zone, currency=company.currency)
    return ConnectionReport([Check(accepted, True, clean(company.title, 200)), _check_loyalty(location)])


def _check_loyalty(location: Location) -> Check:
    name = _("The user may work with loyalty")
    try:
        access = Line(location, reads_for="").ask(lambda client: client.user_permissions(location.pk))
    except exceptions.ApiError as error:
        return Check(name, None, shown(error))
    if access is None:
        return Check(name, None, _("Altegio's answer does not say."))
    missing = _(
        "The right “loyalty” (loyalty_access) is missing. Give it to the user of the token in Altegio."
    )
    return Check(name, access, "" if access else missing)


def _resume(location: Location) -> None:
    now = timezone.now()
    location.refused_at, location.refused_reason, location.credentials_worked_at = None, "", now
    Location.objects.filter(pk=location.pk, credentials_version=location.credentials_version).update(
        refused_at=None, refused_reason="", credentials_worked_at=now
    )
