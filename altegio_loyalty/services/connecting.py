"""Where a location's tokens come from, whether they work, and what with them."""

from dataclasses import dataclass

from altegio_loyalty import exceptions
from altegio_loyalty.client import Company, Hidden
from altegio_loyalty.client.hidden import hides_frames
from altegio_loyalty.fields import Secret
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


@dataclass(frozen=True)
class Login:
    """What Altegio gave to a person's login: a user token, and the locations that it is good for.

    `error` is empty, or says why something of it is missing.
    """

    user_token: Secret
    companies: tuple[Company, ...] = ()
    error: str = ""


@hides_frames
def log_in(partner_token: Secret, login: str | Hidden, password: Hidden) -> Login:
    """Ask Altegio for the person's user token and the locations that it may use. Nothing of it is kept, nothing is paused.

    Raises `exceptions.TransactionOpen` inside a database transaction. Endpoints: POST /auth, GET /companies.
    """
    nobody = Location(partner_token=partner_token)
    try:
        check_api_url()
        line = Line(nobody, reads_for="", needs_user=False)
        token = line.ask(lambda client: client.auth(login, password), proves=False)
    except exceptions.ApiError as error:
        return Login(Secret(), error=shown(error, "login"))
    nobody.user_token = user_token = Secret(token.reveal())
    try:
        companies = Line(nobody, reads_for="").ask(lambda client: client.companies(), proves=False)
    except exceptions.ApiError as error:
        return Login(user_token, error=shown(error, "location"))
    return Login(user_token, tuple(companies))


def test_connection(location: Location) -> ConnectionReport:
    """Try the location's tokens: are they accepted, is the location theirs, may the user work with loyalty.

    A 401 pauses the location. Rights that can be read end a pause, since they prove the user token. Time zone and currency
    are filled in where nobody has set them. Endpoints: GET /company/{location_id}, GET /user/permissions/{location_id}.
    """
    line, loyalty = Line(location, reads_for=""), _("The user may work with loyalty")
    try:
        check_api_url()
        # The partner token alone is enough to see a location, so a success proves nothing here.
        company = line.ask(lambda client: client.company(location.pk), proves=False)
    except exceptions.ApiError as error:
        line.note(error)
        return ConnectionReport([_tokens(location, False, shown(error, "location"))])
    if company.id != location.pk:
        text = _("Altegio does not show location %(location)s to these tokens.") % {"location": location.pk}
        return ConnectionReport([_tokens(location, False, text)])
    location.learn(time_zone=company.time_zone, currency=company.currency)
    accepted = _tokens(location, True, clean(company.title, 200))
    try:
        access = line.ask(lambda client: client.user_permissions(location.pk))
    except exceptions.ApiError as error:
        text = shown(error, "location")
        if isinstance(error, exceptions.Refused) and error.http_status == 403:
            return ConnectionReport([accepted, Check(loyalty, False, text)])
        is_dead = isinstance(error, exceptions.Unauthorized)
        return ConnectionReport([_tokens(location, False if is_dead else None, text)])
    missing = _(
        "The right “loyalty” (loyalty_access) is missing. Give it to the user of the token in Altegio."
    )
    details = {True: "", False: missing, None: _("Altegio's answer does not say.")}
    return ConnectionReport([accepted, Check(loyalty, access, details[access])])


def _tokens(location: Location, is_good: bool | None, detail: str) -> Check:
    if not is_good and location.is_paused:
        paused = _("The location is paused: its operations wait until its tokens work.")
        detail = f"{detail} {paused}"
    return Check(_("Altegio accepts the tokens and shows the location"), is_good, detail)
