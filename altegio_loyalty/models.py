"""Visits, and the log of loyalty operations; beside them, for who looks here, the other models. No network here."""

import dataclasses
import datetime
from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from altegio_loyalty import kinds
from altegio_loyalty.access import ONE_WAY, LocationAccess as LocationAccess
from altegio_loyalty.client import Order
from altegio_loyalty.conf import get_settings
from altegio_loyalty.daybooks import BooksItem as BooksItem, BooksOfDay as BooksOfDay
from altegio_loyalty.fields import IndexByVendor
from altegio_loyalty.locations import TOKENS as TOKENS, Location as Location
from altegio_loyalty.processes import RequestBudget as RequestBudget, WatchEntry as WatchEntry
from altegio_loyalty.querysets import ATTENTION, OperationQuerySet, is_over
from altegio_loyalty.states import OPEN, CallOutcome, Ending, Kind, Purpose, Status
from altegio_loyalty.wording import isolated, sentence_of

LONGEST_LOGIN, LONGEST_TITLE = 254, 200
_positive = MinValueValidator(1)
#: Stands for the client of a visit whose client was made anonymous: Altegio has no such number. Later readings keep it.
ANONYMISED = 0
#: Of a column that nobody types.
_SHOWN: Any = {"blank": True, "editable": False}
#: Who may ask for an operation of each kind: the permission bears the kind's own name.
_MAY_ASK = {
    Kind.APPLY_CARD_WITHDRAWAL.value: _("Can withdraw points on a visit"),
    Kind.CANCEL_CARD_WITHDRAWAL.value: _("Can cancel a withdrawal of points"),
    Kind.APPLY_DISCOUNT_PROGRAM.value: _("Can apply a promotion to a visit"),
    Kind.CANCEL_DISCOUNT_PROGRAM.value: _("Can take a promotion back"),
}
kinds.one_for_each("models", _MAY_ASK)
_MAY_DECIDE = "resolve_operation", _("Can decide what became of an operation in doubt")


#: By which `istartswith` is found.
_BEGINS = {
    "postgresql": "(UPPER(client_name::text) text_pattern_ops)",
    "sqlite": "(client_name COLLATE NOCASE)",
}


#: When points moved, as `statistics` asks for it.
_MOVED = "(COALESCE(sent_at, unanswered_at, finished_at, created_at))"


def _where_set(name: str, *order: str) -> IndexByVendor:
    """Of the rows that have it, which are few in a long log; MariaDB knows only indexes of all rows."""
    column = name.replace("cancels", "cancels_id")
    some = f" WHERE {column} IS NOT NULL"
    # PostgreSQL follows the order through a part of the rows; SQLite, once it knows their counts, does not.
    sql = {
        "postgresql": f"({(order or (column,))[0]}){some}",
        "sqlite": f"({', '.join((column, *order))}){some}",
    }
    return IndexByVendor(fields=[name, *order], name=f"altegio_op_{name}", sql=sql)


