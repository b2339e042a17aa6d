"""Figures as the screens show them."""

import json
from typing import Any

from django import template
from django.db import DatabaseError, InterfaceError, transaction
from django.utils.html import escape
from django.utils.safestring import mark_safe

from altegio_loyalty import conf, services, texts, watch
from altegio_loyalty.access import sees_no_location, visible_to
from altegio_loyalty.admin.files import xlsx_is_offered
from altegio_loyalty.admin.log import export
from altegio_loyalty.admin.looks import asked_of, look_of, short_time, status_badge
from altegio_loyalty.models import LoyaltyOperation, Visit
from altegio_loyalty.wording import decimals_of, exact_time, isolated, points, reason, zone_note

register = template.Library()
_OF_OPERATIONS = (asked_of, look_of, status_badge)
_OF_FIGURES = (decimals_of, exact_time, isolated, points, reason, sees_no_location, short_time, zone_note)
for shown in (*_OF_OPERATIONS, *_OF_FIGURES):
    register.filter(shown)
register.simple_tag(services.find_blocks)
register.simple_tag(xlsx_is_offered)


@register.filter
def renamed(text: str) -> str:
    """A text of ours, as safe as a translated one, with the platform by its name. Only for `_("…")`."""
    name = escape(conf.get_settings().platform_name)
    return mark_safe(texts.renamed(str(text), name))  # noqa: S308 - no other data in it


@register.simple_tag
def platform() -> str:
    """What the platform is called; for texts with something else in them."""
    return conf.get_settings().platform_name


@register.simple_tag
def notices_of(visit: Visit) -> list[str]:
    """What the pages of visits say of Altegio and of this site's workers; the visit was fetched with `watch.facts`."""
    return watch.notices(visit.location.zone, vars(visit))


@register.filter
def in_currency(amount: object, currency: str) -> str:
    """An amount in words, with the currency where one is named."""
    return f"{amount}\N{NO-BREAK SPACE}{currency}" if currency else str(amount)


@register.filter
def queue_of(user: Any) -> dict[str, Any] | None:
    """How many operations that the user may see wait, and how many need a person; None for whoever sees no location.

    None also where the database does not tell, since the site's own index stands around it.
    """
    seen: Any = visible_to(user, LoyaltyOperation.objects.all())
    try:
        with transaction.atomic(using=seen.db):
            return None if sees_no_location(user) else seen.queue()
    except (DatabaseError, InterfaceError):
        return None


@register.filter
def with_signals(formset: Any) -> list[tuple[Any, list[str]]]:
    """The attempts of the formset as `log.export.with_signals` tells them."""
    return export.with_signals(formset.instance, [form.instance for form in formset.initial_forms])


@register.filter
def laid_out(answer: str) -> str:
    """A JSON answer with a line for each value; one that was cut stays as it is kept."""
    try:
        return json.dumps(json.loads(answer), indent=2, ensure_ascii=False)
    except ValueError:
        return answer


@register.filter
def unlocalized(number: int | None) -> str:
    """An Altegio number as it stands in Altegio, without separators of thousands."""
    return "" if number is None else str(number)
