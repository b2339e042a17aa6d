"""Operations that were asked for together: how far they are, driven on by whoever looks, left, found again and stopped."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Count, Min, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from altegio_loyalty.access import visible_to
from altegio_loyalty.admin.batch_form import BatchConfirmation
from altegio_loyalty.admin.batch_store import title_of
from altegio_loyalty.admin.decisions import RESOLVE, Tally
from altegio_loyalty.admin.operate import BUTTONS, MOST_VISITS
from altegio_loyalty.admin.presentation import as_id, look_of, outside_transactions, status_badge
from altegio_loyalty.admin.visit_live import (
    FOLDER,
    drive,
    is_due,
    may_drive,
    may_stop,
    stop_one,
    wants_json,
)
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.states import OPEN, Kind, Status

if TYPE_CHECKING:
    from altegio_loyalty.admin.visits import VisitAdmin


#: So long one step may go on: short for the script, which shows the progress after each, longer for a form without it.
SECONDS_OF_STEP, SECONDS_OF_LONG_STEP = 2.0, 10.0
#: Without scripts the page of a batch that is not finished looks again by itself after so many seconds.
LOOK_AGAIN_SECONDS = 5
#: So many batches are listed.
MOST_BATCHES = 50
#: More rows than the form lets anybody ask for: a visit can have several of what a batch cancels.
MOST_ROWS = 4 * MOST_VISITS


def operations_seen_by(request: HttpRequest) -> QuerySet[LoyaltyOperation]:
    """The operations of the locations that the person may see, where they are written."""
    rows = LoyaltyOperation.objects.using(router.db_for_write(LoyaltyOperation)).filter(batch__isnull=False)
    return visible_to(request.user, rows)


class Batch:
    """The operations of one batch that the person may see, as they are now. Raises Http404 where there is none."""

    def __init__(self, request: HttpRequest, batch: uuid.UUID) -> None:
        self.request = request
        self.id = batch
        rows = operations_seen_by(request).filter(batch=batch)
        self.operations = list(
            rows.select_related("location", "visit", "requested_by").order_by("pk")[:MOST_ROWS]
        )
        if not self.operations:
            raise Http404

    @property
    def kind(self) -> Kind:
        return Kind(self.operations[0].kind)

    @property
    def open(self) -> list[LoyaltyOperation]:
        return [operation for operation in self.operations if operation.is_open]

    def next_due(self) -> LoyaltyOperation | None:
        """What this person's page may take a step further, the longest waiting first."""
        due = [row for row in self.open if is_due(row) and may_drive(self.request, row)]
        return min(due, key=lambda row: (row.next_attempt_at, row.pk), default=None)

    def may_be_stopped(self) -> bool:
        return any(may_stop(self.request, operation) for operation in self.open)

    def summary(self) -> str:
        """How many are finished, and how: "7 of 10 finished: 6 done, 1 refused"."""
        total, finished = len(self.operations), len(self.operations) - len(self.open)
        counts = Counter(str(look_of(operation).word) for operation in self.operations)
        how = ", ".join(f"{count} {word}" for word, count in counts.most_common())
        text = ngettext(
            "%(finished)s of %(total)s finished: %(how)s.",
            "%(finished)s of %(total)s finished: %(how)s.",
            total,
        )
        return text % {"finished": finished, "total": total, "how": how}

    def context(self) -> dict[str, Any]:
        rows = [{"row": row, "badge": status_badge(row)} for row in self.operations]
        what = title_of(self.request, self.id)
        title = str(BUTTONS[self.kind])
        return {
            "title": f"{title}: {what}" if what else title,
            "rows": rows,
            "total": len(rows),
            "finished": len(rows) - len(self.open),
            "summary": self.summary(),
            "is_open": bool(self.open),
            "has_due": self.next_due() is not None,
            "may_stop": self.may_be_stopped(),
            "first": self.operations[0],
        }

    def as_json(self) -> dict[str, Any]:
        rows = {
            str(row.pk): render_to_string(
                f"{FOLDER}/batch_result.html", {"row": {"row": row, "badge": status_badge(row)}}
            )
            for row in self.operations
        }
        return {
            "rows": rows,
            "total": len(rows),
            "finished": len(rows) - len(self.open),
            "summary": self.summary(),
            "is_open": bool(self.open),
            "is_due": self.next_due() is not None,
            "may_stop": self.may_be_stopped(),
        }