class Visit(models.Model):
    """A client's arrival, as far as the screens need it. Its truth is in Altegio."""

    id = models.PositiveBigIntegerField(_("visit ID"), primary_key=True, validators=[_positive])
    location = models.ForeignKey(Location, models.PROTECT, related_name="visits", verbose_name=_("location"))
    record_id = models.PositiveBigIntegerField(_("appointment ID"), db_index=True, validators=[_positive])
    client_id = models.PositiveBigIntegerField(_("client ID"), null=True, blank=True, db_index=True)
    client_name = models.CharField(_("client"), max_length=200, blank=True, default="")
    client_phone = models.CharField(_("phone"), max_length=40, blank=True, default="")
    starts_at = models.DateTimeField(_("starts at"), null=True, blank=True, db_index=True)
    created_at = models.DateTimeField(_("first seen at"), default=timezone.now, editable=False)
    #: As Altegio showed them at `read_at`; the visit's page reads them anew. `total_amount` is what all its lines cost.
    due_amount = models.DecimalField(_("left to pay"), max_digits=12, decimal_places=2, null=True, **_SHOWN)
    covered_amount = models.DecimalField(_("applied"), max_digits=12, decimal_places=2, null=True, **_SHOWN)
    total_amount = models.DecimalField(_("total"), max_digits=12, decimal_places=2, null=True, **_SHOWN)
    read_at = models.DateTimeField(_("read at"), null=True, blank=True, editable=False)
    #: The bill and the cards as Altegio last showed them, and when, as JSON; see `bills`. Lists leave it out: it is large.
    shown = models.TextField(_("as last shown"), blank=True, default="", editable=False)

    class Meta:
        verbose_name = _("visit")
        verbose_name_plural = _("visits")
        ordering = ["-starts_at", "-id"]
        indexes = [IndexByVendor(fields=["client_name"], name="altegio_visit_name", sql=_BEGINS)]
        permissions = [("view_client_phone", _("Can see the phones of clients"))]

    def __str__(self) -> str:
        if not self.client_shown:
            return str(_("visit %(id)s") % {"id": self.pk})
        return f"{self.client_shown} ({self.pk})"

    @property
    def is_anonymised(self) -> bool:
        """Whether its client was made anonymous, for good."""
        return self.client_id == ANONYMISED

    @property
    def client_shown(self) -> str:
        """The client's name as pages show it; empty where none is known."""
        return str(_("Anonymised")) if self.is_anonymised else isolated(self.client_name)


