"""What the screens say of each kind of operation, and which service they ask for it: one table, a row for each kind."""

from collections.abc import Callable
from dataclasses import dataclass

from altegio_loyalty import kinds, services
from altegio_loyalty.models import LoyaltyOperation
from altegio_loyalty.texts import Words, gettext_lazy as _


@dataclass(frozen=True)
class OnScreens:
    """`nothing` and `left_out` say that a visit offers nothing of the kind, on its own page and as one of several."""

    service: Callable[..., LoyaltyOperation]
    button: Words
    nothing: Words
    left_out: Words
    legend: Words
    legend_of_several: Words
    note_of_several: Words = ""


TABLE = kinds.one_for_each(
    "admin.kinds",
    {
        kinds.APPLY_CARD_WITHDRAWAL.name: OnScreens(
            service=services.apply_card_withdrawal,
            button=_("Withdraw points"),
            nothing=_("This client has no loyalty card."),
            left_out=_("no loyalty card."),
            legend="",  # the chosen card's own
            legend_of_several=_("How much from each card"),
        ),
        kinds.CANCEL_CARD_WITHDRAWAL.name: OnScreens(
            service=services.cancel_card_withdrawal,
            button=_("Cancel the withdrawal"),
            nothing=_("No points are taken on this visit, so there is nothing to cancel."),
            left_out=_("no points are taken."),
            legend=_("Give back"),
            legend_of_several=_("Give back"),
            note_of_several=_("All points that these visits were paid with go back onto their cards."),
        ),
        kinds.APPLY_DISCOUNT_PROGRAM.name: OnScreens(
            service=services.apply_discount_program,
            button=_("Apply a promotion"),
            nothing=_("None of the client's cards has a promotion."),
            left_out=_("no card with a promotion."),
            legend=_("Promotion"),
            legend_of_several=_("Which promotion, for all of them"),
        ),
        kinds.CANCEL_DISCOUNT_PROGRAM.name: OnScreens(
            service=services.cancel_discount_program,
            button=_("Take a promotion back"),
            nothing=_("No promotion is applied to this visit, so there is nothing to take back."),
            left_out=_("no promotion is applied."),
            legend=_("Take back"),
            legend_of_several=_("Which promotion to take back"),
        ),
    },
)


def title_of(name: str) -> str:
    """What the kind's button says; the bare name of a kind that only a newer release knows."""
    return str(TABLE[name].button) if name in TABLE else name


def why_nothing(kind: kinds.Kind, *, has_client: bool) -> str:
    """Why a visit offers nothing of the kind."""
    no_client = _(
        "This visit has no client in Altegio, and so no cards. Choose the client there first, then look again."
    )
    return str(no_client if kind.is_apply and not has_client else TABLE[kind.name].nothing)
