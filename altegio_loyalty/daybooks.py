"""What comparing the log with Altegio's books found: a row for each location and day, and one for each thing at odds."""

from decimal import Decimal

from django.db import models
from django.template.loader import render_to_string
from django.utils import timezone

from altegio_loyalty.texts import gettext as _, gettext_lazy
from altegio_loyalty.wording import points

#: Who decided, where no person did.
A_PROGRAM = "A program"


class Verdict(models.IntegerChoices):
    """What became of a day's comparison; the numbers are what the command ends with."""

    AGREES = 0, gettext_lazy("agrees")
    AT_ODDS = 1, gettext_lazy("at odds")
    UNCHECKED = 2, gettext_lazy("could not be checked")


class BooksOfDay(models.Model):
    """One location's day, its own: how far it was compared, and what both sides come to."""

    location = models.ForeignKey("altegio_loyalty.Location", models.CASCADE, related_name="books")
    day = models.DateField()
    #: The visit compared last; they are taken in the order of their numbers.
    cursor = models.PositiveBigIntegerField(default=0)
    operation_count = models.PositiveIntegerField(default=0)
    visit_count = models.PositiveIntegerField(default=0)
    unread_count = models.PositiveIntegerField(default=0)
    #: What both sides agree about; the open items come on top.
    points = models.DecimalField(max_digits=14, decimal_places=2, default=Decimal(0))
    #: Why it could not be compared, or not wholly; as `reasons` keeps it.
    problem = models.CharField(max_length=300, blank=True, default="")
    #: What was read of the chain's list until now, or why it could not be, as JSON; empty once the day is compared.
    listing = models.TextField(default="")
    checked_at = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["location", "day"], name="altegio_books_once")]

    def __str__(self) -> str:
        return render_to_string("altegio_loyalty/books_of_day.txt", {"books": self}).strip()

    @property
    def sides(self) -> tuple[Decimal, Decimal]:
        """Points by the log and by Altegio, as they are known now."""
        odd = [item for item in self.open_items if not item.program_id]
        return sum((i.by_log for i in odd), self.points), sum((i.by_altegio for i in odd), self.points)

    @property
    def open_items(self) -> list["BooksItem"]:
        return [item for item in self.items.all() if item.closed_at is None]

    @property
    def verdict(self) -> Verdict:
        """What is at odds stands as long as it is open, also where not everything could be compared."""
        done = Verdict.UNCHECKED if self.checked_at is None else Verdict.AGREES
        return Verdict.AT_ODDS if self.open_items else done


class BooksItem(models.Model):
    """A card's points on a visit, or a promotion of it, of which log and Altegio say different things.

    Open until both agree, or a person closes it with a reason; while both say the same as then, it stays closed.
    `operation` is that of the log which bears the mark "to be looked at"; None where the log knows of none.
    """

    location = models.ForeignKey("altegio_loyalty.Location", models.CASCADE, related_name="books_items")
    books = models.ForeignKey(BooksOfDay, models.CASCADE, related_name="items")
    visit_id = models.PositiveBigIntegerField()
    card_id = models.PositiveBigIntegerField()
    #: 0 for points.
    program_id = models.PositiveBigIntegerField(default=0)
    by_log = models.DecimalField(max_digits=12, decimal_places=2)
    by_altegio = models.DecimalField(max_digits=12, decimal_places=2)
    operation = models.ForeignKey(
        "altegio_loyalty.LoyaltyOperation", models.SET_NULL, null=True, related_name="+"
    )
    read_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True, db_index=True)
    #: Empty where both sides agreed by themselves.
    closed_by_login = models.CharField(max_length=254, blank=True, default="")
    reason = models.CharField(max_length=400, blank=True, default="")

    class Meta:
        default_permissions = ()
        _what = ["location", "visit_id", "card_id", "program_id"]
        constraints = [models.UniqueConstraint(fields=_what, name="altegio_books_item_once")]

    def __str__(self) -> str:
        text = _("visit %(visit)s, card %(card)s: %(log)s by the log, %(altegio)s by Altegio")
        sides = {"log": points(self.by_log), "altegio": points(self.by_altegio)}
        return text % {"visit": self.visit_id, "card": self.card_id, **sides}

    @property
    def is_odd(self) -> bool:
        return self.by_log != self.by_altegio