class LoyaltyOperation(models.Model):
    """What a person or a program asked for, and what became of it. Never edited or deleted by hand."""

    Kind, Status, Ending = Kind, Status, Ending

    kind = models.CharField(_("operation"), max_length=32, choices=Kind.choices)
    #: Found by the index of `created_at`.
    location = models.ForeignKey(
        Location, models.PROTECT, related_name="operations", verbose_name=_("location"), db_index=False
    )
    visit = models.ForeignKey(Visit, models.PROTECT, related_name="operations", verbose_name=_("visit"))
    record_id = models.PositiveBigIntegerField(_("appointment ID"))
    card_id = models.PositiveBigIntegerField(_("card ID"), db_index=True)
    program_id = models.PositiveBigIntegerField(_("promotion ID"), null=True, blank=True)
    #: What they were called when it was asked for, as far as that was shown; the card with the end of its number.
    card_title = models.CharField(_("card"), max_length=LONGEST_TITLE, blank=True, default="")
    program_title = models.CharField(_("promotion"), max_length=LONGEST_TITLE, blank=True, default="")
    amount = models.DecimalField(_("points asked"), max_digits=12, decimal_places=2, null=True, blank=True)
    applied_amount = models.DecimalField(_("applied"), max_digits=12, decimal_places=2, null=True, blank=True)
    returned_amount = models.DecimalField(
        _("given back"), max_digits=12, decimal_places=2, null=True, blank=True
    )
    #: What the visit showed of this card's points, or of this promotion, right before the call; empty if nobody looked.
    seen_before = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    status = models.CharField(_("state"), max_length=16, choices=Status.choices, default=Status.PENDING)
    ending = models.CharField(_("how"), max_length=32, choices=Ending.choices, blank=True, default="")
    discrepancy = models.CharField(_("to be looked at"), max_length=300, blank=True, default="")
    #: When a person closed what was given up, or flagged; NULL again where it comes back.
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    #: Worked out by the database, whoever wrote the row; see `OperationQuerySet.needs_person`.
    attention = models.GeneratedField(
        expression=ATTENTION,
        output_field=models.PositiveSmallIntegerField(null=True),
        db_persist=True,
    )
    idempotency_key = models.CharField(_("idempotency key"), max_length=150, unique=True)
    #: visit and card while the operation is open, so that a second one cannot be; NULL, of which there can be many, after.
    open_key = models.CharField(max_length=64, unique=True, null=True, blank=True, editable=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("requested by"), **ONE_WAY
    )
    #: Who that was outlives the account.
    requested_by_login = models.CharField(_("requested by"), max_length=LONGEST_LOGIN, default="", **_SHOWN)
    #: The same for all operations that were asked for together, on several visits.
    batch = models.UUIDField(_("batch"), null=True, blank=True, editable=False)
    cancels = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="cancelled_by", verbose_name=_("cancels"),
        db_index=False,
    )  # fmt: skip
    attempt_count = models.PositiveIntegerField(_("attempts"), default=0)
    attempt_limit = models.PositiveIntegerField(null=True, blank=True)
    lookup_count = models.PositiveIntegerField(_("look-ups"), default=0)
    #: Counts the claims: whoever claimed the row writes only while its number stands.
    fence = models.PositiveIntegerField(default=0)
    #: When something is due; for an operation being sent the end of the lease; NULL once settled.
    next_attempt_at = models.DateTimeField(_("next try at"), null=True, blank=True)
    #: The end of the lease of the latest look-up: while that is also what is due next, somebody is looking.
    look_ends_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(_("worth trying until"), null=True, blank=True)
    #: Written right before the POST of the current claim: without it nothing of this claim left the machine.
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    #: The end of a call of which nobody knows what became; of a dead worker's, the last moment at which it can have ended.
    unanswered_at = models.DateTimeField(_("without an answer since"), null=True, blank=True)
    #: When an apply was taken back, or first seen to be gone from the visit: it counts no more.
    undone_at = models.DateTimeField(_("no longer on the visit since"), null=True, blank=True)
    is_stopping = models.BooleanField(default=False)
    last_error = models.CharField(_("last error"), max_length=500, blank=True, default="")
    created_at = models.DateTimeField(_("asked at"), default=timezone.now, db_index=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    #: Whether its count and points stand in the sums; the figures of every other operation are read from the log. Ask with
    #: `is_summed__in`: the NOT that Django writes of a False finds no index in SQLite.
    is_summed = models.BooleanField(default=False, editable=False)

    objects = OperationQuerySet.as_manager()

    class Meta:
        verbose_name = _("loyalty operation")
        verbose_name_plural = _("loyalty operations")
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [*_MAY_ASK.items(), _MAY_DECIDE]
        indexes = [
            *map(_where_set, ("next_attempt_at", "batch", "cancels")),
            _where_set("attention", "id"),
            models.Index(fields=["status", "expires_at"], name="altegio_op_status_expires"),
            models.Index(fields=["status", "id"], name="altegio_op_status_id"),
            models.Index(fields=["location", "created_at"], name="altegio_op_location_created"),
            models.Index(fields=["is_summed", "status"], name="altegio_op_summed_status"),
            IndexByVendor(fields=["sent_at"], name="altegio_op_moved", sql=dict.fromkeys(_BEGINS, _MOVED)),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.get_kind_display()}"

    @property
    def order(self) -> Order:
        """What it asks of Altegio."""
        return Order(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Order)})

    @property
    def traits(self) -> kinds.Kind:
        """What its kind takes and undoes. Raises `KeyError` where this release does not know the kind."""
        return kinds.TABLE[self.kind]

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_due(self) -> bool:
        """Whether it can be taken a step further now; one being sent when its lease is over: its worker has died."""
        is_time = is_over(self.next_attempt_at, timezone.now())
        return bool(kinds.is_known(self.kind) and self.is_open and is_time and self.location.is_working)

    @property
    def sentence(self) -> str:
        """What happened, or is happening, in plain words in the current language."""
        return sentence_of(self)

    @property
    def settles_at(self) -> datetime.datetime:
        """From when on an absence proves that a call without an answer did not happen."""
        since: datetime.datetime = self.unanswered_at or self.sent_at or self.created_at
        return since + datetime.timedelta(seconds=get_settings().SETTLE_SECONDS)

    @property
    def holds_card_until(self) -> datetime.datetime | None:
        """Where a person said too early to be certain that it did not happen: until when visit and card stay taken."""
        if self.is_open or not self.open_key or self.settles_at <= timezone.now():
            return None
        return self.settles_at

    @property
    def is_flagged(self) -> bool:
        """Whether it is at odds with the visit, and nobody has closed that."""
        return bool(self.discrepancy) and self.closed_at is None

    @property
    def is_in_force(self) -> bool:
        """Whether what it applied is still on the visit, as far as anybody here has seen."""
        return self.status == Status.SUCCEEDED and self.traits.is_apply and self.undone_at is None

    @property
    def log_fields(self) -> dict[str, int]:
        """What each log record about it says, as fields."""
        return {"operation": self.pk, "location": self.location_id, "attempt": self.attempt_count}

    @property
    def is_looked_up_now(self) -> bool:
        """Whether somebody is on a look-up, so that what is due next is only the end of a lease."""
        return self.next_attempt_at is not None and self.next_attempt_at == self.look_ends_at

    def make_open_key(self) -> str:
        return f"{self.visit_id}:{self.card_id}"