class BatchPages:
    """The pages of batches, below the visits."""

    def __init__(self, admin: VisitAdmin) -> None:
        self.admin = admin

    def urls(self) -> list[URLPattern]:
        def at(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(
                route, self.admin.admin_site.admin_view(view), name=f"altegio_loyalty_visit_batch{name}"
            )

        return [
            at("operate/<str:kind>/row/", self.row, "_row"),
            at("batches/", self.recent, "es"),
            at("batches/<uuid:batch>/", self.page, ""),
            at("batches/<uuid:batch>/state/", self.state, "_state"),
            at("batches/<uuid:batch>/step/", self.step, "_step"),
            at("batches/<uuid:batch>/stop/", self.stop, "_stop"),
        ]

    def _url(self, name: str, *args: Any) -> str:
        return reverse(f"{self.admin.admin_site.name}:altegio_loyalty_visit_batch{name}", args=args)

    def _batch(self, request: HttpRequest, batch: uuid.UUID) -> Batch:
        if not self.admin.has_view_permission(request):
            raise PermissionDenied
        return Batch(request, batch)

    def _render(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = {**self.admin.admin_site.each_context(request), "opts": self.admin.opts}
        request.current_app = self.admin.admin_site.name
        return TemplateResponse(request, f"{FOLDER}/{template}.html", {**shared, **context})

    @outside_transactions
    @method_decorator([never_cache, require_GET])
    def row(self, request: HttpRequest, kind: str) -> HttpResponse:
        """One row of the confirmation page, read from Altegio."""
        return BatchConfirmation(self.admin, request, kind).row(as_id(request.GET.get("visit")) or 0)

    @method_decorator(require_GET)
    def recent(self, request: HttpRequest) -> HttpResponse:
        """The batches that the person asked for; whoever decides about operations sees everybody's."""
        if not self.admin.has_view_permission(request):
            raise PermissionDenied
        rows = operations_seen_by(request)
        sees_all = request.user.has_perm(RESOLVE)
        if not sees_all:
            rows = rows.filter(requested_by=request.user.pk)
        batches = (
            rows.order_by()
            .values("batch", "kind", "requested_by__" + _name_field(request))
            .annotate(
                asked_at=Min("created_at"),
                total=Count("pk"),
                unfinished=Count("pk", filter=Q(status__in=OPEN)),
                done=Count("pk", filter=Q(status=Status.SUCCEEDED)),
            )
            .order_by("-asked_at")[:MOST_BATCHES]
        )
        listed = [self._listed(request, batch) for batch in batches]
        context = {"title": _("Several at once"), "batches": listed, "sees_all": sees_all}
        return self._render(request, "batches", context)

    def _listed(self, request: HttpRequest, batch: dict[str, Any]) -> dict[str, Any]:
        what = title_of(request, batch["batch"])
        title = str(BUTTONS[Kind(batch["kind"])])
        return {
            **batch,
            "title": f"{title}: {what}" if what else title,
            "by": batch["requested_by__" + _name_field(request)],
            "finished": batch["total"] - batch["unfinished"],
            "url": self._url("", batch["batch"]),
        }

    @method_decorator([never_cache, require_GET])
    def page(self, request: HttpRequest, batch: uuid.UUID) -> HttpResponse:
        """How far the batch is, and the result of each visit."""
        found = self._batch(request, batch)
        context = {
            **found.context(),
            "look_again_seconds": LOOK_AGAIN_SECONDS,
            "batches_url": self._url("es"),
            **{f"{name}_url": self._url(f"_{name}", batch) for name in ("state", "step", "stop")},
        }
        return self._render(request, "batch", context)

    @method_decorator([never_cache, require_GET])
    def state(self, request: HttpRequest, batch: uuid.UUID) -> HttpResponse:
        """What the page's script asks for. Never calls Altegio."""
        return JsonResponse(self._batch(request, batch).as_json())

    @outside_transactions
    @method_decorator(require_POST)
    def step(self, request: HttpRequest, batch: uuid.UUID) -> HttpResponse:
        """Take what is due further, for a moment: so a batch gets done without any worker, and faster beside one."""
        found = self._batch(request, batch)
        if not any(may_drive(request, operation) for operation in found.operations) and found.open:
            raise PermissionDenied
        ends_at = time.monotonic() + (SECONDS_OF_STEP if wants_json(request) else SECONDS_OF_LONG_STEP)
        goes_well = True
        while goes_well and time.monotonic() < ends_at and (operation := found.next_due()):
            after = drive(operation)
            # After a failure a pause does more good than the next call.
            goes_well = after is not None and not after.is_open
            found = self._batch(request, batch)
        if wants_json(request):
            return JsonResponse({**found.as_json(), "goes_well": goes_well})
        return HttpResponseRedirect(self._url("", batch))

    @outside_transactions
    @method_decorator(require_POST)
    def stop(self, request: HttpRequest, batch: uuid.UUID) -> HttpResponse:
        """Stop what still waits; what is in doubt is looked up to the end, but never sent again."""
        found = self._batch(request, batch)
        if found.open and not any(may_drive(request, operation) for operation in found.open):
            raise PermissionDenied
        tally = Tally()
        for operation in [row for row in found.open if may_stop(request, row)]:
            is_done, result = stop_one(self.admin, request, operation)
            (tally.done if is_done else tally.skipped)[result] += 1
        if tally.done or tally.skipped:
            tally.say(request)
        return HttpResponseRedirect(self._url("", batch))


def _name_field(request: HttpRequest) -> str:
    return str(getattr(request.user, "USERNAME_FIELD", "pk"))
