"""Each word that the log keeps, spelt once, with what people read for it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from altegio_loyalty import kinds


class Kind(models.TextChoices):
    """The API's own verb."""

    APPLY_CARD_WITHDRAWAL = kinds.APPLY_CARD_WITHDRAWAL.name, _("withdraw points")
    CANCEL_CARD_WITHDRAWAL = kinds.CANCEL_CARD_WITHDRAWAL.name, _("cancel the withdrawal")
    APPLY_DISCOUNT_PROGRAM = kinds.APPLY_DISCOUNT_PROGRAM.name, _("apply a promotion")
    CANCEL_DISCOUNT_PROGRAM = kinds.CANCEL_DISCOUNT_PROGRAM.name, _("take a promotion back")


kinds.one_for_each("states.Kind", {kind.value: kind for kind in Kind})


class Status(models.TextChoices):
    """Where an operation stands."""

    PENDING = "pending", _("waiting")
    SENDING = "sending", _("being sent")
    UNCONFIRMED = "unconfirmed", _("in doubt")
    SUCCEEDED = "succeeded", _("done")
    REJECTED = "rejected", _("refused")
    FAILED = "failed", _("not done, given up")
    ABANDONED = "abandoned", _("stopped")


#: Not finished: the visit and card are taken, and something is still to be done.
OPEN = (Status.PENDING, Status.SENDING, Status.UNCONFIRMED)


class Ending(models.TextChoices):
    """How an operation came to its state, where the state alone does not say it."""

    ALREADY_THERE = "already_there", _("the visit showed it before it was sent")
    NOTHING_TO_CANCEL = "nothing_to_cancel", _("there was nothing to cancel")
    FOUND = "found", _("a look-up found the effect")
    DECIDED_HAPPENED = "decided_happened", _("a person said that it happened")
    DECIDED_DID_NOT_HAPPEN = "decided_did_not_happen", _("a person said that it did not happen")


class Purpose(models.TextChoices):
    """What an attempt was made for."""

    LOOK = "look", _("look before sending")
    SEND = "send", _("send")
    LOOK_UP = "look_up", _("look-up in doubt")
    DECISION = "decision", _("decision of a person")


class CallOutcome(models.TextChoices):
    """What became of an attempt. Only of a send can the outcome be unknown: a read that failed has done nothing."""

    OK = "ok", _("answered")
    NOT_READ = "not_read", _("could not be read")
    NOT_DONE = "not_done", _("certainly not done")
    REFUSED = "refused", _("refused")
    UNKNOWN = "unknown", _("outcome unknown")
    HAPPENED = "happened", _("happened")
    DID_NOT_HAPPEN = "did_not_happen", _("did not happen")
    STILL_OPEN = "still_open", _("not there yet")
    RETRIED = "retried", _("try again")
    STOPPED = "stopped", _("stop trying")
    CLOSED = "closed", _("closed")
