"""Operations that were asked for together: how far they are, taken further by whoever looks, found again and stopped."""

import time
import uuid
from collections import Counter
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string

from altegio_loyalty import database
from altegio_loyalty.access import visible_to
from altegio_loyalty.admin import kinds
from altegio_loyalty.admin.decisions import RESOLVE, carry_out, tell
from altegio_loyalty.admin.desk.confirmation import MOST_VISITS
from altegio_loyalty.admin.desk.page import STOP, may_take_step, next_due, take_step
from altegio_loyalty.admin.looks import look_of
from altegio_loyalty.admin.pages import FOLDER, Page
from altegio_loyalty.kinds import TABLE
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.states import OPEN, Status
from altegio_loyalty.texts import gettext as _, ngettext
from altegio_loyalty.wording import isolated

#: So long one step may go on: short for the script, which shows the progress after each, longer for a form without it.
SECONDS_OF_STEP, SECONDS_OF_LONG_STEP = 2.0, 10.0
#: Known not to have happened, and settled.
NOT_DONE = (Status.REJECTED, Status.FAILED, Status.ABANDONED)
MOST_BATCHES = 50


def _operations_seen_by(page: Page) -> QuerySet[LoyaltyOperation]:
    return visible_to(page.request.user, database.operations().filter(batch__isnull=False))


def _title(kind: str, promotion: str) -> str:
    return f"{kinds.title_of(kind)}: {isolated(promotion)}" if promotion else kinds.title_of(kind)


class Batch:
    """All operations of one batch that the person may see, as they are now. Raises Http404 where there is none."""

    def __init__(self, page: Page, batch: uuid.UUID) -> None:
        self.page = page
        self.id = batch
        rows = _operations_seen_by(page).filter(batch=batch)
        self.operations = list(rows.select_related("location", "visit").defer("visit__shown").order_by("pk"))
        if not self.operations:
            raise Http404
        self.open = [operation for operation in self.operations if operation.is_open]

    def _progress(self) -> dict[str, Any]:
        """With how many are finished, and how: "7 of 10 finished: 6 done, 1 refused"."""
        counts = Counter(str(look_of(operation).word) for operation in self.operations)
        how = ", ".join(f"{count} {word}" for word, count in counts.most_common())
        total = len(self.operations)
        figures = {"total": total, "finished": total - len(self.open)}
        text = ngettext(
            "%(finished)s of %(total)s finished: %(how)s.",
            "%(finished)s of %(total)s finished: %(how)s.",
            total,
        )
        return {
            **figures,
            "summary": text % {**figures, "how": how},
            "is_open": bool(self.open),
            "is_due": next_due(self.page, self.open) is not None,
            "may_stop": any(STOP.is_open_to(self.page.request.user, row) for row in self.open),
        }

    def context(self) -> dict[str, Any]:
        first, page = self.operations[0], self.page
        back = next((kind.name for kind in TABLE.values() if kind.undoes == first.kind), "")
        undone = [row.visit_id for row in self.operations if row.status in NOT_DONE]
        succeeded = (row for row in self.operations if row.status == Status.SUCCEEDED)
        done = [row.visit_id for row in succeeded if not row.undone_at]
        return {
            "again_url": undone and page.may(first.kind) and self._form_of(first.kind, undone),
            "back_url": back and done and page.may(back) and self._form_of(back, done),
            "back": kinds.title_of(back) if back else "",
            **self._progress(),
            "title": _title(first.kind, first.program_title),
            "operations": self.operations,
            "first": first,
        }

    def _form_of(self, kind: str, visit_ids: list[int]) -> str:
        return self.page.address("visit_operate", kind, visit=list(dict.fromkeys(visit_ids))[:MOST_VISITS])

    def as_json(self) -> dict[str, Any]:
        template = f"{FOLDER}/visit/batch_result.html"
        rows = {row.pk: render_to_string(template, {"operation": row}) for row in self.operations}
        return {**self._progress(), "rows": rows}


class BatchPage(Page):
    """The pages of batches, below the visits."""

    def recent(self) -> HttpResponse:
        """The batches that the person asked for; whoever decides about operations sees everybody's."""
        rows: Any = _operations_seen_by(self).order_by()
        if not (sees_all := self.request.user.has_perm(RESOLVE)):
            rows = rows.filter(requested_by=self.request.user.pk)
        batches = (
            rows.values("batch", "kind", by=F("requested_by_login"))
            .annotate(
                asked_at=Min("created_at"),
                promotion=Max("program_title"),
                total=Count("pk"),
                finished=Count("pk", filter=~Q(status__in=OPEN)),
                done=Count("pk", filter=Q(status=Status.SUCCEEDED)),
            )
            .order_by("-asked_at")[:MOST_BATCHES]
        )
        for batch in batches:
            batch["title"] = _title(batch["kind"], batch["promotion"])
        context = {"title": _("Several at once"), "batches": batches, "sees_all": sees_all}
        return self.render("visit/batches.html", context)

    def show(self, batch: uuid.UUID) -> HttpResponse:
        return self.render("visit/batch.html", Batch(self, batch).context())

    def state(self, batch: uuid.UUID) -> HttpResponse:
        """What the page's script asks for. Never calls Altegio."""
        return JsonResponse(Batch(self, batch).as_json())

    def step(self, batch: uuid.UUID) -> HttpResponse:
        """Take what is due further, for a moment: so a batch gets done without any worker, and faster beside one."""
        found = self._open_to_steps(batch)
        ends_at = time.monotonic() + (SECONDS_OF_STEP if self.wants_json else SECONDS_OF_LONG_STEP)
        goes_well = True
        while goes_well and time.monotonic() < ends_at and (operation := next_due(self, found.open)):
            after = take_step(operation)
            # After a failure a pause does more good than the next call.
            goes_well = after is not None and not after.is_open
            found = Batch(self, batch)
        url = self.address("visit_batch", batch)
        return self.answer(lambda: {**found.as_json(), "goes_well": goes_well}, url)

    def stop(self, batch: uuid.UUID) -> HttpResponse:
        """Stop what still waits; what is in doubt is looked up to the end, but never sent again."""
        found = self._open_to_steps(batch).open
        waiting = [row for row in found if STOP.is_open_to(self.request.user, row)]
        if tally := Counter(carry_out(self, STOP, operation) for operation in waiting):
            tell(self.request, tally)
        return HttpResponseRedirect(self.address("visit_batch", batch))

    def _open_to_steps(self, batch: uuid.UUID) -> Batch:
        found = Batch(self, batch)
        if found.open and not any(may_take_step(self, operation) for operation in found.open):
            raise PermissionDenied
        return found
