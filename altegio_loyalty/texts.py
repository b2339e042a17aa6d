"""Texts in the person's language, with the platform's own name where the catalogue says "Altegio".

It is put into the text itself, before the placeholders are filled: what clients and locations are called stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from django.utils import translation
from django.utils.functional import lazy

from altegio_loyalty.conf import ALTEGIO, get_settings

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: A text for people, worded when it is shown where it is a lazy one.
Words: TypeAlias = "StrPromise | str"


def renamed(text: str, name: str = "") -> str:
    """A text of ours, without data in it, with the platform by its name, or by the given spelling of that."""
    name = name or get_settings().platform_name
    if name == ALTEGIO:
        return text
    possessive = f"{name}'" if name[-1] in "sS" else f"{name}'s"
    return text.replace(f"{ALTEGIO}'s", possessive).replace(ALTEGIO, name)


def gettext(message: str) -> str:
    return renamed(translation.gettext(message))


#: For what is worded when it is shown. Not for models: a migration must not depend on the platform.
gettext_lazy: Callable[[str], StrPromise] = lazy(gettext, str)  # type: ignore[assignment]


def ngettext(singular: str, plural: str, number: int) -> str:
    return renamed(translation.ngettext(singular, plural, number))
