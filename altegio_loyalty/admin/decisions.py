"""What a person may decide about operations of the log, who may, and what became of it in one counted sentence."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import ngettext_lazy

from altegio_loyalty import exceptions, kinds, services
from altegio_loyalty.admin.pages import Page
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.querysets import TO_CLOSE
from altegio_loyalty.states import Status
from altegio_loyalty.texts import Words, gettext as _, gettext_lazy

RESOLVE = "altegio_loyalty.resolve_operation"


@dataclass(frozen=True)
class Decision:
    """One of the decisions. `asks` is the question that the person answers with the reason; empty where none is needed."""

    name: str
    label: Words
    statuses: tuple[Status, ...]
    carry_out: Callable[..., LoyaltyOperation]
    history: Words
    asks: Words = ""

    def may_be_made_by(self, user: Any) -> bool:
        """Whether the person may make this decision about any operation at all."""
        return any(self.is_allowed(user, kind) for kind in kinds.TABLE)

    def is_allowed(self, user: Any, kind: str) -> bool:
        """Whether the person may make it about operations of this kind: who may ask for one may also retry or stop it."""
        return bool(user.has_perm(RESOLVE) or (not self.asks and user.has_perm(f"altegio_loyalty.{kind}")))

    def is_open_to(self, user: Any, operation: LoyaltyOperation) -> bool:
        return self.fits(operation) and self.is_allowed(user, operation.kind)

    def fits(self, operation: LoyaltyOperation) -> bool:
        return not self.why_not(operation)

    def why_not(self, operation: LoyaltyOperation) -> str:
        """Why the decision does not fit the operation, after "skipped:"; empty where it does."""
        if not kinds.is_known(operation.kind) or operation.status not in _STATES:
            return _("this release of the site does not know it")
        if self.name == "close":
            return "" if operation.attention == TO_CLOSE else _("nothing of it is to be closed")
        if operation.status not in self.statuses:
            return str(_STATES[operation.status])
        is_stopped_already = self.name == "stop" and operation.is_stopping
        return _("it is being stopped already") if is_stopped_already else ""


_HOW_KNOWN = gettext_lazy("How do you know?")
DECISIONS = {
    decision.name: decision
    for decision in (
        Decision(
            "retry",
            gettext_lazy("Retry now"),
            (Status.PENDING, Status.UNCONFIRMED, Status.FAILED),
            services.retry_operation,
            gettext_lazy("Asked to try again now."),
        ),
        Decision(
            "stop",
            gettext_lazy("Stop trying"),
            (Status.PENDING, Status.UNCONFIRMED),
            services.stop_operation,
            gettext_lazy("Asked to stop trying."),
        ),
        Decision(
            "happened",
            gettext_lazy("It happened"),
            (Status.UNCONFIRMED,),
            partial(services.settle_operation, happened=True),
            gettext_lazy("Said that it happened: %(reason)s"),
            _HOW_KNOWN,
        ),
        Decision(
            "did_not_happen",
            gettext_lazy("It did not happen"),
            (Status.UNCONFIRMED,),
            partial(services.settle_operation, happened=False),
            gettext_lazy("Said that it did not happen: %(reason)s"),
            _HOW_KNOWN,
        ),
        Decision(
            "close",
            gettext_lazy("Close it"),
            tuple(Status),
            services.close_operation,
            gettext_lazy("Closed: %(reason)s"),
            gettext_lazy("Why can it be closed?"),
        ),
    )
}


class DecisionForm(forms.Form):
    """How the person knows what became of an operation in doubt, or why another one needs nobody any more."""

    reason = forms.CharField(
        help_text=gettext_lazy(
            "For example what Altegio's own screen shows for this visit, or whom you asked."
        ),
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
    )


#: Why an operation is passed over, by its state.
_STATES: dict[str, Words] = {
    Status.PENDING: gettext_lazy("it is not in doubt, it waits to be sent"),
    Status.SENDING: gettext_lazy("it is being sent right now"),
    Status.UNCONFIRMED: gettext_lazy("it is in doubt"),
    Status.SUCCEEDED: gettext_lazy("it is already done"),
    Status.REJECTED: gettext_lazy("Altegio refused it"),
    Status.FAILED: gettext_lazy("it is already given up"),
    Status.ABANDONED: gettext_lazy("it is already stopped"),
}

_RESULTS = {
    "now": ngettext_lazy("%(count)s will be tried again now", "%(count)s will be tried again now", "count"),
    "late": ngettext_lazy(
        "%(count)s will be tried again as soon as a late answer is ruled out",
        "%(count)s will be tried again as soon as a late answer is ruled out",
        "count",
    ),
    "paused": ngettext_lazy(
        "%(count)s will be tried again when its location works",
        "%(count)s will be tried again when their locations work",
        "count",
    ),
    "looked_up": ngettext_lazy("%(count)s will be looked up now", "%(count)s will be looked up now", "count"),
    "stopped": ngettext_lazy("%(count)s is stopped", "%(count)s are stopped", "count"),
    "stopping": ngettext_lazy(
        "%(count)s will not be sent again, only looked up",
        "%(count)s will not be sent again, only looked up",
        "count",
    ),
    "happened": ngettext_lazy("%(count)s is closed as done", "%(count)s are closed as done", "count"),
    "close": ngettext_lazy("%(count)s is closed", "%(count)s are closed", "count"),
    "did_not_happen": ngettext_lazy(
        "%(count)s is closed as not done", "%(count)s are closed as not done", "count"
    ),
}


def carry_out(
    page: Page, decision: Decision, operation: LoyaltyOperation, reason: str = ""
) -> tuple[bool, str]:
    """Make the decision, and note it in the history. Returns whether it was made, and its result, or why it was not."""
    if why_not := decision.why_not(operation):
        return False, why_not
    try:
        said = {"reason": reason} if decision.asks else {}
        operation = decision.carry_out(operation, by=page.request.user, **said)
    except exceptions.OperationNotAllowed:
        operation.refresh_from_db(fields=["status", "is_stopping"])
        return False, decision.why_not(operation) or _("it changed meanwhile, look at it again")
    except exceptions.OperationInProgress:
        return False, _("another operation on its visit and card is not finished")
    except ValidationError as error:
        return False, " ".join(error.messages)
    page.admin.log_change(page.request, operation, str(decision.history) % {"reason": reason})
    return True, _result(decision, operation)


def _result(decision: Decision, operation: LoyaltyOperation) -> str:
    if decision.asks:
        return decision.name
    if decision.name == "stop":
        return "stopped" if operation.status == Status.ABANDONED else "stopping"
    if not operation.location.is_working:
        return "paused"
    if operation.status == Status.UNCONFIRMED:
        return "looked_up"
    is_late = operation.next_attempt_at is not None and operation.next_attempt_at > timezone.now()
    return "late" if is_late else "now"


def tell(request: HttpRequest, tally: Counter[tuple[bool, str]]) -> None:
    """Tell the person in one sentence what was done and what was skipped: each answer of `carry_out`, counted."""
    done = [_RESULTS[result] % {"count": count} for (is_done, result), count in tally.items() if is_done]
    text = _("%(count)s skipped: %(reason)s")
    skipped = [text % {"count": n, "reason": why} for (is_done, why), n in tally.items() if not is_done]
    level = messages.WARNING if skipped else messages.SUCCESS
    messages.add_message(request, level if done else messages.ERROR, f"{', '.join(done + skipped)}.")
