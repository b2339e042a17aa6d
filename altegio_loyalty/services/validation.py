"""Arguments are checked before anything is written or sent. Every problem is a ValidationError that says what to do."""

import contextlib
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias, get_args

from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError

from altegio_loyalty import conf, database, exceptions, kinds, watch
from altegio_loyalty.client import VERSIONS, version_of
from altegio_loyalty.client.types import CENT, LARGEST_AMOUNT, LARGEST_ID
from altegio_loyalty.models import LONGEST_LOGIN, Location, LoyaltyOperation, Visit
from altegio_loyalty.redaction import clean
from altegio_loyalty.texts import gettext as _
from altegio_loyalty.wording import reason

Amount: TypeAlias = int | float | str | Decimal
Deliver: TypeAlias = Literal["now", "on_commit"]
#: As `request.user` is typed. Somebody who is not signed in is refused at run time.
Person: TypeAlias = AbstractBaseUser | AnonymousUser


def check_settings() -> None:
    """Refuse to begin with an API_URL that no request should go to."""
    url = conf.get_settings().API_URL
    if not conf.is_http_url(url):
        raise ValidationError(no_address(), code="api_url")
    if (version := version_of(url)) not in VERSIONS:
        message = _("This release does not know version %(version)s of the API.") % {"version": version}
        raise ValidationError(message, code="api_url")


def no_address() -> str:
    return _("ALTEGIO_LOYALTY['API_URL'] is not an http or https address. Nothing was sent.")


def find_places(location: Any, visit_id: int) -> tuple[Location, Visit | None]:
    """The location as it is stored now, and the visit if it is known: one query where they belong together."""
    pk = _number_of(location)
    visits = Visit.objects.using(database.alias()).select_related("location").annotate(is_held=watch.IS_HELD)
    visit = visits.annotate(has_items=watch.HAS_ITEMS).filter(pk=visit_id).first()
    if visit is not None and visit.location_id == pk:
        return visit.location, visit
    return find_location(location), visit


def _number_of(location: Any) -> Any:
    return location.pk if isinstance(location, Location) else check_id("location", location)


def find_location(location: Any) -> Location:
    """The location as it is stored now."""
    pk = _number_of(location)
    found: Location | None = None
    # One that was made by hand, around something that is no number.
    with contextlib.suppress(TypeError, ValueError):
        rows = Location.objects.using(database.alias()).annotate(is_held=watch.IS_HELD)
        found = rows.filter(pk=pk).first()
    if found is None:
        raise _problem("location", _("There is no location %(id)s here. Add it first.") % {"id": pk})
    return found


def check_location(found: Location) -> None:
    """Whether something can be sent for it: it is switched on, and both tokens can be read and sent."""
    pk = found.pk
    if not found.is_active:
        raise _problem("location", _("Location %(id)s is switched off.") % {"id": pk})
    try:
        credentials = found.credentials()
    except exceptions.UndecryptableToken as error:
        raise _problem("location", reason(str(error))) from None
    if not credentials.partner_token or not credentials.user_token:
        raise _problem("location", _("Location %(id)s has no tokens yet. Enter both of them.") % {"id": pk})
    if not credentials.are_sendable:
        text = _("A token of location %(id)s holds characters that cannot be sent. Enter it again.")
        raise _problem("location", text % {"id": pk})


def check_id(name: str, value: Any) -> int:
    """An Altegio id: a positive whole number, as an int."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_ID:
        raise _problem(name, _("%(name)s must be a positive whole number.") % {"name": name})
    return value


def check_kind(name: str) -> kinds.Kind:
    """What the kind takes."""
    if not kinds.is_known(name):
        raise _problem("kind", _("There is no operation called %(name)s.") % {"name": name})
    return kinds.TABLE[name]


def check_amount(value: Any) -> Decimal:
    """Points: more than 0, at most 2 decimals."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise _problem("amount", _("The amount must be a number of points."))
    try:
        amount = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):  # ValueError: a whole number too long to be written out
        raise _problem("amount", _("The amount must be a number of points.")) from None
    if not amount.is_finite() or amount <= 0:
        raise _problem("amount", _("The amount must be more than 0 points."))
    if amount > LARGEST_AMOUNT:
        text = _("The amount is out of all proportion: more than %(most)s points.")
        raise _problem("amount", text % {"most": LARGEST_AMOUNT})
    if amount != amount.quantize(CENT):
        raise _problem("amount", _("The amount may have 2 decimals at the most."))
    return amount.quantize(CENT)


def check_deliver(value: Any) -> None:
    if value not in get_args(Deliver):
        raise _problem("deliver", _('deliver must be "now" or "on_commit".'))


def check_idempotency_key(value: Any) -> None:
    if value is None:
        return
    longest = LoyaltyOperation._meta.get_field("idempotency_key").max_length or 0
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        text = _("The idempotency key must be a text of 1 to %(longest)s characters.")
        raise _problem("idempotency_key", text % {"longest": longest})


def check_person(name: str, user: Any) -> None:
    """Whether the person is one of the site's, or nobody."""
    if user is not None and (not isinstance(user, get_user_model()) or user.pk is None):
        raise _no_saved_user(name)


def login_of(user: Any) -> str:
    """What the log keeps of the person for good; empty for nobody."""
    return clean(user.get_username(), LONGEST_LOGIN) if user is not None else ""


def check_is_still_there(user: Any) -> None:
    """Whether the person, whose object may be older than that, has been deleted."""
    people = get_user_model()._base_manager.using(database.alias())
    if user is not None and not people.filter(pk=user.pk).exists():
        raise _no_saved_user("requested_by")


def _no_saved_user(name: str) -> ValidationError:
    words = {"name": name, "model": django_settings.AUTH_USER_MODEL}
    return _problem(name, _("%(name)s must be a saved %(model)s or None.") % words)


def check_visit(location: Location, visit: Visit | None) -> None:
    """Never a visit of another location."""
    if visit is not None and visit.location_id != location.pk:
        raise _problem("visit_id", _("Visit %(visit)s belongs to another location.") % {"visit": visit.pk})


def _problem(name: str, message: str) -> ValidationError:
    return ValidationError({name: [message]})
