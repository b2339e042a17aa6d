"""Which batch a page's token stands for, and what its operations are called on the screens."""

from __future__ import annotations

import uuid

from django.http import HttpRequest

_SESSION_KEY = "altegio_loyalty_batches"
_MOST_TITLES = 30


def batch_of(token: uuid.UUID, user_id: object) -> uuid.UUID:
    """The batch of a one-time token: the same for the same page sent twice, and never another person's."""
    return uuid.uuid5(token, str(user_id))


def remember_title(request: HttpRequest, batch: uuid.UUID, title: str) -> None:
    """Keep the promotion's title for the person who chose it: the log itself only knows Altegio's numbers."""
    if title:
        titles = {**request.session.get(_SESSION_KEY, {}), batch.hex: title}
        request.session[_SESSION_KEY] = dict(list(titles.items())[-_MOST_TITLES:])


def title_of(request: HttpRequest, batch: uuid.UUID) -> str:
    return str(request.session.get(_SESSION_KEY, {}).get(batch.hex, ""))
