"""The books below the overview: each location's days, and what is at odds, both sides side by side."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404

from altegio_loyalty import services
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.exceptions import OperationNotAllowed
from altegio_loyalty.models import BooksItem, BooksOfDay
from altegio_loyalty.texts import gettext as _

#: So many rows of days, and so many items, are shown.
MOST_ROWS = 200


class BooksPage(Page):
    """What a person may see of the books."""

    def show(self) -> HttpResponse:
        """The days, newest first, below what is at odds in any of them."""
        days = visible_to(self.request.user, BooksOfDay.objects.order_by("-day", "location"))
        items = visible_to(self.request.user, BooksItem.objects.filter(closed_at=None).order_by("-pk"))
        context = {
            "title": _("Books"),
            "days": days.select_related("location").prefetch_related("items")[:MOST_ROWS],
            "items": items.select_related("location", "books", "operation")[:MOST_ROWS],
            "item_count": items.count(),
        }
        return self.render("overview/books.html", context)

    def close(self, pk: int) -> HttpResponse:
        """Close an item, with a reason, for whoever may decide what is in doubt."""
        items, given = visible_to(self.request.user, BooksItem.objects.filter(pk=pk)), self.request.POST
        get_object_or_404(items)
        try:
            # As the person saw it: what has changed since, nobody agreed to.
            item = items.get(by_log=given.get("by_log", ""), by_altegio=given.get("by_altegio", ""))
            services.close_books_item(item, reason=given.get("reason", ""), by=self.request.user)
            messages.success(self.request, _("Closed: %(item)s.") % {"item": item})
        except ValidationError as error:
            messages.error(self.request, " ".join(error.messages))
        except (BooksItem.DoesNotExist, OperationNotAllowed):
            text = _("There is nothing to close, or it changed meanwhile; look at it again.")
            messages.error(self.request, text)
        return HttpResponseRedirect(self.address("loyaltyoperation_books"))
