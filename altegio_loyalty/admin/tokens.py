"""Tokens and passwords on pages: they go in, and none comes out."""

from typing import Any

from django import forms
from django.http import HttpRequest

from altegio_loyalty.client.hidden import Hidden, hides_frames
from altegio_loyalty.exceptions import UndecryptableToken
from altegio_loyalty.fields import Secret
from altegio_loyalty.wording import reason

LONGEST_TOKEN = 1000


def hide_posted(request: HttpRequest, *names: str) -> None:
    """To be called before anything can fail: pages of errors and trackers print what was posted."""
    request.POST = posted = request.POST.copy()  # type: ignore[assignment]
    for name in set(names) & set(posted):
        posted[name] = Secret(str(posted[name]))  # type: ignore[assignment]


def why_unreadable(token: Secret) -> str:
    """Why this site cannot read the token, in the person's language; empty where it can."""
    try:
        token.reveal()
    except UndecryptableToken as error:
        return reason(str(error))
    return ""


class TokenField(forms.CharField):
    """Takes a new token and shows none, neither the stored one nor the one just typed."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "new-password", "spellcheck": "false", "class": "vTextField"}
        super().__init__(**{**kwargs, "widget": forms.PasswordInput(attrs), "max_length": LONGEST_TOKEN})

    def prepare_value(self, value: Any) -> str:
        return ""

    @hides_frames
    def clean(self, value: Any) -> Secret:
        return Secret(super().clean(Hidden.of(value or "").reveal()))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(Hidden.of(data or "").reveal().strip())