class OperationAttempt(models.Model):
    """One HTTP call made for an operation, or one decision of a person on it. Append only, but for `anonymise`."""

    Purpose, Outcome = Purpose, CallOutcome

    operation = models.ForeignKey(
        LoyaltyOperation, models.CASCADE, related_name="attempts", verbose_name=_("operation")
    )
    purpose = models.CharField(_("what for"), max_length=16, choices=Purpose.choices)
    #: Of a call that began.
    method = models.CharField(_("method"), max_length=8, blank=True, default="")
    path = models.CharField(_("path"), max_length=200, blank=True, default="")
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    duration_ms = models.PositiveIntegerField(_("took, ms"), null=True, blank=True)
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=16, choices=CallOutcome.choices)
    error = models.CharField(_("error or reason"), max_length=500, blank=True, default="")
    answer = models.TextField(_("answer"), blank=True, default="")
    #: Told after another worker had taken the operation over: it says nothing of the order of things.
    is_late = models.BooleanField(default=False, editable=False)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, verbose_name=_("by"), **ONE_WAY
    )
    made_by_login = models.CharField(_("by"), max_length=LONGEST_LOGIN, blank=True, default="")

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.get_outcome_display()}"


class _Points(models.Model):
    """Points of a location's day, as `statistics.POINTS` names them."""

    location = models.ForeignKey(Location, models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    taken = models.DecimalField(max_digits=18, decimal_places=2, default=0)
    given_back = models.DecimalField(max_digits=18, decimal_places=2, default=0)
    unknown_count = models.PositiveIntegerField(default=0)
    apply_count = models.PositiveIntegerField(default=0)
    cancel_count = models.PositiveIntegerField(default=0)

    class Meta:
        abstract = True


class GroupSum(_Points):
    """Points by one of `statistics.GROUPINGS`; written once. A key has a row from each time that `retention` added up."""

    by = models.CharField(max_length=16)
    key = models.CharField(max_length=LONGEST_LOGIN)
    #: Of a promotion. A client's stands in the visits alone.
    name = models.CharField(max_length=LONGEST_TITLE)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["by", "day"], name="altegio_groups_of_day")]

    def __str__(self) -> str:
        return f"{self.location_id}, {self.day}: {self.by}"


class DaySum(_Points):
    """What a location's day adds up to: operations asked for on it, by time to done as `slot`, and points moved on it."""

    kind = models.CharField(max_length=32)
    status = models.CharField(max_length=16)
    slot = models.PositiveSmallIntegerField()
    asked_count = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()
        unique_together = [("day", "location", "kind", "status", "slot")]

    def __str__(self) -> str:
        return f"{self.location_id}, {self.day}: {self.kind}, {self.status}"
